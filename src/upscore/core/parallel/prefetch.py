"""Do slow work ahead in threads, hand it over in order, and hold only a few results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int = 2, depth: int = 8
) -> Generator[Result, None, None]:
    """``map(work, items)`` with up to ``depth`` results made ahead by ``workers`` threads.

    Order is kept and at most ``depth`` results wait, so memory stays flat over any number of
    items; decoding and PNG writing release the interpreter, so they overlap with the network.
    An exception of ``work`` is raised where its result would have come. Closing the iterator
    early cancels what has not started.
    """
    source = iter(items)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="prefetch")
    waiting: deque[Future[Result]] = deque()
    try:
        waiting.extend(pool.submit(work, item) for item in islice(source, depth))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(work, item) for item in islice(source, 1))
            yield result
    finally:
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True, cancel_futures=True)
