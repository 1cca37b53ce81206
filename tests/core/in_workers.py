"""What tests let new processes do. Imports nothing, as they import it."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path
from uuid import uuid4

from upscore.core.failures import Failure
from upscore.errors import DataError, MissingExtraError, NotFoundError


def die(*_: object) -> None:
    """What the kernel does to a process that asks for too much memory, less the signal."""
    os._exit(9)


def double(number: int) -> int:
    if number < 0:
        raise ValueError(f"{number} is negative")
    return 2 * number


class Picky:
    """Halves numbers; words make it raise, return a failure of its own, or end its process."""

    def __call__(self, item: str) -> int | Failure:
        match item.split(":")[0]:
            case "odd":
                raise KeyError(item)
            case "data":
                raise DataError("first line\nsecond line")
            case "memory":
                raise MemoryError
            case "own":
                return Failure(99, "mine", "what I say")
            case "missing":
                raise MissingExtraError("run: pip install X")
            case "lost":
                raise NotFoundError("no such file")
            case "die":
                die()
        return int(item) // 2


def mark(folder: str) -> int:
    """Leaves a file whose name begins with the process' number in the folder."""
    (Path(folder) / f"{os.getpid()}-{uuid4().hex}").touch()
    return os.getpid()


def mark_and_stay(folder: str) -> int:
    """The same, and does not come back while anybody waits for it."""
    mark(folder)
    threading.Event().wait(3600)
    return os.getpid()


if __name__ == "__main__":  # a program with two workers, to be killed
    from upscore.core.parallel.processes import in_processes

    for _ in in_processes(mark_and_stay, [sys.argv[1]] * 10, processes=2):
        pass
