"""How this room compiles: numba, without the interpreter's lock, kept on disk, told to the user."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import numba
from numba.extending import intrinsic

Kernel = TypeVar("Kernel", bound=Callable[..., Any])

_FAST = {"contract", "nsz", "arcp"}
"""What the compiler may assume of floats. Not that NaN and infinity never occur, and not that sums
may be taken in another order: results are the same on every run."""

_TELL_AFTER_S = 0.7
"""Loading compiled kernels from disk takes less, compiling takes much more."""

logger = logging.getLogger("upscore.crf")

_first = threading.Lock()
_compiled = False


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


@contextmanager
def telling() -> Iterator[None]:
    """Around the first use in a process: logs to ``upscore.crf`` (INFO) when it has to compile.

    Two messages, before and after, and only when it takes long; later uses cost nothing. A program
    that wants them as a progress line adds a handler to the logger ``upscore.crf``.
    """
    global _compiled
    if _compiled:
        yield
        return
    with _first:
        begin = time.perf_counter()
        timer = threading.Timer(
            _TELL_AFTER_S,
            logger.info,
            ("compiling the dense CRF for this machine, once (some ten seconds)",),
        )
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        spent = time.perf_counter() - begin
        if not _compiled and spent > _TELL_AFTER_S:
            logger.info("compiled the dense CRF in %.0f s", spent)
        _compiled = True
