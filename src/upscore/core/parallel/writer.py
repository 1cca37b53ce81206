"""Write behind: results go to disk in threads while the network works on the next photo."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Any


class Writer:
    """Threads that write. ``put`` waits while ``depth`` results are unfinished, so memory is flat.

    The first error of a write is raised by a later ``put`` or at the end of the block. When the
    block is left by an error or Ctrl-C, what has started is finished and the rest is dropped. With
    one worker, work is done in the order in which it was put.
    """

    def __init__(self, *, workers: int, depth: int) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="write")
        self._waiting: deque[Future[None]] = deque()
        self._depth = depth

    def put(self, work: Callable[..., None], *arguments: Any) -> None:
        """Call ``work(*arguments)`` in a thread, soon."""
        while len(self._waiting) >= self._depth:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(work, *arguments))

    def flush(self) -> None:
        """Wait until all is written; raise the first error."""
        while self._waiting:
            self._waiting.popleft().result()

    def drain(self) -> None:
        """Drop what has not started, wait for the rest and forget its errors."""
        for future in self._waiting:
            future.cancel()
        wait(self._waiting)
        self._waiting.clear()

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self.flush()
        finally:
            self._pool.shutdown(wait=True, cancel_futures=True)
