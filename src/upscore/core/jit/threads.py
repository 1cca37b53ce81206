"""Several threads on one kernel, meeting at barriers inside it.

Not numba's own parallel loops: depending on the platform those abort the process when two Python
threads use them at once (workqueue) or when a forked child does (GNU OpenMP). Here the threads are
Python's, started for one call and joined at its end; kernels run without the interpreter's lock.
"""

# ruff: noqa: ARG001  (numba calls all instructions with the same arguments)

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

from upscore.core.jit.compile import instruction, part_of_kernels

Meeting = npt.NDArray[np.int64]
"""Counts the arrivals at barriers; a cache line to itself."""

_SPINS = 2000
"""Looks before a waiting thread offers its core to others: some microseconds."""

_give_way = types.ExternalFunction(
    "SwitchToThread" if os.name == "nt" else "sched_yield", types.int32()
)


def num_threads(wanted: int | None) -> int:
    """``wanted``, or as many as numba was told to use (``NUMBA_NUM_THREADS``, or the cores)."""
    return wanted or int(numba.get_num_threads())


def new_meeting() -> Meeting:
    return np.zeros(16, np.int64)


def run_team(kernel: Callable[..., Any], parts: int, *arguments: Any) -> None:
    """``kernel(part, parts, meeting, *arguments)`` for each part, at the same time.

    Each part runs in a thread of its own (the first in the caller's), so that barriers cannot wait
    for a part that was not started. A kernel with barriers must neither raise nor allocate.
    """
    meeting = new_meeting()
    if parts == 1:
        kernel(0, 1, meeting, *arguments)
        return
    failures: list[BaseException] = []

    def work(part: int) -> None:
        try:
            kernel(part, parts, meeting, *arguments)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(part,), daemon=True) for part in range(1, parts)]
    for thread in threads:
        thread.start()
    work(0)
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]


def _counter(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    return context.make_array(array_type)(context, builder, array).data


@instruction
def _arrive(typing: Any, meeting: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _counter(context, builder, signature.args[0], arguments[0])
        return builder.atomic_rmw("add", pointer, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(meeting), generate


@instruction
def _arrived(typing: Any, meeting: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _counter(context, builder, signature.args[0], arguments[0])
        return builder.load_atomic(pointer, "seq_cst", 8)

    return types.int64(meeting), generate


@part_of_kernels
def barrier(meeting: Meeting, parts: int) -> None:
    """Go on when all ``parts`` threads have come here, with everything that they wrote visible."""
    if parts == 1:
        return
    wanted = (_arrive(meeting) // parts + 1) * parts
    spins = 0
    while _arrived(meeting) < wanted:
        spins += 1
        if spins > _SPINS:
            _give_way()
