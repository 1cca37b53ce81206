"""The same work on many items in several processes, of one or more cores each."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any, TypeVar

from upscore.core.memory import ignore_pillow_warnings
from upscore.errors import WorkError

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Items that each process has or waits with: keeps it busy over any number of items."""


def in_processes(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    processes: int,
    one_core: bool = False,
) -> Generator[tuple[Item, Result], None, None]:
    """(item, ``work(item)``) as they are finished, in no fixed order.

    Processes are spawned, so a script that comes here needs ``if __name__ == "__main__":``. When
    the iterator is left early, by Ctrl-C too, what has begun is finished and the rest dropped. They
    end when this process is killed.

    Args:
        work: goes to each process once; must pickle, and so must items, results and exceptions.
        one_core: each process computes on one core.

    Raises:
        WorkError: a process died. And what ``work`` raises.
    """
    pool = ProcessPoolExecutor(
        processes,
        # fork would copy locks that threads of this process hold, such as a progress bar's
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_begin,
        initargs=(work, one_core),
    )
    waiting: dict[Future[Result], Item] = {}
    rest = iter(items)
    try:
        while True:
            with _deaf_to_interrupts():  # the processes start with the first item
                for item in islice(rest, AHEAD * processes - len(waiting)):
                    waiting[pool.submit(_call, item)] = item
            if not waiting:
                return
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield waiting.pop(future), future.result()
    except BrokenProcessPool as error:
        raise WorkError(
            "a process died, most likely of too little memory; what was finished is kept. Go on "
            "with --resume and fewer --workers"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Processes that start meanwhile never see Ctrl-C, which reaches all; it is left to this one.

    Blocked and not ignored: blocking is inherited too, and an interrupt that comes just now waits.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def num_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.cache
def use_one_core() -> None:
    """For the rest of this process: for work that is done in a process for each core."""
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = "1"  # read when torch and numba are imported
    for name in ("torch", "numba"):
        if name in sys.modules:
            sys.modules[name].set_num_threads(1)


_work: Callable[[Any], Any] | None = None


def _begin(work: Callable[[Any], Any], one_core: bool) -> None:
    """Set up a new process: keep the work, and end when the parent process is killed."""
    global _work
    _work = work
    ignore_pillow_warnings()
    if one_core:
        use_one_core()
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call(item: Any) -> Any:
    assert _work is not None
    return _work(item)
