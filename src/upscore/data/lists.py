"""List files: one reader and one rule for the names in them, for all layouts."""

from __future__ import annotations

import codecs
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from upscore.core.damage import read_bytes
from upscore.core.image_files import IMAGE_SUFFIXES
from upscore.errors import DataError

DEEPEST = 8
"""So many last parts of a listed path count."""
_COMMENT = re.compile(r"\s#.*$")
_QUOTED = re.compile(r"\"([^\"]*)\"|'([^']*)'|([^\s,;]+)")
_FILE_NAMES = re.compile(
    rf"\S.*?(?:{'|'.join(re.escape(suffix) for suffix in IMAGE_SUFFIXES)})(?=\s|$)", re.IGNORECASE
)
LONGEST_LIST = 256_000_000
"""Bytes; some million names."""

_PRESENCE = ("-1", "0", "1")
"""The second column of VOC's lists of one class."""


def read_lines(path: Path) -> list[str]:
    """Lines of a text file without blank ones and surrounding space.

    UTF-8, or UTF-16 that says so in its first bytes, with any line ends.

    Raises:
        NotFoundError: no such file.
        DataError: not such a text, or a pipe.
    """
    content = read_bytes(path, LONGEST_LIST)
    try:
        is_wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = content.decode("utf-16" if is_wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a UTF-8 text file; expected one name a line") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def read_list(path: Path) -> list[str]:
    """The lines of a list file, without those that begin with ``#``. Raises as read_lines."""
    return [line for line in read_lines(path) if not line.startswith("#")]


def same_spelling(name: str) -> str:
    """Letters with accents as one character, whichever of Unicode's two ways the disk uses."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def without_suffix(name: str) -> str:
    """A listed name without the suffix of an image, if it has one."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
    return stem if suffix.lower() in IMAGE_SUFFIXES else name


class Names:
    """The names of files, found by what list files call them.

    A listed name may have a suffix of an image, and folders before it. Names that have folders
    themselves are found by all of these, or by the last part alone where only one name has it.
    """

    def __init__(self, files: Mapping[str, Sequence[Path]]) -> None:
        self._names = {name: name for name in files}
        self._last: dict[str, str | None] = {}
        for name, paths in files.items():
            depth = name.count("/") + 1
            for path in paths:
                parts = (*path.parts[-depth - 1 : -1], path.stem)
                for tail in ("/".join(parts[1:]), "/".join(parts)):
                    self._names.setdefault(same_spelling(tail), name)
            if depth > 1:
                last = name.rpartition("/")[2]
                self._last[last] = None if last in self._last else name

    def __contains__(self, text: str) -> bool:
        """Whether ``text`` is a name as it stands, or with a suffix."""
        return text in self._names or without_suffix(text) in self._names

    def find(self, text: str) -> str | None:
        """The name that ``text`` of a list stands for; None where there is none."""
        for listed in dict.fromkeys((text, without_suffix(text))):
            parts = path_parts(listed)
            if len(parts) == 1 and (name := self._last.get(parts[0])) is not None:
                return name
            fewest = 1 if self.are_flat else min(2, len(parts))
            for start in range(len(parts) - fewest + 1):
                name = self._names.get("/".join(parts[start:]))
                if name is not None:
                    return name
        return None

    @property
    def are_flat(self) -> bool:
        """Whether no name has folders."""
        return not self._last


def path_parts(listed: str) -> list[str]:
    """The last parts of a listed path."""
    return [part for part in listed.split("/") if part not in ("", ".")][-DEEPEST:]


def split_line(line: str, photos: Names, masks: Names) -> tuple[str, str | None]:
    """The photo and, where the line has a second column, the mask that a line of a list names.

    Names may have spaces: the whole line is a photo where one has this name. Columns are separated
    by tab, comma, semicolon or space; quotes are removed and ``\\`` is read as ``/``.
    """
    line = _clean(line)
    if line in photos:
        return line, None
    line = _clean(_COMMENT.sub("", line))
    columns = [column for column in map(_clean, _columns(line)) if column]
    if len(columns) < 2:
        return columns[0] if columns else line, None
    photo, second = columns[:2]
    if photos.find(photo) is not None and second in _PRESENCE:
        return photo, None
    if masks.find(second) is not None or without_suffix(second) != second:
        return photo, second
    return line, None


def _clean(text: str) -> str:
    text = text.strip()
    if len(text) > 1 and text[0] in "\"'" and text.find(text[0], 1) == len(text) - 1:
        text = text[1:-1].strip()
    return same_spelling(text.replace("\\", "/"))


def _columns(line: str) -> list[str]:
    if line[:1] in "\"'":
        return ["".join(groups) for groups in _QUOTED.findall(line)]
    if re.search(r"[\t,;]", line):
        return re.split(r"[\t,;]\s*", line)
    files = _FILE_NAMES.findall(line)
    rest = _FILE_NAMES.sub("", line).split()
    return [*files, *rest] if files and len(rest) < 2 else line.split()
