"""Read every pair once and list everything that is wrong, each with its file and fix."""

from __future__ import annotations

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
from upscore.data.dataset import DataSet, Pair
from upscore.data.masks import read_stored_mask
from upscore.data.problem import Kind, Problem
from upscore.errors import DataError, NotFoundError


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


@dataclass(frozen=True)
class _Finding:
    """One pair: what is wrong, and which classes it shows (C,) bool; None if its mask is bad."""

    problems: list[Problem]
    present: npt.NDArray[np.bool_] | None = None


def check(dataset: DataSet, *, progress: Callable[[int, int], None] | None = None) -> CheckResult:
    """Read every photo and mask of ``dataset`` once, in threads.

    Nothing is raised for a bad file: whatever is wrong becomes a problem.
    """
    pairs = list(dict.fromkeys(pair for members in dataset.splits.values() for pair in members))
    problems = [*dataset.problems, *_split_problems(dataset)]
    present: dict[Pair, npt.NDArray[np.bool_]] = {}

    def look(pair: Pair) -> _Finding:
        return _inspect(pair, dataset)

    found = prefetch(look, pairs, workers=num_cores(), depth=32)
    for done, (pair, finding) in enumerate(zip(pairs, found, strict=True), start=1):
        problems += finding.problems
        if finding.present is not None:
            present[pair] = finding.present
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


def _inspect(pair: Pair, dataset: DataSet) -> _Finding:
    problems: list[Problem] = []
    image = _try(
        problems, pair.image, "photo", pair.mask,
        lambda: read_image(pair.image, max_pixels=dataset.max_pixels),
    )  # fmt: skip
    stored = _try(
        problems, pair.mask, "mask", pair.image,
        lambda: read_stored_mask(pair.mask, max_pixels=dataset.max_pixels),
    )  # fmt: skip
    if stored is None:
        return _Finding(problems)
    if image is not None and image.shape[:2] != stored.shape[:2]:
        problems.append(
            Problem(
                "size mismatch",
                pair.mask,
                f"{pair.mask}: mask is {stored.shape[1]}x{stored.shape[0]}, its photo "
                f"{pair.image.name} is {image.shape[1]}x{image.shape[0]}; they must be equal. "
                "Replace one of them (a mask may be resized with nearest neighbour only)",
            )
        )
    try:
        labels = dataset.table.decode(stored, pair.mask)
    except DataError as error:
        problems.append(Problem("unknown value", pair.mask, str(error)))
        return _Finding(problems)
    counts = np.bincount(labels.ravel(), minlength=256)
    if counts[VOID] == labels.size:
        problems.append(
            Problem(
                "all void",
                pair.mask,
                f"{pair.mask}: every pixel is void, so nothing can be learned or scored; label it "
                "or take it out of the split",
            )
        )
    return _Finding(problems, counts[: len(dataset.labels)] > 0)


def _try(
    problems: list[Problem],
    path: Path,
    what: str,
    partner: Path,
    read: Callable[[], npt.NDArray[np.integer[Any]]],
) -> npt.NDArray[np.integer[Any]] | None:
    try:
        return read()
    except NotFoundError:
        problems.append(
            Problem(
                "missing partner",
                path,
                f"{path}: no such {what}, though it is listed or {partner.name} is there; add it "
                f"or take {partner.stem} out of the split",
            )
        )
    except DataError as error:
        problems.append(Problem("unreadable", path, str(error)))
    return None


def _split_problems(dataset: DataSet) -> list[Problem]:
    problems = [
        Problem(
            "empty split",
            dataset.root,
            f"{dataset.root}: split {name!r} is empty; add photos to it or remove it",
        )
        for name, pairs in dataset.splits.items()
        if not pairs
    ]
    if not dataset.splits:
        problems.append(
            Problem("empty split", dataset.root, f"{dataset.root}: there are no splits")
        )
    for first, second in itertools.combinations(dataset.splits, 2):
        if roles(first) & roles(second):
            continue
        images = {pair.image: pair for pair in dataset.splits[first]}
        problems += [
            Problem(
                "in two splits",
                pair.image,
                f"{pair.image}: in split {first!r} and in {second!r}, so the score on one is "
                "flattered by the other; take it out of one",
            )
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


def _absent_classes(
    dataset: DataSet, present: Mapping[Pair, npt.NDArray[np.bool_]]
) -> list[Problem]:
    """Classes that no mask shows, and classes that only other splits than ``train`` show."""
    train_pairs = [pair for pair in dataset.splits.get("train", ()) if pair in present]
    if not present:
        return []  # no mask could be read, and that has been said
    anywhere = np.any(list(present.values()), axis=0)
    train = np.any([present[pair] for pair in train_pairs], axis=0) if train_pairs else anywhere
    problems = []
    for index, name in enumerate(dataset.labels.names):
        kind: Kind = "absent class"
        if not anywhere[index]:
            text = f"class {index} {name!r} occurs in no mask; remove it, or check the mask table"
        elif not train[index]:
            text = (
                f"class {index} {name!r} occurs in no mask of 'train', so it cannot be learned; "
                "move photos that show it to 'train', or remove the class"
            )
        else:
            continue
        problems.append(Problem(kind, dataset.root, f"{dataset.root}: {text}"))
    return problems
