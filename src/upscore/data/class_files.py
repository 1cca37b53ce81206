"""Files that name the classes of a data set, as labelling tools write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from upscore.core.labels import BACKGROUND, VOID, VOID_COLOR, Color, Labels
from upscore.data.lists import read_list
from upscore.data.masks import MaskTable
from upscore.errors import DataError, SettingsError

VOID_NAMES = ("void", "__ignore__", "_ignore_", "ignore")
"""Entries of a class file that are no class."""
_NUMBERED = re.compile(r"(\d{1,3})\s*[:,;=\s]\s*(\S.*)")
_COLOR = re.compile(r"(\d{1,3}),(\d{1,3}),(\d{1,3})")


@dataclass(frozen=True)
class ClassFile:
    """The classes that a file names, and what the masks hold: numbers, or the file's colours."""

    path: Path
    labels: Labels
    table: MaskTable


def find_class_file(root: Path) -> ClassFile | None:
    """The class file in ``root``, if there is one.

    Raises:
        DataError: a file that names no classes, or two files that name other ones.
    """
    found = [reader(root / name) for name, reader in READERS.items() if (root / name).is_file()]
    for other in found[1:]:
        if other.labels.names != found[0].labels.names:
            raise DataError(
                f"{root}: {found[0].path.name} and {other.path.name} name different classes; keep "
                "the one that fits the masks"
            )
    return found[0] if found else None


def read_classes(path: Path) -> ClassFile:
    """A text file with one class name a line, in the order of the mask values.

    Lines that begin with ``#`` are left out, and so are numbers from 0 before the names.

    The names that labelme gives to void, at the beginning, and to the background are known.

    Raises:
        DataError: empty file, a name twice, or more than 255 names.
    """
    names = _without_numbers(path, read_list(path))
    if names and names[0] in VOID_NAMES:
        names = names[1:]
    if names and names[0] == "_background_":
        names[0] = BACKGROUND
    labels = _labels(path, names)
    return ClassFile(path, labels, MaskTable.indices(len(labels)))


def read_label_map(path: Path) -> ClassFile:
    """CVAT's ``labelmap.txt``: lines of ``name:red,green,blue:parts:actions``.

    Without colours it is a list of names.

    Raises:
        DataError: another kind of line, a name or colour twice, or more than 255 classes.
    """
    lines = read_list(path)
    if not any(":" in line for line in lines):
        return read_classes(path)
    colors: dict[str, Color] = {}
    for line in lines:
        name, _, rest = line.partition(":")
        match = _COLOR.fullmatch(rest.partition(":")[0].replace(" ", ""))
        color = tuple(map(int, match.groups())) if match else ()
        if len(color) != 3 or max(color) > 255:
            raise DataError(
                f"{path}: {line[:80]!r} is no class; want name:red,green,blue:: as CVAT writes it"
            )
        if name in colors or color in colors.values():
            raise DataError(f"{path}: {line[:80]!r} repeats a name or colour; give each its own")
        colors[name] = color
    void = {colors.pop(name) for name in VOID_NAMES if name in colors}
    labels = _labels(path, list(colors), list(colors.values()))
    table = {color: index for index, color in enumerate(labels.colors)}
    unused = {*void, VOID_COLOR} - table.keys()
    return ClassFile(path, labels, MaskTable(colors={**table, **dict.fromkeys(unused, VOID)}))


def _without_numbers(path: Path, lines: list[str]) -> list[str]:
    """The names of lines such as ``0 road`` and ``1: car``."""
    matches = [_NUMBERED.fullmatch(line) for line in lines]
    found = [(int(match[1]), match[2]) for match in matches if match]
    first = found[0][0] if found else 0
    if [number for number, _ in found] != list(range(first, first + len(lines))):
        return lines
    if first:
        raise DataError(
            f"{path}: the lines are numbered from {first}, and the first line is value 0; begin "
            "with 0, or say in a dataset.yaml what each value means (see docs/data.md)"
        )
    return [name for _, name in found]


def _labels(path: Path, names: list[str], colors: list[Color] | None = None) -> Labels:
    try:
        return Labels.of(names, colors)
    except SettingsError as error:
        raise DataError(f"{path}: {error}; want one class name a line") from error


READERS: dict[str, Callable[[Path], ClassFile]] = {
    "classes.txt": read_classes,
    "labelmap.txt": read_label_map,
    "class_names.txt": read_classes,
    "labels.txt": read_classes,
    "obj.names": read_classes,
    "_darknet.labels": read_classes,
}
"""Names of such files, in the order in which they are looked for, and how each is read."""
