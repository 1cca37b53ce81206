"""Errors that the system raises for lack of disk, memory, threads or open files."""

from __future__ import annotations

import errno
import re

DISK_FULL = "the disk is full; free some space and run the command again"

_FOLDER_TAKEN = "a file stands where a folder is needed; choose another folder"
_NO_PERMISSION = "no permission to write there; choose another folder"
WRITE_REASONS = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: "your disk quota is used up; free some space and run the command again",
    errno.EFBIG: "the file would be larger than the system allows (see ulimit -f)",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EACCES: _NO_PERMISSION,
    errno.EPERM: _NO_PERMISSION,
    errno.ENOTDIR: _FOLDER_TAKEN,
    errno.EEXIST: _FOLDER_TAKEN,
}
"""Why a file cannot be written, and what to do, by the number of the error."""

_TOO_MANY_FILES = "too many files are open (see ulimit -n); raise the limit or use fewer --workers"
_SHORT_OF = {
    errno.ENOSPC: DISK_FULL,
    errno.EDQUOT: WRITE_REASONS[errno.EDQUOT],
    errno.EMFILE: _TOO_MANY_FILES,
    errno.ENFILE: _TOO_MANY_FILES,
}
_NO_THREADS = (
    "the system starts no more threads or processes (see ulimit -u and ulimit -v); close other "
    "programs or use fewer --workers"
)
_MEMORY = re.compile(
    r"out of memory|not enough memory|can(not|'t) allocate|bad_alloc|failed to allocate|"
    r"unable to allocate|failed to map segment",
    re.IGNORECASE,
)
"""What torch, numpy, the C++ library and the loader of libraries say."""

SPARE_BYTES = 1 << 26
"""With less than this left, memory is short for whatever comes next."""


def is_memory_error(error: BaseException) -> bool:
    """Whether there was too little memory, of the computer or of its GPU."""
    if isinstance(error, OSError) and error.errno:
        return error.errno == errno.ENOMEM
    before = error.__cause__ or error.__context__
    if isinstance(error, ImportError) and before is not None and is_memory_error(before):
        return True  # packages say of themselves that they seem to be broken
    is_told = isinstance(error, (RuntimeError, OSError, ImportError, SystemError))
    return isinstance(error, MemoryError) or (is_told and bool(_MEMORY.search(str(error))))


def shortage(error: BaseException) -> str | None:
    """What the system lacks for any work at all, and what to do; None for other errors.

    Memory is lacking only where hardly any is left: one photo may just be too large.
    """
    if isinstance(error, OSError) and error.errno in _SHORT_OF:
        return _SHORT_OF[error.errno]
    text = str(error)
    if "can't start new thread" in text or type(error) is BlockingIOError:  # FFmpeg's is another
        return _NO_THREADS
    if isinstance(error, RuntimeError) and text.startswith("CUDA error"):
        return f"the GPU failed ({text.splitlines()[0]}); run again, or with --device cpu"
    if is_memory_error(error) and not _has_memory():
        return "out of memory; close other programs"
    return None


def _has_memory() -> bool:
    try:
        return bool(bytearray(SPARE_BYTES))
    except MemoryError:
        return False
