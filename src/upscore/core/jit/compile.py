"""How upscore compiles kernels: numba, without the lock, kept on disk, told to the user."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numba
from numba.core.event import Listener, install_listener
from numba.extending import intrinsic

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_FAST = {"contract", "nsz", "arcp"}
"""What the compiler may assume of floats. Not that NaN and infinity never occur, and not that sums
may be taken in another order: results are the same on every run."""

_TELL_AFTER_S = 0.7
"""Short compilations are not worth a message."""

logger = logging.getLogger("upscore.compiled")

_first = threading.Lock()
_compiled: set[str] = set()


def compiled(function: Kernel) -> Kernel:
    """Compile on first call; keep the result beside the module or in the user's cache folder.

    Where neither can be written (a read-only installation of a user without a home), each process
    compiles for itself.
    """
    return _compile(function, fastmath=_FAST)


def compiled_as_written(function: Kernel) -> Kernel:
    """The same with each operation rounded by itself, as C compilers do by default."""
    return _compile(function, fastmath=False)


def _compile(function: Kernel, *, fastmath: Any) -> Kernel:
    options: dict[str, Any] = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
    try:
        kernel: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder to keep it in
        kernel = numba.njit(**options)(function)
    return cast(Kernel, kernel)


def part_of_kernels(function: Kernel) -> Kernel:
    """A function that only kernels call, compiled together with each of them."""
    # inlined by numba itself: a call counts references to each array, which costs more than a look
    # into a table
    kernel: Any = numba.njit(nogil=True, fastmath=_FAST, error_model="numpy", inline="always")(
        function
    )
    return cast(Kernel, kernel)


def instruction(function: Callable[..., Any]) -> Any:
    """What numba calls an intrinsic: the function returns a signature and how to write it in LLVM.

    Kernels that use it are not compiled anew when it changes, only when their own file does.
    """
    return intrinsic(function)


class _Listener(Listener):
    """Notes when numba compiles; it does not send these events for what it loads from disk."""

    def __init__(self, what: str) -> None:
        self.begin = self.end = 0.0
        self.timer = threading.Timer(
            _TELL_AFTER_S,
            logger.info,
            (f"compiling {what} for this machine, once (some ten seconds)",),
        )
        self.timer.daemon = True

    def on_start(self, event: Any) -> None:  # noqa: ARG002
        if not self.begin:
            self.begin = time.perf_counter()
            self.timer.start()

    def on_end(self, event: Any) -> None:  # noqa: ARG002
        self.end = time.perf_counter()


@contextmanager
def telling(what: str) -> Iterator[None]:
    """Around the first use of some kernels in a process: logs (INFO) when it has to compile them.

    Two messages, before and after, and only when it takes long; later uses cost nothing. A program
    that wants them as a progress line adds a handler to the logger ``upscore.compiled``.

    Args:
        what: the name that the messages use, one for each family of kernels: ``"the dense CRF"``.
    """
    if what in _compiled:
        yield
        return
    with _first:
        listener = _Listener(what)
        try:
            with install_listener("numba:compile", listener):
                yield
        finally:
            listener.timer.cancel()
        spent = listener.end - listener.begin
        if spent > _TELL_AFTER_S:
            logger.info("compiled %s in %.0f s", what, spent)
        _compiled.add(what)
