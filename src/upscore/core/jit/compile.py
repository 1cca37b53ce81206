"""Compile kernels with numba: without the GIL, cached on disk, logged when it takes long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numba
import numba.extending
from numba.core.event import Listener, install_listener

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_FAST = {"contract", "nsz", "arcp"}
"""Fast-math flags. NaN and infinity are still handled, and sums are not reordered, so that results
are the same on every run."""

_LOG_AFTER_S = 0.7
"""Shorter compilations are not logged."""

logger = logging.getLogger("upscore.compiled")

_first_use = threading.RLock()
"""Held during the first use of a family of kernels; reentrant, as one family may use another."""
_compiled: set[str] = set()


def jit(function: Kernel) -> Kernel:
    """Decorator: compile a kernel on its first call and cache it on disk.

    The cache is beside the module or in the user's cache folder. Where neither can be written (a
    read-only installation, a user without a home), each process compiles for itself.
    """
    return _compile(function, fastmath=_FAST)


def jit_strict(function: Kernel) -> Kernel:
    """As :func:`jit`, but each operation is rounded separately, as C compilers do by default."""
    return _compile(function, fastmath=False)


def _compile(function: Kernel, *, fastmath: Any) -> Kernel:
    options: dict[str, Any] = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}
    try:
        kernel: Any = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # numba found no folder for its cache
        kernel = numba.njit(**options)(function)
    return cast(Kernel, kernel)


def jit_inline(function: Kernel) -> Kernel:
    """Decorator for a function that only kernels call; it is inlined into each of them."""
    # Inlined by numba itself: a call would count references to each array, which costs more than
    # looking up a table entry.
    kernel: Any = numba.njit(nogil=True, fastmath=_FAST, error_model="numpy", inline="always")(
        function
    )
    return cast(Kernel, kernel)


def intrinsic(function: Callable[..., Any]) -> Any:
    """numba's ``intrinsic``: the function returns a signature and a generator of LLVM code.

    A kernel that uses it is not recompiled when the intrinsic changes, only when the kernel's own
    file does.
    """
    return numba.extending.intrinsic(function)


class _Listener(Listener):
    """Records when numba compiles; numba sends no such events for what it loads from disk."""

    def __init__(self, what: str) -> None:
        self.begin = self.end = 0.0
        self.timer = threading.Timer(
            _LOG_AFTER_S,
            logger.info,
            (f"compiling {what} for this machine, once (under a minute on a quiet machine)",),
        )
        self.timer.daemon = True

    def on_start(self, event: Any) -> None:  # noqa: ARG002
        if not self.begin:
            self.begin = time.perf_counter()
            self.timer.start()

    def on_end(self, event: Any) -> None:  # noqa: ARG002
        self.end = time.perf_counter()


@contextmanager
def log_compilation(what: str) -> Iterator[None]:
    """Wrap the first use of some kernels in a process: log (INFO) if they have to be compiled.

    Two messages, one before and one after, and only if compiling is slow; later uses cost nothing.
    May be nested. To show the messages, add a handler to the logger ``upscore.compiled``.

    Args:
        what: name of the family of kernels in the messages, such as ``"the dense CRF"``.
    """
    if what in _compiled:
        yield
        return
    with _first_use:
        listener = _Listener(what)
        try:
            with install_listener("numba:compile", listener):
                yield
        finally:
            listener.timer.cancel()
        seconds = listener.end - listener.begin
        if seconds > _LOG_AFTER_S:
            logger.info("compiled %s in %.0f s", what, seconds)
        _compiled.add(what)
