"""Reads mutated files in a process of its own, and says which of them were not refused cleanly."""

from __future__ import annotations

import contextlib
import multiprocessing
import random
import resource
import shutil
import tempfile
import traceback
import warnings
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from multiprocessing.connection import Connection
from pathlib import Path

from fuzz.formats import FORMATS
from fuzz.mutate import damage
from upscore.errors import UpscoreError

START_SECONDS, LONGEST_SECONDS = 120, 5
"""For the first file of a format, with what is imported; for each file."""
MOST_BYTES = 1_000_000_000
LONGEST_LINE = 1500
MOST_LINES = 40
"""Of a message."""


@dataclass(frozen=True)
class Fault:
    """An input that was not read, and not refused cleanly.

    Attributes:
        seed: with the format's name it makes the input again.
        what: happened.
    """

    format: str
    seed: int
    what: str


def judge(
    inputs: Iterable[tuple[str, int]], *, longest: float = LONGEST_SECONDS
) -> Iterator[Fault | None]:
    """A fault or None for each input, a format and a seed, in their order.

    They are read in one process; when it dies or hangs, another one goes on with the next input.

    Args:
        longest: seconds for one input, after which it counts as hanging.
    """
    waiting = deque(inputs)
    while waiting:
        here, there = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=_work, args=(there, list(waiting)), daemon=True
        )
        process.start()
        there.close()
        try:
            what: str | None = None
            is_first = True  # of its format
            while waiting and what not in (DIED, HANGS):
                name, seed = waiting[0]
                what = _next(here, START_SECONDS if is_first else longest)
                if is_first and what != READY:
                    raise RuntimeError(f"the good file of {name} is not read: {what}")
                if what != READY:
                    waiting.popleft()
                    yield None if what is None else Fault(name, seed, what)
                is_first = what != READY and bool(waiting) and waiting[0][0] != name
        finally:
            process.kill()
            process.join()
            here.close()


READY = "ready"
DIED = "the process died"
HANGS = "no answer in time"


def _next(connection: Connection, patience: float) -> str | None:
    if not connection.poll(patience):
        return HANGS
    try:
        answer: str | None = connection.recv()
    except (EOFError, ConnectionError):
        return DIED
    return answer


def mutated(name: str, seed: int, good: bytes) -> bytes:
    """The input of a seed."""
    rng = random.Random(f"{name} {seed}")
    return damage(good, rng, is_text=FORMATS[name].is_text)


@contextlib.contextmanager
def good_file(name: str) -> Iterator[Path]:
    """A good file of a format, in a folder that goes at the end."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        yield FORMATS[name].make(Path(folder))


def _work(connection: Connection, inputs: list[tuple[str, int]]) -> None:
    warnings.simplefilter("ignore")
    for name, group in groupby(inputs, key=lambda item: item[0]):
        with good_file(name) as path:
            good = path.read_bytes()
            FORMATS[name].read(path)  # a good file is read
            connection.send(READY)
            for _, seed in group:
                path.write_bytes(mutated(name, seed, good))
                connection.send(what_is_wrong(name, path))
                shutil.rmtree(path.parent / "unpacked", ignore_errors=True)


def what_is_wrong(name: str, path: Path) -> str | None:
    """Read a file; None where it was read or refused in a line that names it."""
    before = _peak()
    try:
        FORMATS[name].read(path)
    except UpscoreError as error:
        lines = str(error).splitlines()
        if len(lines) > MOST_LINES or max(map(len, lines), default=0) > LONGEST_LINE:
            return f"a message of {len(str(error))} characters: {str(error)[:300]}"
        if path.name not in str(error) and str(path.parent) not in str(error):
            return f"the message does not name the file: {str(error)[:300]}"
    except BaseException:
        return traceback.format_exc(limit=-6)
    used = _peak() - before
    return f"{used / 1e6:.0f} MB of memory" if used > MOST_BYTES else None


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
