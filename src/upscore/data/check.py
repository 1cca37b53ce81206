"""Read every pair once and list everything that is wrong, each with its file and fix."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.images import read_image
from upscore.core.labels import VOID
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.processes import num_cores
from upscore.data.dataset import DataSet, Pair, unequal_sizes
from upscore.data.masks import read_stored_mask
from upscore.data.problem import Problem
from upscore.errors import DataError, NotFoundError

Present = npt.NDArray[np.bool_]
"""(C,) bool: which classes a mask shows."""


@dataclass(frozen=True)
class CheckResult:
    """What was read and what is wrong with it. ``pairs`` counts each pair once."""

    root: Path
    layout: str
    num_classes: int
    splits: Mapping[str, int]
    pairs: int
    problems: tuple[Problem, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "root": str(self.root),
            "layout": self.layout,
            "splits": dict(self.splits),
            "pairs": self.pairs,
            "problems": [problem.to_json() for problem in self.problems],
        }


def check(dataset: DataSet, *, progress: Callable[[int, int], None] | None = None) -> CheckResult:
    """Read every photo and mask of ``dataset`` once, in threads.

    Nothing is raised for a bad file: whatever is wrong becomes a problem.
    """
    pairs = list(dict.fromkeys(pair for members in dataset.splits.values() for pair in members))
    problems = [*dataset.problems, *_split_problems(dataset)]
    present: dict[Pair, Present] = {}

    def look(pair: Pair) -> tuple[list[Problem], Present | None]:
        return _inspect(pair, dataset)

    results = prefetch(look, pairs, workers=num_cores(), depth=32)
    for done, (pair, (found, classes)) in enumerate(zip(pairs, results, strict=True), start=1):
        problems += found
        if classes is not None:
            present[pair] = classes
        if progress:
            progress(done, len(pairs))
    problems += _absent_classes(dataset, present)
    sizes = {name: len(members) for name, members in dataset.splits.items()}
    return CheckResult(
        dataset.root,
        dataset.layout,
        len(dataset.labels),
        sizes,
        len(pairs),
        tuple(problems),
    )


def _inspect(pair: Pair, dataset: DataSet) -> tuple[list[Problem], Present | None]:
    """What is wrong with one pair, and the classes that it shows; None if its mask is bad."""
    problems: list[Problem] = []
    read_photo = functools.partial(read_image, values=dataset.photo_values)
    image = _read(problems, dataset, "photo", pair.image, pair.mask, read_photo)
    stored = _read(problems, dataset, "mask", pair.mask, pair.image, read_stored_mask)
    if stored is None:
        return problems, None
    if image is not None and image.shape[:2] != stored.shape[:2]:
        text = (
            f"{unequal_sizes(pair, image, stored)}. Replace one of them (a mask may be resized "
            "with nearest neighbour only)"
        )
        problems.append(Problem("size mismatch", pair.mask, text))
    try:
        labels = dataset.table.decode(stored, pair.mask)
    except DataError as error:
        problems.append(Problem("unknown value", pair.mask, str(error)))
        return problems, None
    counts = np.bincount(labels.ravel(), minlength=256)
    if counts[VOID] == labels.size:
        text = (
            "every pixel is void, so nothing can be learned or scored; label it or take it out of "
            "the split"
        )
        problems.append(Problem.at("all void", pair.mask, text))
    return problems, counts[: len(dataset.labels)] > 0


def _read(
    problems: list[Problem],
    dataset: DataSet,
    what: str,
    path: Path,
    partner: Path,
    read: Callable[..., npt.NDArray[np.integer[Any]]],
) -> npt.NDArray[np.integer[Any]] | None:
    try:
        return read(path, max_pixels=dataset.max_pixels)
    except NotFoundError:
        text = (
            f"no such {what}, though it is listed or {partner.name} is there; add it or take "
            f"{partner.stem} out of the split"
        )
        problems.append(Problem.at("missing partner", path, text))
    except DataError as error:
        problems.append(Problem("unreadable", path, str(error)))
    return None


def _split_problems(dataset: DataSet) -> list[Problem]:
    root = dataset.root
    problems = [
        Problem.at("empty split", root, f"split {name!r} is empty; add photos to it or remove it")
        for name, pairs in dataset.splits.items()
        if not pairs
    ]
    if len(dataset.labels) == 1:
        text = (
            f"{dataset.labels.names[0]!r} is the only class, and a training wants two or more; "
            "label the rest as a class, such as background"
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


def _absent_classes(dataset: DataSet, present: Mapping[Pair, Present]) -> list[Problem]:
    """Classes that no mask shows, and classes that only other splits than ``train`` show."""
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
