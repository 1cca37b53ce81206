"""Locks: a folder of results belongs to one job at a time.

The system holds the lock and drops it when the job ends, however it ends, so no lock is ever left
over. The file of the lock says, for messages, whose it is.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import logging
import os
import platform
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from upscore.core.files import explain_os_error, make_folder
from upscore.core.json import parse_json
from upscore.core.temporary import is_temporary, owner, remove_all_of
from upscore.errors import SettingsError

LOCK = ".upscore-lock"
"""Name of the file in a folder that is in use."""
WAIT_S = 0.5
ATTEMPTS = 100
"""To make a folder that others remove meanwhile, before it counts as one that cannot be made."""

logger = logging.getLogger(__name__)

_held: set[int] = set()
"""Descriptors of the locks of this process."""

NO_LINKS = getattr(os, "O_NOFOLLOW", 0)
"""A link in the place of a lock is refused: its target is not ours to write."""
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""Errors of file systems that know no locks."""


def files_in(folder: Path) -> Iterator[Path]:
    """The files in a folder and below it, without locks and temporary files of upscore."""
    for path in folder.iterdir():
        if path.name.endswith(LOCK) or is_temporary(path):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from files_in(path)
        else:
            yield path


@contextlib.contextmanager
def claim(folder: Path, job: str, *, wait: bool = False) -> Iterator[None]:
    """Make ``folder`` and keep other jobs out of it during the block.

    What a killed job left there half-written is removed. A folder that is still empty after the
    block goes, if it was made here.

    Args:
        job: what holds it, for messages, as in "a training".
        wait: wait for another job that holds it.

    Raises:
        SettingsError: another job holds it, without ``wait``.
        OutputError: cannot write there.
    """
    made: list[Path] = []
    try:
        descriptor = _acquire(folder, made)
        if isinstance(descriptor, dict) and wait:
            logger.info("%s: waiting for %s", folder, _described(descriptor))
            while isinstance(descriptor, dict):
                time.sleep(WAIT_S)
                descriptor = _acquire(folder, made)
        if isinstance(descriptor, dict):
            raise SettingsError(
                f"{folder}: is used by {_described(descriptor)}; wait, stop it, or choose another "
                "--out"
            )
        with _holding(descriptor, folder / LOCK, job):
            yield
    finally:
        with contextlib.suppress(OSError):  # results are in it
            for path in made:
                path.rmdir()


@contextlib.contextmanager
def take_turns(path: Path, job: str) -> Iterator[None]:
    """Wait until no other job writes the file ``path``, and keep others waiting meanwhile.

    Raises:
        OutputError: cannot write there.
    """
    lock = path.with_name(f".{path.name[:80]}{LOCK}")
    make_folder(path.parent)
    told = False
    try:
        while isinstance(descriptor := _open_locked(lock), dict):
            if not told:
                logger.info("%s: waiting for %s", path, _described(descriptor))
                told = True
            time.sleep(WAIT_S)
    except OSError as error:
        raise explain_os_error(error, path) from error
    with _holding(descriptor, lock, job):
        yield


def _acquire(folder: Path, made: list[Path]) -> int | dict[str, Any]:
    for attempt in itertools.count():
        try:
            missing = [path for path in (folder, *folder.parents) if not path.exists()]
            folder.mkdir(parents=True, exist_ok=True)
            made[:] = list(dict.fromkeys([*missing, *made]))
            return _open_locked(folder / LOCK)
        except OSError as error:
            if isinstance(error, FileNotFoundError) and attempt < ATTEMPTS:
                continue  # the job before has just removed its folder
            at = folder / LOCK if folder.is_dir() else folder
            raise explain_os_error(error, at) from error
    raise AssertionError


def _open_locked(path: Path) -> int | dict[str, Any]:
    """The descriptor of the locked file, or what the job that holds the lock wrote into it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_LINKS, 0o666)
        try:
            if not _lock(descriptor):
                return _read(descriptor)
            found = os.fstat(descriptor)
            with contextlib.suppress(FileNotFoundError):
                there = path.stat()
                if (found.st_dev, found.st_ino) == (there.st_dev, there.st_ino):
                    _held.add(descriptor)
                    return descriptor
        finally:
            if descriptor not in _held:  # or the job before removed its file meanwhile
                os.close(descriptor)


@contextlib.contextmanager
def _holding(descriptor: int, path: Path, job: str) -> Iterator[None]:
    """Say whose the lock is, remove what the job before left, and let go in the end."""
    try:
        if before := _read(descriptor).get("owner"):
            remove_all_of(str(before), path.parent)
        content = {
            "job": job,
            "host": platform.node(),
            "process": os.getpid(),
            "since": datetime.now(UTC).isoformat(sep=" ", timespec="seconds"),
            "owner": owner(),
        }
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, json.dumps(content).encode())
        yield
    finally:
        if descriptor in _held:  # not in a forked child, which inherits none
            _held.discard(descriptor)
            if sys.platform != "win32":  # while it is held: a later file is another one
                path.unlink(missing_ok=True)
            os.close(descriptor)
            if sys.platform == "win32":  # where an open file cannot be removed
                with contextlib.suppress(OSError):
                    path.unlink()


def _read(descriptor: int) -> dict[str, Any]:
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        content = parse_json(os.read(descriptor, 4096))
    except (OSError, ValueError):  # not yet written, or not by us
        return {}
    return content if isinstance(content, dict) else {}


def _described(content: dict[str, Any]) -> str:
    if "process" not in content:
        return "another job"
    return (
        f"{content.get('job')} on {content.get('host')}, process {content['process']}, since "
        f"{content.get('since')}"
    )


def _lock(descriptor: int) -> bool:
    """Lock an open file; False where another job has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, 1 << 20, os.SEEK_SET)  # past the content, which stays readable
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in NO_LOCKS:
            logger.warning(
                "this file system knows no locks: make sure that no other job writes there"
            )
            return True
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def _forget() -> None:
    """Let go of descriptors in a forked child, which would keep the locks of a killed parent."""
    for descriptor in _held:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
