"""Run one kernel in several threads, with barriers inside the kernel.

numba's own parallel loops are not used: depending on the platform they abort the process when two
Python threads use them at once (workqueue) or when a forked child does (GNU OpenMP). These are
Python threads, started for one call and joined at its end; kernels run without the GIL.
"""

# ruff: noqa: ARG001  (numba calls all intrinsics with the same arguments)

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types

from upscore.core.jit.compile import intrinsic, jit_inline

Barrier = npt.NDArray[np.int64]
"""The number of arrivals so far, in a cache line of its own."""

_SPINS = 2000
"""Checks before a waiting thread yields its core to others: some microseconds."""

_yield_cpu = types.ExternalFunction(
    "SwitchToThread" if os.name == "nt" else "sched_yield", types.int32()
)


def num_threads(wanted: int | None) -> int:
    """``wanted``, or numba's setting if None (``NUMBA_NUM_THREADS``, by default the cores)."""
    return wanted or int(numba.get_num_threads())


def new_barrier() -> Barrier:
    return np.zeros(16, np.int64)


def run_parallel(kernel: Callable[..., Any], parts: int, *arguments: Any) -> None:
    """Call ``kernel(part, parts, barrier, *arguments)`` for each part, all at the same time.

    Each part has a thread of its own, and begins when all have one, so no part waits at a barrier
    for one that was not started. None is the main thread, which a signal may interrupt at any
    moment: the interrupt comes when all parts have ended. A kernel with barriers must neither
    raise nor allocate.
    """
    barrier = new_barrier()
    if parts == 1:
        kernel(0, 1, barrier, *arguments)
        return
    failures: list[BaseException] = []
    begin, complete = threading.Event(), False

    def work(part: int) -> None:
        begin.wait()
        if not complete:
            return
        try:
            kernel(part, parts, barrier, *arguments)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(part,), daemon=True) for part in range(parts)]
    try:
        for thread in threads:
            thread.start()
        complete = True
    finally:
        begin.set()
    try:
        _join(threads)
    except BaseException:
        _join(threads)
        raise
    if failures:
        raise failures[0]


def _join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join()


def _counter(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    return context.make_array(array_type)(context, builder, array).data


@intrinsic
def _arrive(typing: Any, barrier: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _counter(context, builder, signature.args[0], arguments[0])
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(barrier), generate


@intrinsic
def _arrived(typing: Any, barrier: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _counter(context, builder, signature.args[0], arguments[0])
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(barrier), generate


@jit_inline
def wait(barrier: Barrier, parts: int) -> None:
    """Wait until all ``parts`` threads have arrived; everything they wrote is then visible."""
    if parts == 1:
        return
    wanted = (_arrive(barrier) // parts + 1) * parts
    spins = 0
    while _arrived(barrier) < wanted:
        spins += 1
        if spins > _SPINS:
            _yield_cpu()
