"""Where photos and masks are, as a dataset.yaml says it: ``photos/{split}/**/{name}_left.png``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

from upscore.core.files import is_folder
from upscore.core.image_files import is_image
from upscore.data.lists import same_spelling

_TOKENS = re.compile(r"(\*\*/|\{name\}|\*)")


class Pattern:
    """A path with ``{name}`` for the name of a photo, or ``*`` where there is no ``{name}``.

    Beside ``{name}``, ``*`` is any part of one folder or file name; ``**/`` is any number of
    folders. Capital and small letters are the same.

    Args:
        folders_in_names: whether a name may hold folders, as names in list files may.
    """

    def __init__(self, text: str, *, folders_in_names: bool = False) -> None:
        self.text = text
        self.folders_in_names = folders_in_names
        self._tokens = [token for token in _TOKENS.split(text) if token]
        self._name = "{name}" if "{name}" in self._tokens else "*"

    @property
    def num_names(self) -> int:
        """How often the name stands in the pattern, which must be once."""
        return self._tokens.count(self._name)

    @property
    def num_levels(self) -> int:
        """How many parts of the pattern stand for free folders."""
        return sum(self._is_level(place) for place in range(len(self._tokens)))

    @property
    def num_fixed(self) -> int:
        """How many letters are given."""
        return sum(len(token) for token in self._tokens if not _TOKENS.fullmatch(token))

    def template(self, root: Path) -> str:
        """Path with ``{name}``, of a file that is not there."""
        free = (token for token in self._tokens if token != "**/")
        named = "".join("{name}" if token == self._name else token for token in free)
        path = str(root / named)
        return path if Path(path).suffix else f"{path}.png"

    def files(self, root: Path, *, with_levels: bool) -> dict[str, list[Path]]:
        """The files below ``root`` that match, by name.

        Args:
            with_levels: free folders are a part of the name.
        """
        found: dict[str, list[Path]] = {}
        base = root / self._base
        is_bare = self._tokens[-1] == self._name
        for relative in files_below(base, self._depth):
            match = self._expression.fullmatch(relative)
            if not match:
                continue
            name = match["name"]
            if is_bare:
                if not is_image(base / relative):
                    continue
                name, _ = os.path.splitext(name)  # noqa: PTH122 - a name, not a path
            if with_levels:
                levels = (text for key, text in match.groupdict().items() if key != "name")
                name = "/".join([*(text.rstrip("/") for text in levels if text), name])
            found.setdefault(same_spelling(name), []).append(base / relative)
        return found

    @cached_property
    def _base(self) -> str:
        """The folder before all that is free."""
        first = self._tokens[0]
        return "" if _TOKENS.fullmatch(first) else first[: first.rfind("/") + 1]

    @property
    def _depth(self) -> int | None:
        """How many folders below the base files can be; None for any number."""
        if self.folders_in_names or "**/" in self._tokens:
            return None
        return self.text.count("/") - self._base.count("/")

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        parts = []
        for place, token in enumerate(self._tokens):
            if token == self._name:
                parts.append("(?P<name>.+)" if self.folders_in_names else "(?P<name>[^/]+)")
            elif token == "**/":
                parts.append(f"(?P<level{place}>(?:[^/]+/)*)")
            elif token == "*":
                is_level = self._is_level(place)
                parts.append(f"(?P<level{place}>[^/]+)" if is_level else "[^/]*")
            else:
                text = token[len(self._base) :] if place == 0 else token
                parts.append(re.escape(same_spelling(text)))
        return re.compile("".join(parts), re.IGNORECASE)

    def _is_level(self, place: int) -> bool:
        token = self._tokens[place]
        if token == "**/":
            return True
        before = self._tokens[place - 1] if place else "/"
        after = self._tokens[place + 1] if place + 1 < len(self._tokens) else ""
        is_whole = before.endswith("/") and after.startswith("/")
        return token == "*" and token != self._name and is_whole


def match_pair(root: Path, image: Pattern, mask: Pattern) -> tuple[dict[str, list[Path]], ...]:
    """The files of both patterns, by name; free folders are a part of it where both have as many.

    A file that both match belongs to the pattern that gives more letters.
    """
    with_levels = image.num_levels == mask.num_levels
    images = image.files(root, with_levels=with_levels)
    masks = mask.files(root, with_levels=with_levels)
    common = {p for paths in images.values() for p in paths}
    common &= {p for paths in masks.values() for p in paths}
    if common:
        wider = images if image.num_fixed < mask.num_fixed else masks
        for name, paths in list(wider.items()):
            wider[name] = [path for path in paths if path not in common]
            if not wider[name]:
                del wider[name]
    return images, masks


def files_below(base: Path, depth: int | None = None) -> Iterator[str]:
    """Paths of the files below a folder, relative to it, with ``/``, in order; none without it.

    Hidden files and folders are left out. Links to folders are followed, into none twice on the
    way.

    Args:
        depth: how many folders deep; None for all.
    """
    yield from _below(str(base), "", depth, frozenset())


def _below(
    folder: str, prefix: str, depth: int | None, above: frozenset[tuple[int, int]]
) -> Iterator[str]:
    try:
        status = os.stat(folder)  # noqa: PTH116 - strings are fast for many files
        with os.scandir(folder) as found:
            entries = sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    here = (status.st_dev, status.st_ino)
    if here in above:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if is_folder(entry):
            if depth is None or depth > 0:
                deeper = None if depth is None else depth - 1
                yield from _below(entry.path, f"{prefix}{entry.name}/", deeper, above | {here})
        elif entry.is_symlink() or entry.is_file():  # links to nothing are named when read
            yield prefix + entry.name
