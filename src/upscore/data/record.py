"""What a data set was when work with it began, to see later whether it is still the same.

The content of a file is hashed once, and again only where its size or times have changed since.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from upscore.core.files import checksum, read_json, write_text
from upscore.core.labels import VOID, Color, Labels
from upscore.core.parallel.prefetch import prefetch
from upscore.core.parallel.processes import num_cores
from upscore.core.plural import plural
from upscore.core.quoting import join
from upscore.data.dataset import DataSet, Split
from upscore.data.masks import MaskTable
from upscore.data.pair import Pair
from upscore.errors import DataError, RunError

KINDS = ("photo", "mask", "instance mask")
LISTED = 3
"""Names and values that a difference spells out."""
SHOWN = 5
"""Differences that a message spells out."""


class FileMark(NamedTuple):
    """A file: what shows at a glance that it may have changed, and the hash of its content."""

    size: int
    modified_ns: int
    changed_ns: int
    digest: str


Marks = Mapping[str, tuple[FileMark, ...]]
"""Of each photo of a split, by its name and in the order of the split: the files of ``KINDS``."""


@dataclass(frozen=True)
class DataRecord:
    """Classes, meaning of the masks, and files of some splits.

    Attributes:
        masks: stored value or colour, as text, to the name of its class or "void".
        reading: settings of how photos and turned masks are read, as text.
    """

    labels: Labels
    masks: Mapping[str, str]
    reading: Mapping[str, str]
    splits: Mapping[str, Marks]

    @classmethod
    def of(
        cls, dataset: DataSet, splits: Sequence[Split], known: DataRecord | None = None
    ) -> DataRecord:
        """Record some splits of a data set.

        Args:
            known: an earlier record; files whose size and times are those of it are not read.

        Raises:
            DataError: a file cannot be read.
        """
        before: dict[tuple[str, str], FileMark] = {}
        for marks in known.splits.values() if known else ():
            for name, files in marks.items():
                before.update(
                    {(name, kind): mark for kind, mark in zip(KINDS, files, strict=False)}
                )
        found: dict[tuple[str, str], FileMark] = {}
        changed: list[tuple[tuple[str, str], Path]] = []
        for pair in {pair for split in splits for pair in split.pairs}:
            for kind, path in _files(dataset, pair):
                key = (pair.name, kind)
                mark = _look(path)
                if key in before and before[key][:3] == mark[:3]:
                    found[key] = before[key]
                else:
                    found[key] = mark
                    changed.append((key, path))
        digests = prefetch(lambda item: _digest(item[1]), changed, workers=num_cores(), depth=64)
        for (key, _), digest in zip(changed, digests, strict=True):
            found[key] = found[key]._replace(digest=digest)
        return cls(
            dataset.labels,
            _meanings(dataset.table, dataset.labels),
            _reading(dataset),
            {
                split.name: {
                    pair.name: tuple(found[pair.name, kind] for kind, _ in _files(dataset, pair))
                    for pair in split.pairs
                }
                for split in splits
            },
        )

    @property
    def digest(self) -> str:
        """16 hex digits of everything but the times of files."""
        files = {
            split: [[name, *(mark.digest for mark in files)] for name, files in marks.items()]
            for split, marks in self.splits.items()
        }
        content = [self.labels.to_json(), dict(self.masks), dict(self.reading), files]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def write(self, path: Path) -> None:
        """Raises OutputError."""
        content = {
            "classes": self.labels.to_json(),
            "masks": dict(self.masks),
            "reading": dict(self.reading),
            "splits": {split: list(marks.items()) for split, marks in self.splits.items()},
        }
        write_text(path, json.dumps(content) + "\n")  # names may hold bytes that are no text

    @classmethod
    def read(cls, path: Path) -> DataRecord | None:
        """What :meth:`write` wrote; None where there is no such file. Raises RunError."""
        if not path.exists():
            return None
        content = read_json(path)
        try:
            return cls(
                Labels.from_json(content["classes"]),
                content["masks"],
                content["reading"],
                {
                    split: {
                        name: tuple(
                            FileMark(int(size), int(modified), int(changed), str(digest))
                            for size, modified, changed, digest in files
                        )
                        for name, files in marks
                    }
                    for split, marks in content["splits"].items()
                },
            )
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise RunError(
                f"{path}: damaged; delete it to continue without a comparison of the data set"
            ) from error

    def differences(self, now: DataRecord) -> list[str]:
        """What differs in a later record, a short text each."""
        lines = [*_class_differences(self.labels, now.labels)]
        lines += _differences("mask value ", self.masks, now.masks, "not allowed")
        lines += _differences("", self.reading, now.reading, "not set")
        for name in [*self.splits, *(name for name in now.splits if name not in self.splits)]:
            lines += _split_differences(name, self.splits.get(name, {}), now.splits.get(name, {}))
        return lines


def summary(differences: Sequence[str]) -> str:
    """The first differences in one sentence, and how many more there are."""
    more = f"; and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
    return "; ".join(differences[:SHOWN]) + more


def _files(dataset: DataSet, pair: Pair) -> Iterator[tuple[str, Path]]:
    yield from zip(KINDS, (pair.image, pair.mask), strict=False)
    if pair.name in dataset.instances:
        yield KINDS[2], dataset.instances[pair.name]


def _look(path: Path) -> FileMark:
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error
    if not stat.S_ISREG(found.st_mode):  # a pipe would wait for ever
        raise DataError(f"{path}: is not a file; replace or remove it")
    # a clock that is wrong does no harm: times are compared, not ordered
    return FileMark(found.st_size, found.st_mtime_ns, found.st_ctime_ns, "")


def _digest(path: Path) -> str:
    try:
        return checksum(path, "sha256")[:32]
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from error


def _meanings(table: MaskTable, labels: Labels) -> dict[str, str]:
    known: Mapping[int, int] | Mapping[Color, int] = table.values or table.colors or {}
    return {
        str(value): "void" if label == VOID else labels.names[label]
        for value, label in sorted(known.items())
    }


def _reading(dataset: DataSet) -> dict[str, str]:
    settings = dataset.photo_values.to_json()
    if dataset.drawn_on is not None:
        settings["drawn_on"] = dataset.drawn_on
    return {key: str(value) for key, value in settings.items()}


def _class_differences(ours: Labels, theirs: Labels) -> Iterator[str]:
    if len(ours) != len(theirs):
        yield (
            f"{len(ours)} classes in the run ({join(ours.names)}), {len(theirs)} now "
            f"({join(theirs.names)})"
        )
        return
    names = zip(ours.names, theirs.names, strict=True)
    different = [(f"class {i}", *pair) for i, pair in enumerate(names) if pair[0] != pair[1]]
    yield from _changes(different)
    colors = zip(ours.names, theirs.names, ours.colors, theirs.colors, strict=True)
    yield from _changes(
        [(f"the colour of {a}", str(c), str(d)) for a, b, c, d in colors if a == b and c != d]
    )


def _differences(
    what: str, ours: Mapping[str, str], theirs: Mapping[str, str], none: str
) -> Iterator[str]:
    yield from _changes(
        [
            (f"{what}{key}", ours.get(key, none), theirs.get(key, none))
            for key in dict.fromkeys([*ours, *theirs])
            if ours.get(key) != theirs.get(key)
        ]
    )


def _changes(items: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    for what, before, now in items[:LISTED]:
        yield f"{what} is {before} in the run, {now} now"
    if len(items) > LISTED:
        yield f"and {len(items) - LISTED} more like this"


def _split_differences(split: str, ours: Marks, theirs: Marks) -> Iterator[str]:
    if gone := [name for name in ours if name not in theirs]:
        yield f"{plural(len(gone), 'photo')} of split {split!r} gone ({join(gone)})"
    if new := [name for name in theirs if name not in ours]:
        yield f"{plural(len(new), 'photo')} new in split {split!r} ({join(new)})"
    if not gone and not new and list(ours) != list(theirs):
        yield f"the photos of split {split!r} are in another order"
    both = [name for name in ours if name in theirs]
    for place, kind in enumerate(KINDS):
        other = [
            name
            for name in both
            if _digest_of(ours, name, place) != _digest_of(theirs, name, place)
        ]
        if other:
            yield (
                f"{plural(len(other), kind)} of split {split!r} with other content ({join(other)})"
            )


def _digest_of(marks: Marks, name: str, place: int) -> str | None:
    return marks[name][place].digest if place < len(marks[name]) else None
