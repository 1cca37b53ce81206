"""The same work on many items in several processes, of one or more cores each."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from types import FrameType, ModuleType
from typing import Any, TypeVar

from upscore.core.memory import ignore_pillow_warnings
from upscore.core.temporary import remove_unfinished
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
    if_died: str = "finished work is kept. Continue with --resume and fewer --workers",
) -> Generator[tuple[Item, Result], None, None]:
    """(item, ``work(item)``) as they are finished, in no fixed order.

    Processes are spawned. They do not run the caller's script, unless ``work`` is made of what the
    script defines, which then needs ``if __name__ == "__main__":``. When the iterator is left
    early, by Ctrl-C too, what has started is finished and the rest dropped. They end when this
    process is killed.

    Args:
        work: goes to each process once; must pickle, and so must items, results and exceptions.
        one_core: each process computes on one core.
        if_died: what to do when a process died, for the message.

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
    needs_script = b"__main__" in pickle.dumps(work)
    waiting: dict[Future[Result], Item] = {}
    rest = iter(items)
    try:
        while True:
            # the processes start with the first item
            with _block_interrupts(), contextlib.nullcontext() if needs_script else _no_script():
                for item in islice(rest, AHEAD * processes - len(waiting)):
                    waiting[pool.submit(_call, item)] = item
            if not waiting:
                return
            finished, _ = wait(waiting, return_when=FIRST_COMPLETED)
            for future in finished:
                yield waiting.pop(future), future.result()
    except BrokenProcessPool as error:
        raise WorkError(f"a process died, most likely of too little memory; {if_died}") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def _no_script() -> Iterator[None]:
    """Start processes that do not import ``__main__``: a script without a guard would run again."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


@contextlib.contextmanager
def _block_interrupts() -> Iterator[None]:
    """Start processes that never get Ctrl-C, or the end of a terminal, which are sent to all.

    This process handles them.

    Blocked and not ignored: blocking is inherited too, and an interrupt that comes just now waits.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})
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


@contextlib.contextmanager
def torch_on_one_core() -> Iterator[None]:
    """Let torch compute on one core for a while, as in a process of :func:`in_processes`.

    It may be imported meanwhile. numba needs no such care: the threads of our kernels add nothing
    up together.
    """
    before = os.environ.get("OMP_NUM_THREADS")
    threads = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None
    if threads is None:
        os.environ["OMP_NUM_THREADS"] = "1"  # read if torch is imported meanwhile
    else:
        sys.modules["torch"].set_num_threads(1)
    try:
        yield
    finally:
        if threads is None:
            os.environ.pop("OMP_NUM_THREADS")
            if before is not None:
                os.environ["OMP_NUM_THREADS"] = before
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads or _threads_of(before))


def _threads_of(setting: str | None) -> int:
    """What OMP_NUM_THREADS says: a number, one for each level as in ``4,2``, or nonsense."""
    number = (setting or "").partition(",")[0].strip()
    return int(number) if number.isdecimal() and int(number) else num_cores()


_work: Callable[[Any], Any] | None = None


def _begin(work: Callable[[Any], Any], one_core: bool) -> None:
    """Set up a new process: keep the work, and end when the parent process is killed."""
    global _work
    _work = work
    signal.signal(signal.SIGTERM, _end)
    ignore_pillow_warnings()
    if one_core:
        use_one_core()
    end_with_parent()


def _end(number: int, _frame: FrameType | None) -> None:
    """End now; a process of a pool would continue with the next item after an exception."""
    remove_unfinished()
    os._exit(128 + number)


def end_with_parent() -> None:
    """End this process as soon as the one that started it has ended, killed or not."""
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _call(item: Any) -> Any:
    assert _work is not None
    return _work(item)
