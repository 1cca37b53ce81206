"""Files that name the classes of a data set, as labelling tools write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from upscore.core.labels import BACKGROUND, VOID, VOID_COLOR, Color, Labels
from upscore.core.quoting import quote
from upscore.data.class_tables import has_titles, read_table
from upscore.data.lists import read_list
from upscore.data.masks import MaskTable
from upscore.errors import DataError, SettingsError

UNNUMBERED_VOID = ("__ignore__", "_ignore_")
"""labelme's names of void, whose number is -1 where they are the first."""
VOID_NAMES = ("void", *UNNUMBERED_VOID, "ignore")
"""Entries of a class file that are no class, in any case of letters."""
LABELME_BACKGROUND = "_background_"
_NUMBERED = re.compile(r"(\d{1,3})\s*[:,;=\s]\s*(\S.*)")
_COLOR = re.compile(r"(\d{1,3}),(\d{1,3}),(\d{1,3})")


@dataclass(frozen=True)
class ClassFile:
    """The classes that a file names, and what the masks hold: numbers, or the file's colours."""

    path: Path
    labels: Labels
    table: MaskTable


def find_class_file(root: Path, *others: str) -> ClassFile | None:
    """The class file in ``root``, if there is one.

    Args:
        others: folders in ``root`` that may hold one, too.

    Raises:
        DataError: a file that names no classes, or two files that name other ones.
    """
    folders = [root, *(root / name for name in others)]
    found = [
        read(there[name])
        for there in map(_files, folders)
        for name, read in READERS.items()
        if name in there
    ]
    for other in found[1:]:
        if other.labels.names != found[0].labels.names:
            first, second = (file.path.relative_to(root) for file in (found[0], other))
            raise DataError(
                f"{root}: {first} and {second} name different classes; keep the one that fits the "
                "masks"
            )
    return found[0] if found else None


def _files(folder: Path) -> dict[str, Path]:
    """The files of a folder by their names in small letters."""
    return {path.name.lower(): path for path in folder.glob("*.*") if path.is_file()}


def read_classes(path: Path) -> ClassFile:
    """A text file with one class name a line, in the order of the mask values.

    Lines that begin with ``#`` are left out. Numbers before all names are their values.

    The values of lines that name void (``VOID_NAMES``) are void, as 255 is. labelme's
    ``__ignore__`` has no value as the first line, which the next one takes.

    Raises:
        DataError: empty file, a name twice, or more than 255 names.
    """
    lines = read_list(path)
    if len(lines) == 1 and "," in lines[0]:
        raise DataError(
            f"{path}: {quote(lines[0], 80)} is one line; expected one class name a line"
        )
    if numbered := _numbered(path, lines):
        return _of_values(path, numbered)
    if lines and lines[0].lower() in UNNUMBERED_VOID:
        lines = lines[1:]
    return _of_values(path, dict(enumerate(lines)))


def read_class_table(path: Path) -> ClassFile:
    """A CSV file with the value or colour of each class: Roboflow's ``_classes.csv`` and others.

    Without titles it is a list of names.

    Raises:
        DataError: another kind of table, a name, value or colour twice, or more than 255 classes.
    """
    if not any(map(has_titles, read_list(path)[:1])):
        return read_classes(path)
    names: dict[int | Color, str] = {}
    for key, name in read_table(path):
        if key in names:
            raise DataError(f"{path}: gives {key} to {names[key]!r} and {name!r}")
        names[key] = name
    values = {key: name for key, name in names.items() if isinstance(key, int)}
    colors = {key: name for key, name in names.items() if not isinstance(key, int)}
    return _of_colors(path, colors) if colors else _of_values(path, values)


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
                f"{path}: {line[:80]!r} is no class; expected CVAT's name:red,green,blue::"
            )
        if name in colors or color in colors.values():
            raise DataError(f"{path}: {line[:80]!r} repeats a name or colour; give each its own")
        colors[name] = color
    return _of_colors(path, {color: name for name, color in colors.items()})


def _of_values(path: Path, names: dict[int, str]) -> ClassFile:
    """The classes of some values, in their order; 255 is void where it has no name."""
    values = [value for value in sorted(names) if names[value].lower() not in VOID_NAMES]
    labels = _labels(path, [_usual(names[value]) for value in values])
    table = {value: index for index, value in enumerate(values)}
    return ClassFile(
        path, labels, MaskTable(values={**dict.fromkeys((VOID, *names), VOID), **table})
    )


def _of_colors(path: Path, names: dict[Color, str]) -> ClassFile:
    """The classes of some colours; VOC's colour of void is void where it has no name."""
    colors = [color for color, name in names.items() if name.lower() not in VOID_NAMES]
    labels = _labels(path, [_usual(names[color]) for color in colors], colors)
    table = {color: index for index, color in enumerate(colors)}
    void = dict.fromkeys((VOID_COLOR, *names), VOID)
    return ClassFile(path, labels, MaskTable(colors={**void, **table}))


def _usual(name: str) -> str:
    return BACKGROUND if name == LABELME_BACKGROUND else name


def _numbered(path: Path, lines: list[str]) -> dict[int, str]:
    """The values and names of lines such as ``0 road`` and ``1: car``, in any order.

    Empty unless all lines are of this kind.
    """
    matches = [_NUMBERED.fullmatch(line) for line in lines]
    found = [(int(match[1]), match[2]) for match in matches if match]
    if not found or len(found) < len(lines):
        return {}
    names = dict(found)
    if len(names) < len(found):
        raise DataError(f"{path}: some lines have the same number; expected one class name a line")
    if (first := min(names)) and max(names) - first == len(names) - 1:
        raise DataError(
            f"{path}: the lines are numbered from {first}, and the first line is value 0; begin "
            "with 0, or say in a dataset.yaml what each value means (see docs/data.md)"
        )
    return names


def _labels(path: Path, names: list[str], colors: list[Color] | None = None) -> Labels:
    try:
        return Labels.of(names, colors)
    except SettingsError as error:
        raise DataError(f"{path}: {error}; expected one class name a line") from error


READERS: dict[str, Callable[[Path], ClassFile]] = {
    "classes.txt": read_classes,
    "labelmap.txt": read_label_map,
    "class_names.txt": read_classes,
    "labels.txt": read_classes,
    "obj.names": read_classes,
    "_darknet.labels": read_classes,
    "_classes.csv": read_class_table,
    "classes.csv": read_class_table,
    "class_dict.csv": read_class_table,
}
"""Names of such files, in the order in which they are looked for, and how each is read."""
