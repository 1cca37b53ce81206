"""Crops of objects and of proposals: DeconvNet's training samples (section 4 of the paper)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from upscore.core.boxes import Boxes, clip_boxes, grow_boxes, iou_matrix, square_boxes
from upscore.core.labels import VOID, LabelMap
from upscore.core.parallel.prefetch import prefetch
from upscore.data.dataset import DataSet, Sample, Split
from upscore.data.instances import number_objects
from upscore.data.masks import read_instances
from upscore.data.pair import Pair
from upscore.data.transforms import resize_pair
from upscore.errors import DataError
from upscore.proposals.base import image_key
from upscore.proposals.deconvnet_boxes import IMAGE_FILL, crop_with_padding
from upscore.proposals.ground_truth import GroundTruth, TrueObject
from upscore.training.image_cache import Decoded, DecodedPhotos
from upscore.training.settings import CropSettings

if TYPE_CHECKING:
    from upscore.proposals.store import ProposalStore

MAKE = "make"
MAX_REPEATS = 20
"""How often a crop of a rare class is repeated at most."""


@dataclass(frozen=True, eq=False)
class CropList:
    """The crops of a split, in the order of its photos.

    Attributes:
        boxes: (K, 4) float32, grown.
        photos: (K,) int32 index into the split.
        labels: (K,) uint8 class of the object that each is of.
        objects: (K,) int32 number of that object in its photo (``number_objects``).
    """

    boxes: Boxes
    photos: npt.NDArray[np.int32]
    labels: npt.NDArray[np.uint8]
    objects: npt.NDArray[np.int32]

    @classmethod
    def of_photo(cls, index: int, boxes: object, objects: Sequence[TrueObject]) -> CropList:
        """Crops of one photo: ``boxes`` (K, 4), and the object that each of them is of."""
        return cls(
            np.asarray(boxes, np.float32).reshape(-1, 4),
            np.full(len(objects), index, np.int32),
            np.array([item.label for item in objects], np.uint8),
            np.array([item.number for item in objects], np.int32),
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, places: npt.NDArray[np.int64]) -> CropList:
        return CropList(
            self.boxes[places], self.photos[places], self.labels[places], self.objects[places]
        )


@dataclass(frozen=True, repr=False)
class CropSplit(Split):
    """A split whose samples are crops of another's photos; ``pairs`` repeats a photo's pair.

    Attributes:
        crops: one for each sample.
        photos: decoded images of the other split.
        only_object: whether other objects are background in the target.
        leave_image: whether crops are padded outside the image; else boxes are clipped to it.
        size: height and width that crops are resized to, or None for their own.
    """

    crops: CropList = field(kw_only=True)
    photos: DecodedPhotos = field(kw_only=True)
    only_object: bool = field(kw_only=True)
    leave_image: bool = field(kw_only=True)
    size: tuple[int, int] | None = field(kw_only=True, default=None)

    def read(self, index: int) -> Sample:
        """Crop ``index``: black and void outside the photo. Raises DataError as a split does."""
        photo = self.photos[int(self.crops.photos[index])]
        box = self.crops.boxes[index]
        if not self.leave_image:
            (box,) = clip_boxes(box[None], *photo.labels.shape)
        labels = crop_with_padding(self._target(photo, index), box, VOID)
        image = crop_with_padding(photo.image, box, IMAGE_FILL)
        if self.size is not None:
            image, labels = resize_pair(image, labels, self.size)
        return Sample(image, labels, self.pairs[index].name)

    def read_labels(self, index: int) -> LabelMap:
        return self.read(index).labels

    def take(self, places: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Some of the crops, in the order of ``places``, each as often as it comes."""
        return replace(super().take(places), crops=self.crops.take(np.asarray(places, np.int64)))

    def _target(self, photo: Decoded, index: int) -> LabelMap:
        if not self.only_object:
            return photo.labels
        assert photo.objects is not None
        label = self.crops.labels[index]
        # where instance and class masks disagree, the class masks are right
        keeps = (photo.objects == self.crops.objects[index]) & (photo.labels == label)
        target = np.where(keeps, label, np.uint8(self.labels.background or 0))
        return np.where(photo.labels == VOID, np.uint8(VOID), target)


def object_crops(
    dataset: DataSet, split: Split, settings: CropSettings, *, size: tuple[int, int] | None = None
) -> CropSplit:
    """A crop for each object of a split: of its instance masks, or else connected regions.

    The class of an instance is that of most of its pixels in the class mask; one without a pixel
    of a class is none.

    Raises:
        DataError: no object at all, an unreadable mask, an instance mask of another size.
    """
    parts = [
        CropList.of_photo(index, [item.box for item in objects], objects)
        for index, objects in enumerate(_find_objects(dataset, split, settings.min_area))
    ]
    if not any(map(len, parts)):
        raise DataError(
            f"{dataset.root}: no object of {settings.min_area} pixels or more in split "
            f"{split.name!r}, so there is nothing to crop; set crops.min_area lower"
        )
    return _crop_split(dataset, split, settings, parts, size=size)


def proposal_crops(
    dataset: DataSet, split: Split, settings: CropSettings, store: ProposalStore
) -> CropSplit:
    """A crop for each stored box that overlaps the box of an object by IoU ``overlap`` or more.

    Raises:
        DataError: the store is of other photos, no box overlaps an object, or as
            :func:`object_crops`.
    """
    store.require_photos(pair.name for pair in split.pairs)
    found = _find_objects(dataset, split, settings.min_area)
    parts: list[CropList] = []
    for index, (pair, objects) in enumerate(zip(split.pairs, found, strict=True)):
        if not objects:
            continue
        boxes = store.read(pair.name).boxes
        overlaps = iou_matrix(np.array([item.box for item in objects], np.float32), boxes)
        best = overlaps.argmax(axis=0)
        chosen = np.flatnonzero(overlaps.max(axis=0) >= settings.overlap)
        of = [objects[k] for k in best[chosen]]
        parts.append(CropList.of_photo(index, boxes[chosen], of))
    if not any(map(len, parts)):
        raise DataError(
            f"{store.path}: none of its {store.num_boxes} boxes overlaps an object by "
            f"{settings.overlap:g} or more, so there is nothing to crop; set crops.overlap lower, "
            "or make a store with more boxes"
        )
    return _crop_split(dataset, split, settings, parts, store=store)


def _find_objects(dataset: DataSet, split: Split, min_area: int) -> list[list[TrueObject]]:
    truth = GroundTruth(min_area=min_area)
    background = dataset.labels.background

    def find(index: int) -> list[TrueObject]:
        labels = split.read_labels(index)
        return truth.objects(
            labels, _instances(dataset, split.pairs[index], labels), background=background
        )

    return list(prefetch(find, range(len(split))))


def _instances(dataset: DataSet, pair: Pair, labels: LabelMap) -> npt.NDArray[np.integer] | None:
    path = dataset.instances.get(pair.name)
    if path is None:
        return None
    return read_instances(path, labels, max_pixels=dataset.max_pixels)


def _crop_split(
    dataset: DataSet,
    split: Split,
    settings: CropSettings,
    parts: Sequence[CropList],
    *,
    store: ProposalStore | None = None,
    size: tuple[int, int] | None = None,
) -> CropSplit:
    only_object = settings.others == "background" and dataset.labels.background is not None

    def decode(index: int) -> Decoded:
        sample, pair = split.read(index), split.pairs[index]
        if store is not None and image_key(sample.image) != store.find(pair.name).key:
            raise DataError(
                f"{store.path}: its boxes of {pair.name!r} are of another picture than "
                f"{pair.image}; run `upscore proposals make` again"
            )
        if not only_object:
            return Decoded(sample.image, sample.labels)
        instances = _instances(dataset, pair, sample.labels)
        numbers = number_objects(sample.labels, instances)
        if instances is None:
            return Decoded(sample.image, sample.labels, numbers)
        labels = np.where(instances == VOID, np.uint8(VOID), sample.labels)
        return Decoded(sample.image, labels, numbers)

    boxes = grow_boxes(np.concatenate([part.boxes for part in parts]), settings.growth)
    if settings.square:
        boxes = square_boxes(boxes)
    crops = CropList(
        boxes,
        np.concatenate([part.photos for part in parts]),
        np.concatenate([part.labels for part in parts]),
        np.concatenate([part.objects for part in parts]),
    )
    return CropSplit(
        split.name,
        tuple(split.pairs[photo] for photo in crops.photos),
        split.labels,
        split.table,
        split.max_pixels,
        crops=crops,
        photos=DecodedPhotos(decode),
        only_object=only_object,
        leave_image=settings.leave_image,
        size=size,
    )


def balanced(crops: CropSplit, power: float, *, seed: int) -> CropSplit:
    """The same with crops of rare classes repeated, up to ``MAX_REPEATS`` times.

    A crop of a class that ``n`` crops are of, where the most frequent one has ``m``, comes
    ``(m / n) ** power`` times on average: rounded up or down at random, the same for equal seeds.
    """
    labels = crops.crops.labels
    counts = np.bincount(labels, minlength=256)
    wanted = (counts.max() / counts[labels]) ** power
    chance = np.random.default_rng([seed, 5]).random(len(labels))
    repeats = np.minimum(MAX_REPEATS, np.floor(wanted + chance)).astype(np.int64)
    return crops.take(np.repeat(np.arange(len(labels)), repeats))
