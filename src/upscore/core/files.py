"""Files that appear whole or not at all, and downloads that can be trusted and resumed."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import json
import os
import re
import stat
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from upscore.core.damage import NO_FILE, OPENED, read_bytes
from upscore.core.failures import first_line
from upscore.core.json import parse_json
from upscore.core.quoting import shorten
from upscore.core.system_errors import WRITE_REASONS
from upscore.core.temporary import temporary_file, temporary_folder
from upscore.core.web import open_url
from upscore.errors import OutputError, RunError, UpscoreError, WorkError

LONGEST_JSON = 256_000_000
"""Bytes; the largest that upscore writes are scores of each photo, some hundred bytes each."""


def explain_os_error(error: OSError, path: Path) -> OutputError:
    """The error of writing ``path``, with a message that names the cause and the fix."""
    reason = WRITE_REASONS.get(error.errno or 0, error.strerror or str(error))
    return OutputError(f"cannot write {path}: {reason}")


def exists(path: Path) -> bool:
    """Whether there is such a file or folder; not, for a name that is too long to be one."""
    try:
        return path.exists()
    except OSError:
        return False


def real_path(path: Path) -> Path:
    """As ``Path.resolve``, which fails in Python 3.11 where links lead in a circle."""
    return Path(os.path.realpath(path))


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; not, for links that lead in a circle."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _refuse_device(path: Path) -> None:
    """Raise OutputError where a file would take the place of a pipe or device, as /dev/stdout."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    is_result = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    if not is_result or path.parent in OPENED or path.parent == Path("/dev"):
        raise OutputError(f"cannot write {path}: {NO_FILE}; choose another place")


@contextlib.contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yields a temporary name beside ``path``; renames it to ``path`` when the block succeeds.

    Parent folders are made. When the block raises, the temporary file goes and ``path`` stays as
    it was. Libraries that write files have errors of their own for a full disk (torch raises
    RuntimeError): whatever they raise, the message is the same.

    Raises:
        OutputError: the disk is full, the folder is read-only, or the like.
    """
    _refuse_device(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path) as temporary:
            try:
                yield temporary
                temporary.replace(path)
            except UpscoreError:
                raise
            except Exception as error:
                is_told = isinstance(error, OSError) and error.errno
                refusal = error if is_told else _refusal(temporary)
                if not isinstance(refusal, OSError):
                    raise
                raise refusal from error
    except OSError as error:
        if isinstance(error, UpscoreError) or not error.errno:
            raise
        raise explain_os_error(error, path) from error


def _refusal(path: Path) -> OSError | None:
    """What the system says to a further megabyte in a file; None where it takes it."""
    try:
        with path.open("ab") as stream:
            stream.write(bytes(1 << 20))
    except OSError as error:
        return error
    return None


@contextlib.contextmanager
def scratch_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside ``path``, gone after the block. Raises OutputError."""
    with contextlib.ExitStack() as stack:
        try:
            scratch = stack.enter_context(temporary_folder(path))
        except OSError as error:
            raise explain_os_error(error, path.parent) from error
        yield scratch


def write_text(path: Path, text: str) -> None:
    """UTF-8 text, atomically; bytes of file names that are no text are written as ``\\udce9``."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def write_json(path: Path, content: Any) -> None:
    """Indented JSON, atomically. NaN is refused: use None."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def make_folder(path: Path) -> None:
    """Make a folder for results. Raises OutputError with the reason."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, path) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object.

    Raises:
        NotFoundError: no such file.
        RunError: not JSON, or not an object.
    """
    text = read_bytes(path, LONGEST_JSON, error=RunError)
    try:
        content = parse_json(text)
    except ValueError as error:
        raise RunError(f"{path}: damaged, not JSON ({first_line(error)})") from error
    if not isinstance(content, dict):
        raise RunError(f"{path}: damaged, expected a JSON object, found {type(content).__name__}")
    return content


def refuse_newer(path: Path, content: dict[str, Any], known: int) -> None:
    """Refuse what a newer upscore wrote: a ``format_version`` in ``content`` above ``known``.

    Raises:
        RunError: the file needs a newer upscore.
    """
    version = content.get("format_version")
    if isinstance(version, int) and version > known:
        raise RunError(
            f"{path}: written by a newer upscore (format {version}, this one reads up to "
            f"{known}); upgrade with: pip install -U upscore"
        )


def checksum(path: Path, algorithm: str) -> str:
    """Hex digest of a file, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def verify(path: Path, expected: str, *, fix: str = "Delete it and download again") -> None:
    """Compare a file with ``algorithm:hex`` (the hex may be a prefix, as torchvision names files).

    Args:
        fix: what a person should do about another file.

    Raises:
        WorkError: they differ.
    """
    algorithm, _, want = expected.partition(":")
    found = checksum(path, algorithm)
    if not found.startswith(want):
        raise WorkError(
            f"{path}: {algorithm} is {found}, expected {want}; the file is damaged or another "
            f"release. {fix}"
        )


LARGEST_DOWNLOAD = 8 << 30
"""Bytes; the largest known archive, PASCAL VOC's, has 2 GiB. A server without end fills no disk."""


def download(
    url: str,
    target: Path,
    *,
    expected: str | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    timeout: float = 30.0,
    otherwise: str = "give a file at hand with --from FILE",
    at_most: int = LARGEST_DOWNLOAD,
) -> Path:
    """Fetch ``url`` to ``target``, going on from a partial file, and check it before it counts.

    Args:
        expected: ``algorithm:hex``; None where the publisher gives no checksum.
        progress: called with (bytes so far, bytes in all or None).
        otherwise: what else a person can do where the server cannot be reached or refuses.
        at_most: bytes; a larger file is refused, whether the server says its size or not.

    The part file ``target.name + ".part"`` survives an interruption, with the server's name of
    this version of the file (ETag or date) beside it: another version, or without a checksum a
    server that names none, starts anew. It is dropped when its checksum is wrong. A target that is
    there already is checked and kept.

    Raises:
        WorkError: offline, refused by the server, too large, or the wrong checksum.
        OutputError: cannot write.
    """
    if target.exists():
        if expected:
            verify(target, expected)
        return target
    make_folder(target.parent)
    part = target.with_name(target.name + ".part")
    if part.is_file() and not expected and not _kept_version(part):
        _drop(part)  # the rest could be that of another file
    _fetch(url, part, progress, timeout, otherwise, at_most)
    if expected:
        try:
            fix = f"It was deleted; run the same command again, or {otherwise}"
            verify(part, expected, fix=fix)
        except WorkError:
            _drop(part)
            raise
    part.replace(target)
    _version_file(part).unlink(missing_ok=True)
    return target


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".version")


def _drop(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)


def _fetch(
    url: str,
    part: Path,
    progress: Callable[[int, int | None], None] | None,
    timeout: float,
    otherwise: str,
    at_most: int,
) -> None:
    """Bring ``part`` to the full length of what ``url`` serves."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "upscore"})
    if have:
        request.add_header("Range", f"bytes={have}-")
        if version := _kept_version(part):  # the server sends all of it if this has changed
            request.add_header("If-Range", version)
    end: int | None
    total, is_answered = None, False
    try:
        with open_url(request, timeout) as response:
            is_answered = True
            if response.status == 206:
                end, total = _rest(url, part, have, response)
            else:
                have = 0  # a server without ranges sends all of it
                _keep_version(part, response.headers)
                end = total = response.length
            if total is not None and total > at_most:
                _drop(part)
                raise WorkError(_too_large(url, total, at_most, otherwise))
            while (end is None or have < end) and (piece := response.read1(1 << 20)):
                if have + len(piece) > at_most:
                    _drop(part)
                    raise WorkError(_too_large(url, None, at_most, otherwise))
                _append(part, piece, fresh=have == 0)
                have += len(piece)
                if progress:
                    progress(have, total)
    except urllib.error.HTTPError as error:
        if error.code == 416 and have:
            size = error.headers.get("Content-Range", "").rpartition("/")[2]
            if size == str(have):  # nothing left to send: the part is whole
                return
            _drop(part)
            raise WorkError(
                f"{url}: the file at hand ({have} bytes) is no part of the one on the server "
                f"({shorten(size) or 'unknown'} bytes) and was dropped; run the same command again"
            ) from error
        said = first_line(ValueError(error.reason)).rstrip(".")
        raise WorkError(f"{url}: the server answered {error.code} {said}; {otherwise}") from error
    except OutputError:
        raise
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        reason = first_line(error)
        if is_answered:
            raise WorkError(_broken(url, have, total, reason)) from error
        if isinstance(error, OSError):
            cause = getattr(error, "reason", error)
            raise WorkError(
                f"{url}: cannot be reached ({cause}). Are you offline? Run the same command again "
                f"later (it resumes where it stopped), or {otherwise}"
            ) from error
        raise WorkError(
            f"{url}: the server answered, but not as a web server does ({reason}); run the same "
            f"command again later, or {otherwise}"
        ) from error
    if total is not None and have < total:
        raise WorkError(_broken(url, have, total))
    if have == 0:
        raise WorkError(f"{url}: the server sent an empty file; try again later")


_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")


def _rest(url: str, part: Path, have: int, response: http.client.HTTPResponse) -> tuple[int, int]:
    """How far an answer goes that follows ``part``, and the size of the whole file.

    Raises:
        WorkError: it does not follow the part, which is dropped.
    """
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    versions = {_kept_version(part), _version(response.headers)} - {""}
    if not have or not found or int(found[1]) != have or len(versions) > 1:
        _drop(part)
        raise WorkError(
            f"{url}: the server sent another part than asked for, or one of another "
            "file; run the same command again"
        )
    total = int(found[2])
    return total if response.length is None else min(have + response.length, total), total


def _version(headers: http.client.HTTPMessage) -> str:
    """The server's name of a version of a file, by which it can be told from others."""
    tag = headers.get("ETag", "")
    return headers.get("Last-Modified", "") if tag[:2] in ("", "W/") else tag


def _kept_version(part: Path) -> str:
    try:
        version = _version_file(part).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        return ""
    return version.encode("ascii", "replace").decode()


def _keep_version(part: Path, headers: http.client.HTTPMessage) -> None:
    if version := _version(headers):
        write_text(_version_file(part), version)
    else:
        _version_file(part).unlink(missing_ok=True)


def _append(part: Path, piece: bytes, *, fresh: bool) -> None:
    try:
        with part.open("wb" if fresh else "ab") as stream:
            stream.write(piece)
    except OSError as error:
        raise explain_os_error(error, part) from error


def _too_large(url: str, total: int | None, at_most: int, otherwise: str) -> str:
    size = "sends more than that" if total is None else f"has {total / 2**30:.1f} GiB"
    return (
        f"{url}: expected at most {at_most / 2**30:.1f} GiB, and the server {size}; is the address "
        f"right? If it is, download it with another program and {otherwise}"
    )


def _broken(url: str, have: int, total: int | None, why: str = "") -> str:
    of = f" of {total}" if total is not None else ""
    return (
        f"{url}: the connection broke after {have}{of} bytes{f' ({why})' if why else ''}; run the "
        "same command again to resume from there"
    )
