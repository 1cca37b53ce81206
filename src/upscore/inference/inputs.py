"""Input files: files, folders and patterns of the command line, with names for their results."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from upscore.core.images import IMAGE_SUFFIXES
from upscore.errors import NotFoundError, SettingsError

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg")


@dataclass(frozen=True)
class InputKind:
    """The files that a command takes.

    Attributes:
        what: noun for messages, as ``photo``.
        suffixes: of the files that are found in folders.
        named: suffixes of files that are taken by name or pattern, but not found in folders.
        named_what: noun for those.
    """

    what: str
    suffixes: tuple[str, ...]
    named: tuple[str, ...] = ()
    named_what: str = ""


PHOTOS = InputKind("photo", IMAGE_SUFFIXES, named=VIDEO_SUFFIXES, named_what="video")


@dataclass(frozen=True)
class InputFile:
    """An input file and the name of its results: ``sub/folder/photo``, without a suffix."""

    source: Path
    name: str

    @property
    def is_video(self) -> bool:
        return self.source.suffix.lower() in VIDEO_SUFFIXES


def find_inputs(
    inputs: Sequence[str | Path], out: Path, kind: InputKind = PHOTOS
) -> list[InputFile]:
    """Every file of a kind (photos and videos) in ``inputs``, each once, in a fixed order.

    - A file is taken as it is and named by its stem.
    - A folder is searched with its subfolders, sorted, for photos (videos are given one by one or
      by a pattern); results keep the subfolders. Hidden files and ``out`` inside are skipped.
    - A pattern (``*``, ``?``, ``[...]``, ``**`` for any folders) is searched in the same way from
      its first folder with a wildcard on; it finds photos and videos.

    Raises:
        NotFoundError: an input that does not exist, or nothing of the kind in it.
        SettingsError: two files whose results would have the same name.
    """
    if not inputs:
        also = f" or {kind.named_what}s" if kind.named else ""
        raise SettingsError(f"no input; name {kind.what}s, folders, patterns{also}")
    files_by_path: dict[Path, InputFile] = {}
    for item in inputs:
        for file in _expand(str(item), out.resolve(), kind):
            files_by_path.setdefault(file.source.resolve(), file)
    by_name: dict[str, InputFile] = {}
    for file in files_by_path.values():
        other = by_name.setdefault(file.name, file)
        if other is not file:
            raise SettingsError(
                f"{other.source} and {file.source} would both be written as {file.name!r}; do "
                "them apart, each with its own --out (or rename one)"
            )
    return list(by_name.values())


def _expand(item: str, out: Path, kind: InputKind) -> list[InputFile]:
    path = Path(item)
    if path.is_file():
        return [InputFile(path, path.stem)]
    if path.is_dir():
        found = list(walk(path, out))
        files = [file for file in found if file.suffix.lower() in kind.suffixes]
        if not files:
            named = sum(file.suffix.lower() in kind.named for file in found)
            what = f"{named} {kind.named_what}s"
            hint = f"; name its {what}, or give a pattern ('{path}/*')" if named else ""
            raise NotFoundError(
                f"{path}: no {kind.what} in this folder or below ({_kinds(kind.suffixes)}){hint}"
            )
        return [InputFile(file, name_below(file, path)) for file in files]
    if glob.has_magic(item):
        base = _fixed_part(path)
        # results of an earlier call are no inputs, unless the pattern is of their folder
        skip_results = out not in (base.resolve(), *base.resolve().parents)
        matches = sorted(base.glob(str(path.relative_to(base))))
        wanted = (*kind.suffixes, *kind.named)
        files = [
            match
            for match in matches
            if match.is_file()
            and not any(part.startswith(".") for part in match.relative_to(base).parts)
            and match.suffix.lower() in wanted
            and not (skip_results and out in match.resolve().parents)
        ]
        if not files:
            what = f"{kind.what} or {kind.named_what}" if kind.named else kind.what
            raise NotFoundError(f"{item}: the pattern matches no {what} ({_kinds(wanted)})")
        return [InputFile(file, name_below(file, base)) for file in files]
    raise NotFoundError(f"{item}: no such file or folder")


def name_below(file: Path, folder: Path) -> str:
    """``sub/folder/photo``: the name of a file's results."""
    return file.relative_to(folder).with_suffix("").as_posix()


def walk(folder: Path, out: Path) -> Iterator[Path]:
    """Files of a folder and below, sorted, without hidden ones and without the results."""
    for where, folders, files in os.walk(folder):
        here = Path(where)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and (here / name).resolve() != out
        )
        yield from (here / name for name in sorted(files) if not name.startswith("."))


def _fixed_part(pattern: Path) -> Path:
    """The folders of a pattern before the first wildcard."""
    fixed: list[str] = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _kinds(suffixes: Sequence[str]) -> str:
    return ", ".join(suffix.lstrip(".") for suffix in suffixes)
