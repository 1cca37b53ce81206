"""A data set on disk, its splits, and what the values of its masks mean."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from upscore.core.files import exists
from upscore.core.images import photo_turn, read_image
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.limits import MAX_PIXELS
from upscore.core.photo_values import AS_STORED, PhotoValues
from upscore.core.plural import plural
from upscore.core.quoting import join
from upscore.data.drawn_splits import VAL, draw_validation
from upscore.data.guess import Guess
from upscore.data.masks import MaskTable, read_stored_mask
from upscore.data.pair import Pair
from upscore.data.problem import Problem
from upscore.data.turns import REMEDY, DrawnOn, fit_of, turn_labels
from upscore.errors import DataError, SettingsError

JOINED = {"trainval": ("train", "val"), "trainvalaug": ("trainaug", "val")}
"""Splits that any data set has where it has their parts, unless it lists them itself."""


def unequal_sizes(pair: Pair, image: Sequence[int], mask: Sequence[int], *, turn: int = 1) -> str:
    """The message for a mask of another size than its photo, (height, width) each.

    Args:
        turn: EXIF orientation of the photo.
    """
    text = (
        f"{pair.mask}: mask is {mask[1]}x{mask[0]}, its photo {pair.image.name} is "
        f"{image[1]}x{image[0]}; they must be equal"
    )
    if turn > 1 and fit_of(turn, image, mask) == "stored":
        text += f". EXIF turns the photo (orientation {turn}), and the mask fits it as stored; "
        text += REMEDY
    elif tuple(mask) == tuple(image)[::-1]:
        text += ". It is turned by a quarter (or the photo is): turn it back, do not resize it"
    return text


@dataclass(frozen=True)
class Sample:
    """One image of a data set: RGB uint8 (H, W, 3), labels uint8 (H, W) with 255 void, a name."""

    image: RGBImage
    labels: LabelMap
    name: str


@dataclass(frozen=True, repr=False)
class Split:
    """One split of a data set: an ordered list of pairs that can be read."""

    name: str
    pairs: tuple[Pair, ...]
    labels: Labels
    table: MaskTable
    max_pixels: int = MAX_PIXELS
    drawn_on: DrawnOn | None = None
    photo_values: PhotoValues = AS_STORED

    def __len__(self) -> int:
        return len(self.pairs)

    def __repr__(self) -> str:
        return f"<Split {self.name}: {plural(len(self), 'pair')}, {len(self.labels)} classes>"

    def read(self, index: int) -> Sample:
        """Read and check pair ``index``.

        Raises:
            DataError: unreadable, another size than its photo, or values outside the table.
        """
        pair = self.pairs[index]
        image = read_image(pair.image, max_pixels=self.max_pixels, values=self.photo_values)
        labels = self.read_labels(index)
        if image.shape[:2] != labels.shape:
            turn = photo_turn(pair.image, max_pixels=self.max_pixels)
            raise DataError(unequal_sizes(pair, image.shape[:2], labels.shape, turn=turn))
        return Sample(image, labels, pair.name)

    def read_labels(self, index: int) -> LabelMap:
        """(H, W) uint8 labels of pair ``index``, upright as its photo.

        Raises:
            DataError: unreadable, or values outside the table.
        """
        pair = self.pairs[index]
        stored = read_stored_mask(pair.mask, max_pixels=self.max_pixels)
        labels = self.table.read(stored, pair.mask)
        if self.drawn_on == "stored":
            labels = turn_labels(labels, photo_turn(pair.image, max_pixels=self.max_pixels))
        return labels

    def take(self, places: Sequence[int] | npt.NDArray[np.int64]) -> Self:
        """Some of the samples, in the order of ``places``, each as often as it comes."""
        return replace(self, pairs=tuple(self.pairs[place] for place in places))

    def spread(self, count: int) -> Self:
        """``count`` samples, evenly spread over all, or all where there are fewer."""
        count = min(count, len(self))
        return self.take([place * len(self) // count for place in range(count)])


@dataclass(frozen=True, repr=False)
class DataSet:
    """All splits of a data set as found on disk.

    ``layout`` says how it was recognised; ``instances`` maps a pair's name to its instance mask
    where the layout has such masks. ``photo_values`` is how values of photos become 8-bit RGB,
    the same for all of them. ``unlabelled`` are photos without a mask, which are not used, where
    most photos have one. ``problems`` is what was wrong when the files were listed; a data set with
    problems can be opened, so that ``upscore data check`` can list all of them, but :meth:`split`
    refuses a split with missing or ambiguous files. ``guess`` is what mask values were taken to
    mean where no file says it; ``is_stated`` is whether a dataset.yaml names them one by one.
    ``drawn_on`` is what a dataset.yaml says about masks of photos that EXIF turns.
    """

    root: Path
    layout: str
    labels: Labels
    splits: Mapping[str, tuple[Pair, ...]]
    table: MaskTable
    max_pixels: int = MAX_PIXELS
    instances: Mapping[str, Path] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    unlabelled: tuple[Path, ...] = ()
    guess: Guess | None = None
    is_stated: bool = False
    drawn_on: DrawnOn | None = None
    photo_values: PhotoValues = AS_STORED

    def __repr__(self) -> str:
        splits = ", ".join(f"{name} {len(pairs)}" for name, pairs in self.splits.items())
        wrong = f"; {plural(len(self.problems), 'problem')}" if self.problems else ""
        classes = f"{len(self.labels)} classes ({join(self.labels.names)})"
        return f"<DataSet {self.root}: layout {self.layout}, {classes}, {splits}{wrong}>"

    @property
    def split_names(self) -> tuple[str, ...]:
        """Those on disk, and those of :data:`JOINED` whose parts are."""
        joined = (name for name, parts in JOINED.items() if self.splits.keys() >= set(parts))
        return tuple(dict.fromkeys([*self.splits, *joined]))

    @property
    def draws_validation(self) -> bool:
        """Whether there is no ``val`` on disk, so that it is a share of ``train``."""
        return VAL not in self.splits and "train" in self.splits

    def named(self, names: Collection[str]) -> tuple[Pair, ...]:
        """The pairs of ``train`` that have these names."""
        return tuple(pair for pair in self.splits["train"] if pair.name in names)

    def pairs(self, name: str) -> tuple[Pair, ...]:
        """The pairs of a split, whose files may be missing; of joined splits, each photo once.

        Where a data set has ``train`` and no ``val``, a fifth of the photos of ``train`` (1 to
        200, by a hash of their names) is its ``val``. ``train`` still has all of them: a training
        that is validated on them leaves them out (:meth:`train_and_val`).

        Raises:
            SettingsError: no such split; the message lists those that exist.
        """
        if name == VAL and self.draws_validation:
            return self.named(set(draw_validation([p.name for p in self.splits["train"]])))
        if name not in self.split_names:
            raise SettingsError(
                f"{self.root}: no split {name!r}; there are {', '.join(sorted(self.split_names))}"
            )
        if name in self.splits:
            return self.splits[name]
        parts = (self.splits[part] for part in JOINED[name])
        return tuple({pair.image: pair for pairs in parts for pair in pairs}.values())

    def split(self, name: str) -> Split:
        """A split by name.

        Raises:
            SettingsError: no such split; the message lists those that exist.
            DataError: the split is empty, a photo or mask of it does not exist, or two photos
                share a name.
        """
        pairs = self.pairs(name)
        if not pairs:
            filled = ", ".join(other for other in self.split_names if self.pairs(other))
            use = f", or use another split: {filled}" if filled else ""
            raise DataError(f"{self.root}: split {name!r} is empty; add photos to it{use}")
        missing = [p for pair in pairs for p in (pair.image, pair.mask) if not exists(p)]
        if missing:
            raise DataError(
                f"{self.root}: split {name!r} lacks {join(missing, most=3)}; add "
                f"the files or take them out of the split; `upscore data check {self.root}` lists "
                "all"
            )
        self.require_unique_names()
        return self.unchecked(name, pairs)

    def unchecked(self, name: str, pairs: tuple[Pair, ...]) -> Split:
        """Some pairs as a split; their files may be missing."""
        return Split(
            name,
            pairs,
            self.labels,
            self.table,
            self.max_pixels,
            self.drawn_on,
            self.photo_values,
        )

    def train_and_val(self, train: str, val: str) -> tuple[Split, Split]:
        """Two splits to train on and to validate with.

        If ``val`` is drawn from ``train`` (:meth:`pairs`), its photos are left out of the first.

        Raises:
            SettingsError, DataError: as :meth:`split`, or no photo is left to train on.
        """
        training, validation = self.split(train), self.split(val)
        if val != VAL or not self.draws_validation:
            return training, validation
        validating = set(validation.pairs)
        rest = tuple(pair for pair in training.pairs if pair not in validating)
        if not rest:
            raise DataError(
                f"{self.root}: split {train!r} has one photo and there is no {VAL!r}; training and "
                "validation need one each: add a photo, or validate on the one that is trained "
                f"on with --set data.val_split={train}"
            )
        return replace(training, pairs=rest), validation

    def require_unique_names(self) -> None:
        """Raise DataError where two photos share a name."""
        for problem in self.problems:
            if problem.kind == "name collision":
                raise DataError(problem.message)

    def describe(self, path: Path) -> dict[str, str]:
        """``path`` (with which it was opened), layout and fingerprint, for records of results."""
        return {"path": str(path), "layout": self.layout, "fingerprint": self.fingerprint()}

    def fingerprint(self) -> str:
        """16 hex digits of names and file sizes of every split, and of how photos are read."""
        digest = hashlib.sha256()
        if self.photo_values != AS_STORED:
            digest.update(f"{self.photo_values.to_json()}\n".encode())
        for split in sorted(self.splits):
            digest.update(f"[{split}]\n".encode())
            for pair in self.splits[split]:
                image, mask = (
                    path.stat().st_size if exists(path) else -1 for path in (pair.image, pair.mask)
                )
                digest.update(f"{pair.name} {image} {mask}\n".encode())
        return digest.hexdigest()[:16]
