"""Crops of objects and proposals: boxes, targets, balance, decoding, what is refused."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import Future
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from upscore.core.labels import VOID, Labels
from upscore.core.settings import build
from upscore.data.dataset import DataSet
from upscore.data.masks import MaskTable
from upscore.data.pair import Pair
from upscore.errors import DataError, SettingsError
from upscore.proposals.base import Proposals, image_key
from upscore.proposals.store import ProposalStore, StoredPhoto, write_store
from upscore.training import image_cache as decoded_module
from upscore.training.image_cache import Decoded, DecodedPhotos
from upscore.training.object_crops import (
    MAX_REPEATS,
    CropSettings,
    CropSplit,
    balanced,
    object_crops,
    proposal_crops,
)
from waiting import HANG_S

LABELS = Labels.of(["background", "cat", "dog"])


def photo(seed: int, height: int = 40, width: int = 60) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(1, 256, (height, width, 3)).astype(np.uint8)


def labels_of(*boxes: tuple[int, int, int, int, int], height: int = 40, width: int = 60) -> (
    npt.NDArray[np.uint8]
):  # fmt: skip
    labels = np.zeros((height, width), np.uint8)
    for x1, y1, x2, y2, label in boxes:
        labels[y1:y2, x1:x2] = label
    return labels


class World:
    """A data set on disk of a split "train"."""

    def __init__(self, folder: Path, names: tuple[str, ...] = LABELS.names) -> None:
        self.folder, self.pairs = folder, []
        self.labels = Labels.of(names)
        self.instances: dict[str, Path] = {}
        self.images: dict[str, npt.NDArray[np.uint8]] = {}

    def add(
        self,
        labels: npt.NDArray[np.uint8],
        instances: npt.NDArray[np.uint8] | None = None,
        name: str | None = None,
    ) -> None:
        name = name or f"photo{len(self.pairs)}"
        image = photo(len(self.pairs), *labels.shape)
        paths = [self.folder / f"{name}{end}.png" for end in ("", "-mask", "-instances")]
        Image.fromarray(image).save(paths[0])
        Image.fromarray(labels).save(paths[1])
        if instances is not None:
            Image.fromarray(instances).save(paths[2])
            self.instances[name] = paths[2]
        self.images[name] = image
        self.pairs.append(Pair(name, paths[0], paths[1]))

    @property
    def data(self) -> DataSet:
        return DataSet(
            self.folder, "test", self.labels, MappingProxyType({"train": tuple(self.pairs)}),
            MaskTable.indices(len(self.labels)), instances=self.instances,
        )  # fmt: skip

    def objects(self, size: tuple[int, int] | None = None, **settings: object) -> CropSplit:
        chosen = build(CropSettings, {"kind": "objects", "min_area": 1, **settings}, "test")
        return object_crops(self.data, self.data.split("train"), chosen, size=size)

    def store(self, boxes: dict[str, list[list[float]]], *, other_pixels: bool = False) -> Path:
        path = self.folder / "boxes.parquet"
        with write_store(path, settings={"kind": "test"}, data={}) as writer:
            for name, given in boxes.items():
                image = self.images[name]
                key = image_key(255 - image if other_pixels else image)
                array = np.array(given, np.float32).reshape(-1, 4)
                found = Proposals(array, np.zeros(len(array), np.float32))
                writer.add(StoredPhoto(name, key, image.shape[:2], len(found)), found)
        return path

    def proposals(self, path: Path, **settings: object) -> CropSplit:
        content = {"kind": "proposals", "min_area": 1, "growth": 1, **settings}
        chosen = build(CropSettings, content, "test")
        return proposal_crops(self.data, self.data.split("train"), chosen, ProposalStore.open(path))


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_object_gives_a_crop_of_its_grown_box(world: World) -> None:
    world.add(labels_of((20, 10, 30, 20, 1)))
    (crop,) = [world.objects().read(0)]
    assert crop.labels.shape == (12, 12)
    np.testing.assert_array_equal(crop.labels[1:11, 1:11], 1)
    assert (crop.labels == 1).sum() == 100
    np.testing.assert_array_equal(crop.image, world.images["photo0"][9:21, 19:31])


def test_other_objects_become_background_and_void_stays(world: World) -> None:
    labels = labels_of((20, 10, 30, 20, 1), (30, 10, 36, 20, 2))
    labels[9] = VOID
    world.add(labels)
    keep = world.objects()
    alone = world.objects(others="background")
    assert len(keep) == len(alone) == 2
    assert set(np.unique(keep.read(0).labels)) == {0, 1, 2, VOID}
    assert set(np.unique(alone.read(0).labels)) == {0, 1, VOID}
    assert set(np.unique(alone.read(1).labels)) == {0, 2, VOID}


def test_instance_masks_tell_touching_objects_apart(world: World) -> None:
    labels = labels_of((10, 10, 30, 20, 1))
    instances = labels_of((10, 10, 20, 20, 1), (20, 10, 30, 20, 2))
    instances[:, 19] = VOID  # nobody knows whose these are
    world.add(labels, instances)
    crops = world.objects(others="background", growth=1.5)
    assert len(crops) == 2
    first = next(crops.read(i).labels for i in (0, 1) if crops.crops.objects[i] == 1)
    assert (first == 1).sum() == 90
    assert (first == VOID).sum() == first.shape[0]
    world.instances.clear()
    assert len(world.objects()) == 1


def test_class_masks_win_over_instance_masks(world: World) -> None:
    """Most pixels of the instance are cats; the dog pixels in it are no part of the object."""
    labels = labels_of((10, 10, 20, 20, 1), (18, 10, 20, 20, 2))
    world.add(labels, labels_of((10, 10, 20, 20, 7), (40, 10, 44, 14, 8)))
    crops = world.objects(others="background", growth=1)
    assert crops.crops.labels.tolist() == [1]  # number 8 lies on background: no object
    target = crops.read(0).labels
    assert (target[:, :8] == 1).all()
    assert (target[:, 8:] == 0).all()


def test_instance_mask_of_another_size_is_refused(world: World) -> None:
    world.add(labels_of((1, 1, 9, 9, 1)), np.ones((8, 8), np.uint8))
    with pytest.raises(DataError, match=r"photo0-instances.png: instance mask is \(8, 8\)"):
        world.objects()


def test_boxes_may_leave_the_photo_or_are_cut_off(world: World) -> None:
    world.add(labels_of((0, 0, 20, 20, 1)))
    crop = world.objects(growth=2).read(0)
    assert crop.labels.shape == (40, 40)
    assert (crop.labels[:10] == VOID).all()
    assert (crop.image[:10] == 0).all()
    assert (crop.labels[10:30, 10:30] == 1).all()
    cut = world.objects(growth=2, leave_image=False).read(0)
    assert cut.labels.shape == (30, 30)
    assert (cut.labels != VOID).all()


def test_squares_have_the_longer_side(world: World) -> None:
    world.add(labels_of((20, 10, 40, 14, 1)))
    assert world.objects(square=True, growth=1).read(0).labels.shape == (20, 20)


def test_without_background_others_stay(tmp_path: Path) -> None:
    world = World(tmp_path, ("sky", "cat", "dog"))
    world.add(labels_of((20, 10, 30, 20, 1)))
    crops = world.objects(others="background")
    assert sorted(crops.crops.labels.tolist()) == [0, 1]  # sky is an object, too
    assert set(np.unique(crops.read(1).labels)) == {0, 1}


def test_crops_of_validation_have_one_size(world: World) -> None:
    world.add(labels_of((20, 10, 40, 14, 1), (2, 2, 5, 9, 2)))
    assert {s.labels.shape for s in (world.objects((24, 32)).read(i) for i in (0, 1))} == {(24, 32)}


def test_no_object_at_all(world: World) -> None:
    world.add(labels_of())
    with pytest.raises(DataError, match=r"no object of 1 pixels or more in split 'train'"):
        world.objects()


def test_small_objects_are_left_out(world: World) -> None:
    world.add(labels_of((1, 1, 4, 4, 1), (20, 10, 40, 20, 2)))
    assert world.objects(min_area=10).crops.labels.tolist() == [2]


def test_proposals_that_overlap_an_object_are_taken(world: World) -> None:
    world.add(labels_of((20, 10, 30, 20, 1), (40, 10, 50, 20, 2)))
    world.add(labels_of(), name="empty")
    path = world.store(
        {
            "photo0": [[20, 10, 30, 20], [20, 10, 30, 15], [20, 10, 30, 14], [42, 10, 50, 20]],
            "empty": [[0, 0, 10, 10]],
        }
    )
    crops = world.proposals(path)
    assert crops.crops.boxes.tolist() == [[20, 10, 30, 20], [20, 10, 30, 15], [42, 10, 50, 20]]
    assert crops.crops.labels.tolist() == [1, 1, 2]
    whole = world.proposals(path, growth=6, square=True)
    assert set(np.unique(whole.read(0).labels)) == {0, 1, 2, VOID}  # all classes, void outside


def test_a_store_for_other_photos_is_refused(world: World) -> None:
    world.add(labels_of((20, 10, 30, 20, 1)))
    path = world.store({"photo0": [[20, 10, 30, 20]]})
    world.add(labels_of((20, 10, 30, 20, 1)), name="späť")
    with pytest.raises(DataError, match=r"lacks 1 of 2 photos, 'späť'"):
        world.proposals(path)


def test_a_store_of_other_pixels_is_refused(world: World) -> None:
    world.add(labels_of((20, 10, 30, 20, 1)))
    path = world.store({"photo0": [[20, 10, 30, 20]]}, other_pixels=True)
    with pytest.raises(DataError, match=r"another picture than .*photo0.png"):
        world.proposals(path).read(0)


def test_no_box_overlaps_an_object(world: World) -> None:
    world.add(labels_of((20, 10, 30, 20, 1)))
    path = world.store({"photo0": [[0, 0, 5, 5]]})
    with pytest.raises(DataError, match=r"none of its 1 boxes .* crops.overlap lower"):
        world.proposals(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"others": "background"}, "for kind objects, not photos"),
        ({"kind": "objects", "store": "make"}, "for kind proposals"),
        ({"kind": "boxes"}, "kind"),
        ({"growth": 0}, "growth"),
        ({"overlap": 1.5}, "overlap"),
    ],
)
def test_settings_that_cannot_be(content: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build(CropSettings, content, "recipe")


def test_rare_classes_are_repeated(world: World) -> None:
    cats = [(4 * i, 0, 4 * i + 2, 2, 1) for i in range(12)]
    world.add(labels_of(*cats, (20, 10, 40, 14, 2)))
    crops = world.objects()
    none, whole = (Counter(balanced(crops, p, seed=0).crops.labels.tolist()) for p in (0, 1))
    assert none == {1: 12, 2: 1}
    assert whole == {1: 12, 2: 12}
    half = [balanced(crops, 0.5, seed=s).crops.labels.tolist().count(2) for s in range(40)]
    assert set(half) == {3, 4}
    assert np.mean(half) == pytest.approx(12**0.5, abs=0.3)
    repeated = balanced(crops, 1, seed=0)
    assert repeated.pairs[0].name == "photo0"
    sizes = {repeated.read(place).labels.shape for place in range(len(repeated))}
    assert sizes == {(2, 2), (4, 24)}


def test_repeats_have_a_limit(world: World) -> None:
    cats = [(3 * (i % 20), 3 * (i // 20), 3 * (i % 20) + 2, 3 * (i // 20) + 2, 1)
            for i in range(180)]  # fmt: skip
    world.add(labels_of(*cats, (40, 30, 50, 34, 2)))
    assert (balanced(world.objects(), 1, seed=0).crops.labels == 2).sum() == MAX_REPEATS


# -- decoding --------------------------------------------------------------------------------------


def decoded(index: int) -> Decoded:
    return Decoded(np.full((10, 10, 3), index, np.uint8), np.zeros((10, 10), np.uint8))


def test_photos_are_decoded_once_while_there_is_room() -> None:
    asked: list[int] = []

    def decode(index: int) -> Decoded:
        asked.append(index)
        return decoded(index)

    photos = DecodedPhotos(decode, kept_bytes=1000)  # 400 a photo
    assert [photos[i].image[0, 0, 0] for i in (1, 2, 1, 2, 3, 2, 1)] == [1, 2, 1, 2, 3, 2, 1]
    assert asked == [1, 2, 3, 1]


def test_threads_that_want_one_photo_decode_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The photo is not decoded before the seven others wait for it, or decode it too."""
    asked: list[int] = []
    others = threading.Semaphore(0)

    class Watched(Future[Decoded]):
        def result(self, timeout: float | None = None) -> Decoded:
            others.release()
            return super().result(timeout)

    def decode(index: int) -> Decoded:
        asked.append(index)
        if len(asked) > 1:
            others.release()
        else:
            for _ in range(7):
                assert others.acquire(timeout=HANG_S)
        return decoded(index)

    monkeypatch.setattr(decoded_module, "Future", Watched)

    photos = DecodedPhotos(decode, kept_bytes=10)
    threads = [threading.Thread(target=photos.__getitem__, args=(7,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert asked == [7]


def test_a_photo_that_fails_can_be_asked_again() -> None:
    answers = iter([DataError("broken"), decoded(1)])

    def decode(_: int) -> Decoded:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    photos = DecodedPhotos(decode)
    with pytest.raises(DataError, match="broken"):
        photos[1]
    assert photos[1].labels.shape == (10, 10)
