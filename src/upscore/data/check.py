"""Read every pair once and list everything that is wrong, each with its file and fix."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from upscore.core.failures import failure_message
from upscore.core.images import photo_turn, read_image
from upscore.core.labels import VOID, LabelMap
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.processes import num_cores
from upscore.core.plural import plural
from upscore.data.dataset import DataSet, unequal_sizes
from upscore.data.guess import Guess
from upscore.data.mask_survey import MaskFacts, disagreements, mask_facts
from upscore.data.masks import read_stored_mask
from upscore.data.pair import Pair
from upscore.data.pairing import of_another_kind
from upscore.data.problem import Problem
from upscore.data.turns import TurnedPhoto, fit_of, turn_problems
from upscore.errors import DataError, NotFoundError

Present = npt.NDArray[np.bool_]
"""(C,) bool: which classes a mask shows."""
Content = TypeVar("Content")


@dataclass(frozen=True, repr=False)
class CheckResult:
    """What was read and what is wrong with it. ``pairs`` counts each pair once; ``guess`` is what
    mask values were taken to mean where no file says it."""

    root: Path
    layout: str
    num_classes: int
    splits: Mapping[str, int]
    pairs: int
    problems: tuple[Problem, ...]
    guess: Guess | None = None
    unlabelled: tuple[Path, ...] = ()
    classes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        wrong = plural(len(self.problems), "problem") if self.problems else "no problem"
        return f"<CheckResult {self.root}: {plural(self.pairs, 'pair')}, {wrong}>"

    def to_dict(self) -> dict[str, Any]:
        return {
            "root": str(self.root),
            "layout": self.layout,
            "splits": dict(self.splits),
            "pairs": self.pairs,
            "classes": list(self.classes),
            "unlabelled": [str(path) for path in self.unlabelled],
            "guess": None if self.guess is None else self.guess.to_json(),
            "problems": [problem.to_json() for problem in self.problems],
        }


def check(dataset: DataSet, *, progress: Callable[[int, int], None] | None = None) -> CheckResult:
    """Read every photo and mask of ``dataset`` once, in threads.

    Nothing is raised for a bad file: whatever is wrong becomes a problem.
    """
    pairs = list(dict.fromkeys(pair for members in dataset.splits.values() for pair in members))
    problems = [*dataset.problems, *_split_problems(dataset)]
    seen: dict[Pair, _Seen] = {}

    def look(pair: Pair) -> _Seen:
        try:
            return _look(pair, dataset)
        except Exception as error:
            text = failure_message(str(pair.image), error, doing="check it", memory_hint="")
            return _Seen([Problem("unreadable", pair.image, text)])

    results = prefetch(look, pairs, workers=num_cores(), depth=32)
    for done, (pair, one) in enumerate(zip(pairs, results, strict=True), start=1):
        problems += one.problems
        seen[pair] = one
        if progress:
            progress(done, len(pairs))
    facts = [one.facts for one in seen.values() if one.facts is not None]
    problems += disagreements(facts, dataset.root, dataset.table, is_stated=dataset.is_stated)
    if dataset.drawn_on is None:
        turned = (one.turned for one in seen.values() if one.turned is not None)
        problems += turn_problems(dataset.root, turned, len(pairs))
    problems += _absent_classes(dataset, seen)
    sizes = {name: len(members) for name, members in dataset.splits.items()}
    return CheckResult(
        dataset.root,
        dataset.layout,
        len(dataset.labels),
        sizes,
        len(pairs),
        tuple(problems),
        dataset.guess,
        dataset.unlabelled,
        dataset.labels.names,
    )


@dataclass
class _Seen:
    """What is wrong with one pair and what it shows. ``classes`` is None if its mask is bad."""

    problems: list[Problem] = field(default_factory=list)
    facts: MaskFacts | None = None
    turned: TurnedPhoto | None = None
    classes: Present | None = None


def _look(pair: Pair, dataset: DataSet) -> _Seen:
    seen = _Seen()
    read_photo = partial(read_image, values=dataset.photo_values)
    image = _read(seen, dataset, "photo", pair.image, pair.mask, read_photo)
    mask = _read(seen, dataset, "mask", pair.mask, pair.image, read_stored_mask)
    if mask is None:
        if [problem.kind for problem in seen.problems] == ["missing partner"] * 2:
            text = f"{pair.name!r} is listed, but neither this photo nor {pair.mask} is there"
            seen.problems = [Problem.at("missing partner", pair.image, text)]
        return seen
    seen.facts = mask_facts(mask, pair.mask, colors=False)
    if image is not None:
        _compare_sizes(seen, pair, image.shape[:2], mask.values.shape[:2], dataset)
    try:
        labels = dataset.table.read(mask, pair.mask)
    except DataError as error:
        seen.problems.append(Problem("unknown value", pair.mask, str(error)))
        return seen
    counts = _count_labels(seen.facts, labels, dataset)
    if counts[VOID] == labels.size:
        text = (
            "every pixel is void, so nothing can be learned or scored; label it or take it out of "
            "the split"
        )
        seen.problems.append(Problem.at("all void", pair.mask, text))
    seen.classes = counts[: len(dataset.labels)] > 0
    return seen


def _count_labels(
    facts: MaskFacts, labels: LabelMap, dataset: DataSet
) -> npt.NDArray[np.integer[Any]]:
    """(256,) pixels of each label; from the counts of the stored values where there are some."""
    if dataset.table.values is None or not facts.values:
        return np.bincount(labels.ravel(), minlength=256)
    counts = np.zeros(256, np.int64)
    for value, count in facts.values.items():
        counts[dataset.table.values[value]] += count
    return counts


def _compare_sizes(
    seen: _Seen,
    pair: Pair,
    image: tuple[int, ...],
    mask: tuple[int, ...],
    dataset: DataSet,
) -> None:
    """Note another size of photo and mask, and a photo that EXIF turns."""
    turn = photo_turn(pair.image, max_pixels=dataset.max_pixels)
    if dataset.drawn_on == "stored" and turn >= 5:
        mask = mask[::-1]
    elif turn > 1:
        seen.turned = TurnedPhoto(pair.image, turn, fit_of(turn, image, mask))
        if dataset.drawn_on is None and seen.turned.fit == "stored":
            return  # told for all of them at once
    if image != mask:
        text = unequal_sizes(pair, image, mask)
        if image != mask[::-1]:
            text += ". Replace one of them (a mask may be resized with nearest neighbour only)"
        seen.problems.append(Problem("size mismatch", pair.mask, text))


def _read(
    seen: _Seen,
    dataset: DataSet,
    what: str,
    path: Path,
    partner: Path,
    read: Callable[..., Content],
) -> Content | None:
    try:
        return read(path, max_pixels=dataset.max_pixels)
    except NotFoundError:
        text = (
            f"no such {what}, though it is listed or {partner.name} is there; add it or take "
            f"{partner.stem} out of the split{of_another_kind(path)}"
        )
        seen.problems.append(Problem.at("missing partner", path, text))
    except DataError as error:
        seen.problems.append(Problem("unreadable", path, str(error)))
    return None


def _split_problems(dataset: DataSet) -> list[Problem]:
    root = dataset.root
    problems = [
        Problem.at("empty split", root, f"split {name!r} is empty; add photos to it or remove it")
        for name, pairs in dataset.splits.items()
        if not pairs
    ]
    if len(dataset.labels) == 1:
        name = dataset.labels.names[0]
        text = (
            f"{name!r} is the only class, and a training needs two or more; label the rest as a "
            f"class: in a dataset.yaml `classes: [background, {name}]`, and `background` instead "
            "of `void` for its value under `masks`"
        )
        problems.append(Problem.at("one class", root, text))
    if not dataset.splits:
        problems.append(Problem.at("empty split", root, "there are no splits"))
    for first, second in itertools.combinations(dataset.splits, 2):
        if roles(first) & roles(second):
            continue
        images = {pair.image for pair in dataset.splits[first]}
        text = (
            f"in split {first!r} and in {second!r}, so the score on one is flattered by the other; "
            "take it out of one"
        )
        problems += [
            Problem.at("in two splits", pair.image, text)
            for pair in dataset.splits[second]
            if pair.image in images
        ]
    return problems


def roles(split: str) -> set[str]:
    """What a split is for, by its name: splits that share a role may share photos.

    ``trainval`` trains and validates, so it may hold the photos of both; ``trainaug`` trains, so
    it must not hold those of ``val``.
    """
    name = split.lower().replace("noval", "")
    if name in ("all", "full"):
        return {"train", "val", "test"}
    return {role for role in ("train", "val", "test") if role in name} or {split}


def _absent_classes(dataset: DataSet, seen: Mapping[Pair, _Seen]) -> list[Problem]:
    """Classes that no mask shows, and classes that only other splits than ``train`` show."""
    present = {pair: one.classes for pair, one in seen.items() if one.classes is not None}
    if not present:
        return []  # no mask could be read, which is reported for each
    anywhere = np.any(list(present.values()), axis=0)
    in_train = [present[pair] for pair in dataset.splits.get("train", ()) if pair in present]
    train = np.any(in_train, axis=0) if in_train else anywhere
    problems = []
    for index, name in enumerate(dataset.labels.names):
        if not anywhere[index]:
            text = f"class {index} {name!r} occurs in no mask; remove it, or check the mask table"
        elif not train[index]:
            text = (
                f"class {index} {name!r} occurs in no mask of 'train', so it cannot be learned; "
                "move photos that show it to 'train', or remove the class"
            )
        else:
            continue
        problems.append(Problem.at("absent class", dataset.root, text))
    return problems
