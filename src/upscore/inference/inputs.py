"""Input files: files, folders and patterns of the command line, with names for their results."""

from __future__ import annotations

import fnmatch
import glob
import itertools
import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from upscore.core.choices import near_path
from upscore.core.files import exists, is_folder, real_path
from upscore.core.image_files import IMAGE_SUFFIXES, is_image
from upscore.core.images import missing, num_pages
from upscore.core.plural import plural
from upscore.core.quoting import join
from upscore.errors import DataError, NotFoundError, SettingsError

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp"),
    *(".mts", ".m2ts", ".ogv"),
)

MAX_LINKS = 4
"""Linked folders on the way to a file; folders that link to each other have countless ways."""

LITTER = ("thumbs.db", "desktop.ini")
"""Files that systems leave in folders, passed over like hidden ones."""


@dataclass(frozen=True)
class InputKind:
    """The files that a command takes.

    Attributes:
        what: noun for messages, as ``photo``.
        suffixes: likewise.
        takes: whether a file that is found in a folder is one.
        named: suffixes of files that are taken by name or pattern, but not found in folders.
        named_what: noun for those.
        keeps_suffixes: whether results of files that differ only in the suffix are named with it;
            else they are refused.
    """

    what: str
    suffixes: tuple[str, ...]
    takes: Callable[[Path], bool]
    named: tuple[str, ...] = ()
    named_what: str = ""
    keeps_suffixes: bool = False


PHOTOS = InputKind(
    "photo",
    IMAGE_SUFFIXES,
    is_image,
    named=VIDEO_SUFFIXES,
    named_what="video",
    keeps_suffixes=True,
)


@dataclass(frozen=True)
class InputFile:
    """An input file and the name of its results: ``sub/folder/photo``, without a suffix unless
    another file has the same name.

    ``page`` is that of a file of several, from 0.
    """

    source: Path
    name: str
    page: int | None = None

    @property
    def is_video(self) -> bool:
        return self.source.suffix.lower() in VIDEO_SUFFIXES

    def pages(self, *, max_pixels: int) -> list[InputFile]:
        """An input for each page, named ``NAME/000001``; a file of one is its own only page."""
        if self.is_video:
            return [self]
        try:
            num = num_pages(self.source, max_pixels=max_pixels)
        except (DataError, NotFoundError):
            return [self]  # said when it is read
        names = (f"{self.name}/{number:06d}" for number in range(1, num + 1))
        pages = [replace(self, name=name, page=page) for page, name in enumerate(names)]
        return pages if num > 1 else [self]


@dataclass(frozen=True)
class Inputs:
    """The files to work on, and those that were passed over because they are of another kind."""

    files: list[InputFile]
    passed_over: list[Path]


@dataclass
class _Found:
    """What one item of the command line stands for."""

    files: list[InputFile] = field(default_factory=list)
    passed_over: list[Path] = field(default_factory=list)


def find_inputs(inputs: Sequence[str | Path], out: Path, kind: InputKind = PHOTOS) -> Inputs:
    """Every file of a kind (photos and videos) in ``inputs``, each name once, in a fixed order.

    - A file is taken as it is and named by its stem; with its suffix where another has that name.
    - A folder is searched with its subfolders, sorted, for photos (videos are given one by one or
      by a pattern); results keep the subfolders. Hidden files and ``out`` inside are skipped.
    - A pattern (``*``, ``?``, ``[...]``, ``**`` for any folders) is searched in the same way from
      its first folder with a wildcard on; it finds photos and videos.

    Links to files and folders are followed, and circles end. Two names of one file are two inputs.

    Raises:
        NotFoundError: an input that does not exist, or nothing of the kind in it.
        SettingsError: two files whose results would overwrite each other.
    """
    if not inputs:
        also = f" or {kind.named_what}s" if kind.named else ""
        raise SettingsError(f"no input; name {kind.what}s, folders, patterns{also}")
    expanded = [_expand(str(item), out.resolve(), kind) for item in inputs]
    by_path: dict[str, InputFile] = {}
    for file in itertools.chain.from_iterable(one.files for one in expanded):
        by_path.setdefault(os.path.abspath(file.source), file)  # noqa: PTH100 - links stay
    files = _without_links(list(by_path.values()))
    if kind.keeps_suffixes:
        files = _with_suffixes(files)
    require_own_names(files)
    passed_over = itertools.chain.from_iterable(one.passed_over for one in expanded)
    return Inputs(files, list(dict.fromkeys(passed_over)))


def _without_links(files: Sequence[InputFile]) -> list[InputFile]:
    """The files, each once where it is there in several ways with one name."""
    counts = Counter(file.name for file in files)
    once = {
        (file.name, real_path(file.source) if counts[file.name] > 1 else file.source): file
        for file in reversed(files)
    }
    return list(reversed(once.values()))


def _with_suffixes(files: Sequence[InputFile]) -> list[InputFile]:
    """The files with names of their own where others differ from them only in the suffix."""
    counts = Counter(file.name for file in files)
    named = [
        replace(file, name=file.name + file.source.suffix) if counts[file.name] > 1 else file
        for file in files
    ]
    if kept := [file for file in named if counts[file.name] == 0]:
        logger.info(
            "%s differ from others only in the suffix, which the names of their results keep (%s)",
            plural(len(kept), "file"),
            join((file.name for file in kept), most=3),
        )
    return named


def require_own_names(files: Sequence[InputFile]) -> None:
    """Refuse files whose results would overwrite each other. Raises SettingsError."""
    by_name: dict[str, InputFile] = {}
    for file in files:
        other = by_name.setdefault(file.name, file)
        if other is not file:
            raise SettingsError(
                f"{other.source} and {file.source} would both be written as {file.name!r}; do "
                "them apart, each with its own --out (or rename one)"
            )
    videos = {f"{file.name}/": file for file in files if file.is_video}  # folders of frames
    for file in files if videos else ():
        folder = f"{file.name.rpartition('/')[0]}/"
        if folder in videos:
            raise SettingsError(
                f"{file.source} would be written among the frames of {videos[folder].source}; do "
                "them apart, each with its own --out (or rename one)"
            )


def _expand(item: str, out: Path, kind: InputKind) -> _Found:
    path = Path(item)
    if path.is_file():
        return _Found([InputFile(path, path.stem)])
    found = _Found()
    if path.is_dir():
        for file in walk(path, out):
            _sort(found, file, path, kind.takes(file))
        if not found.files:
            named = sum(file.suffix.lower() in kind.named for file in found.passed_over)
            what = f"{named} {kind.named_what}s"
            hint = f"; name its {what}, or give a pattern ('{path}/*')" if named else ""
            raise NotFoundError(
                f"{path}: no {kind.what} in this folder or below ({_some(kind.suffixes)}){hint}"
            )
        return found
    if glob.has_magic(item):
        base = _fixed_part(path)
        # results of an earlier call are no inputs, unless the pattern is of their folder
        skipped = out if out not in (base.resolve(), *base.resolve().parents) else None
        parts = path.relative_to(base).parts
        for file in dict.fromkeys(_matches(base, parts, skipped, (base.resolve(),))):
            takes = kind.takes(file) or file.suffix.lower() in kind.named
            _sort(found, file, base, takes)
        if not found.files:
            what = f"{kind.what} or {kind.named_what}" if kind.named else kind.what
            raise NotFoundError(f"{item}: the pattern matches no {what} ({_some(kind.suffixes)})")
        return found
    require_input(item)
    raise NotFoundError(f"{item}: {missing(path)}")  # a pipe or the like


def require_input(item: str) -> None:
    """Raise NotFoundError where an input is no pattern and nothing is there."""
    path = Path(item)
    if path.is_symlink() and not path.exists():
        raise NotFoundError(f"{item}: {missing(path)}")
    if not glob.has_magic(item) and not exists(path):
        raise NotFoundError(f"{item}: no such file or folder{near_path(path)}")


def _sort(found: _Found, file: Path, base: Path, takes: bool) -> None:
    if takes:
        found.files.append(InputFile(file, name_below(file, base)))
    else:
        found.passed_over.append(file)


def name_below(file: Path, folder: Path) -> str:
    """``sub/folder/photo``: the name of a file's results."""
    return file.relative_to(folder).with_suffix("").as_posix()


def walk(folder: Path, out: Path) -> Iterator[Path]:
    """Files of a folder and below, sorted, without hidden ones and without the results.

    Linked folders are walked too, but none inside itself. A folder that cannot be read, or lies
    behind more than ``MAX_LINKS`` links, comes as a file would, so that it is named.
    """
    return _matches(folder, ("**", "*"), out, (folder.resolve(),))


def _matches(
    folder: Path,
    parts: Sequence[str],
    out: Path | None,
    inside: tuple[Path, ...],
    links: int = 0,
) -> Iterator[Path]:
    """Files below ``folder`` that match the parts of a pattern.

    Args:
        out: a folder that is left out.
        inside: the folder and those that it is in, without links.
        links: on the way to the folder.
    """
    if links > MAX_LINKS:
        yield folder
        return
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError:
        yield folder
        return
    entries = [entry for entry in entries if not _is_litter(entry.name)]
    part, rest = parts[0], parts[1:]
    deep = part == "**"
    if deep:
        part, rest = (rest or ("*",))[0], (rest or ("*",))[1:]
    if not rest:
        for entry in entries:
            if fnmatch.fnmatch(entry.name, part) and not is_folder(entry):
                yield folder / entry.name
    for entry in entries:
        wanted = [rest] if rest and fnmatch.fnmatch(entry.name, part) else []
        wanted += [parts] if deep else []
        if not wanted or not is_folder(entry):
            continue
        real = inside[-1] / entry.name
        real = real.resolve() if entry.is_symlink() else real
        if real == out or real in inside:
            continue
        for remaining in wanted:
            linked = links + entry.is_symlink()
            yield from _matches(folder / entry.name, remaining, out, (*inside, real), linked)


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def _fixed_part(pattern: Path) -> Path:
    """The folders of a pattern before the first wildcard."""
    fixed: list[str] = []
    for part in pattern.parts[:-1]:
        if glob.has_magic(part):
            break
        fixed.append(part)
    return Path(*fixed)


def _some(suffixes: Sequence[str]) -> str:
    more = ["..."] if len(suffixes) > 8 else []
    return ", ".join([suffix.lstrip(".") for suffix in suffixes[:8]] + more)
