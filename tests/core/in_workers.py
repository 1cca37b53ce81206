"""What tests let new processes do. Imports nothing, as they import it."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

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


def nap(folder: str) -> int:
    """Leaves a file named by its process' number and the time in the folder, and sleeps."""
    (Path(folder) / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    time.sleep(0.2)
    return os.getpid()


if __name__ == "__main__":  # a program with two workers, to be killed
    from upscore.core.parallel.processes import in_processes

    for _ in in_processes(nap, [sys.argv[1]] * 10_000, processes=2):
        pass
