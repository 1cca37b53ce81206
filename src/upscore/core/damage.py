"""The rule of all readers: whatever is wrong inside a file becomes one error that names it."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Iterator
from pathlib import Path

from upscore.core.failures import first_line
from upscore.core.system_errors import shortage
from upscore.errors import DataError, NotFoundError, UpscoreError, WorkError

NO_FILE = "is a pipe or device, not a file"

_PIECE = 1 << 20
OPENED = {Path("/dev/fd"), Path("/proc/self/fd")}
"""Folders of what this process has open already."""


def refuse_pipe(path: Path, error: type[UpscoreError] = DataError) -> None:
    """Raise ``error`` for pipes and devices, which could be waited for without end.

    Not for those that a shell passes, as in ``--classes <(...)``.
    """
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # said when it is opened
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode) and path.parent not in OPENED:
        raise error(f"{path}: {NO_FILE}")


@contextlib.contextmanager
def reading(
    path: Path, what: str, fix: str, *, error: type[UpscoreError] = DataError
) -> Iterator[None]:
    """Read ``path`` in this block. Libraries raise errors of many kinds for damaged files.

    Errors of upscore's own stay as they are. Pipes and devices are refused before.

    Args:
        what: the file is said to be, as ``not an array file of numpy that can be read``.
        fix: what to do about it.
        error: the type of the error.

    Raises:
        NotFoundError: no such file.
        WorkError: hardly any memory is left, which is not the file's fault.
    """
    refuse_pipe(path, error)
    try:
        yield
    except UpscoreError:
        raise
    except FileNotFoundError as cause:
        raise NotFoundError(f"{path}: no such file") from cause
    except MemoryError as cause:  # before or after sizes could be compared
        if reason := shortage(cause):
            raise WorkError(reason) from cause
        raise error(f"{path}: damaged, or too large for the memory of this machine") from cause
    except Exception as cause:
        raise error(f"{path}: {what} ({first_line(cause)}); {fix}") from cause


def read_bytes(path: Path, limit: int, *, error: type[UpscoreError] = DataError) -> bytes:
    """The content of a file that holds no more than ``limit`` bytes.

    Raises:
        NotFoundError: no such file.
        UpscoreError: of the type ``error``: larger, or it cannot be read.
    """
    with reading(path, "cannot be read", "name a file that you may read", error=error):
        with path.open("rb") as stream:
            content = bytearray()  # by pieces: a read of `limit` would take that much memory
            while piece := stream.read(min(_PIECE, limit + 1 - len(content))):
                content += piece
        if len(content) > limit:
            raise error(f"{path}: over {limit / 1e6:g} MB, more than a file of this kind holds")
        return bytes(content)


def read_text(path: Path, limit: int, *, error: type[UpscoreError] = DataError) -> str:
    """UTF-8 text of no more than ``limit`` bytes, with or without a byte order mark.

    Raises as :func:`read_bytes`, and so where it is no such text.
    """
    content = read_bytes(path, limit, error=error)
    with reading(path, "cannot be read as text", "save it as UTF-8", error=error):
        return content.decode("utf-8-sig")
