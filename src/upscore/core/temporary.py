"""Temporary files and folders, named after the process that writes them.

The name of what a killed process left says so, and the next process that writes into the folder
removes it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import platform
import re
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

MARK = ".upscore-"
_OWNER = re.compile(r"(?P<host>.+)-(?P<pid>\d+)-(?P<start>\d+)")
_NAME = re.compile(rf"\..+{re.escape(MARK)}(?P<owner>{_OWNER.pattern})-[0-9a-f]{{12}}")

_unfinished: set[Path] = set()
"""What this process writes just now."""
_cleaned: set[Path] = set()
"""Folders in which this process has looked for what others left."""


def owner() -> str:
    """This process, as no other process is named: host, number, and when it started."""
    return _owner(os.getpid())


@functools.cache
def _owner(pid: int) -> str:
    return f"{_host()}-{pid}-{_started(pid) or 0}"


@functools.cache
def _host() -> str:
    """Name of this machine; containers that share it count their processes separately."""
    try:
        processes = re.sub(r"\D", "", str(Path("/proc/self/ns/pid").readlink()))
    except OSError:
        processes = ""
    return re.sub(r"[^A-Za-z0-9.]", "_", platform.node())[:32] + f"_{processes}"


def _started(pid: int) -> int | None:
    """When a process started, in ticks since the machine did; None if it has ended, or unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        fields = text.rpartition(")")[2].split()
        return None if fields[0] in "ZX" else int(fields[19])
    except (OSError, IndexError, ValueError):
        return None


def has_ended(owner: str) -> bool:
    """Whether this is a process of this machine that no longer runs."""
    match = _OWNER.fullmatch(owner)
    if match is None or match["host"] != _host() or sys.platform == "win32":
        return False
    pid, start = int(match["pid"]), int(match["start"])
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:  # it runs, under another user
        pass
    return start != 0 and _started(pid) != start  # another process may have got its number


def temporary_name(path: Path) -> Path:
    """A hidden name beside ``path`` that no other file has."""
    return path.with_name(f".{path.name[:40]}{MARK}{owner()}-{secrets.token_hex(6)}")


def is_temporary(path: Path) -> bool:
    """Whether this is a temporary file or folder of upscore, by its name."""
    return _NAME.fullmatch(path.name) is not None


@contextlib.contextmanager
def temporary_file(path: Path) -> Iterator[Path]:
    """An empty file beside ``path``; it is gone after the block, unless it was renamed.

    It has the permissions of any new file: the system applies the umask. (Files of
    ``tempfile.mkstemp`` are private, and to read the umask is to change it for a moment in all
    threads.)

    Raises:
        OSError: cannot write there.
    """
    temporary = temporary_name(path)
    with _removed(temporary):
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary


@contextlib.contextmanager
def temporary_folder(path: Path) -> Iterator[Path]:
    """An empty folder beside ``path``; it is gone after the block, unless it was renamed.

    Raises:
        OSError: cannot write there.
    """
    temporary = temporary_name(path)
    with _removed(temporary):
        temporary.mkdir()  # not mkdtemp, whose folders are private
        yield temporary


@contextlib.contextmanager
def _removed(temporary: Path) -> Iterator[None]:
    if temporary.parent not in _cleaned:
        _cleaned.add(temporary.parent)
        remove_left(temporary.parent)
    _unfinished.add(temporary)
    try:
        yield
    finally:
        _remove(temporary)
        _unfinished.discard(temporary)


def remove_left(folder: Path) -> None:
    """Remove what processes of this machine left in a folder when they were killed."""
    for path in _temporaries(folder.glob(f".*{MARK}*")):
        if has_ended(_owner_of(path)):
            _remove(path)


def remove_all_of(owner: str, folder: Path) -> None:
    """Remove what a process that has ended, on any machine, left in a folder and below it."""
    for path in _temporaries(folder.rglob(f".*{MARK}*")):
        if _owner_of(path) == owner:
            _remove(path)


def remove_unfinished() -> None:
    """Remove what this process was writing when it was told to end."""
    for path in list(_unfinished):
        _remove(path)


def _temporaries(paths: Iterable[Path]) -> list[Path]:
    try:
        return [path for path in paths if is_temporary(path)]
    except OSError:  # a folder that cannot be listed
        return []


def _owner_of(temporary: Path) -> str:
    match = _NAME.fullmatch(temporary.name)
    assert match is not None
    return match["owner"]


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:  # a folder, or no permission
        shutil.rmtree(path, ignore_errors=True)
