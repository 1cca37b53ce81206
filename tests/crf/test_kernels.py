"""Parts of kernels: SIMD vectors, threads with barriers, log messages of compilation."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from itertools import count
from types import SimpleNamespace

import numba
import numpy as np
import pytest

from crf.crf_cases import random_case
from upscore.core.jit import compile as compiled_module
from upscore.core.jit import simd
from upscore.core.jit.compile import jit, log_compilation
from upscore.core.jit.threads import new_barrier, num_threads, run_parallel, wait
from upscore.crf import DenseCRF, Gaussian


@jit
def _apply(which, values, results):  # type: ignore[no-untyped-def]
    for row in range(len(values)):
        value = simd.load(values, row)
        if which == 0:
            simd.store(results, row, simd.exp(value))
        elif which == 1:
            simd.store(results, row, simd.log(value))
        elif which == 2:
            simd.store(results, row, simd.broadcast(simd.horizontal_sum(value)))
        elif which == 3:
            simd.store(results, row, simd.broadcast(simd.horizontal_max(value)))
        else:
            simd.store(results, row, simd.broadcast(simd.horizontal_min(value)))


def applied(which: int, numbers: np.ndarray) -> np.ndarray:
    values = simd.empty_rows(numbers.size // 8)
    values[:] = numbers.reshape(-1, 8)
    results = simd.empty_rows(len(values))
    _apply(which, values, results)
    return results.ravel().astype(np.float64)


def test_exp_is_as_exact_as_stated() -> None:
    numbers = np.linspace(-87, 88, 80_000).astype(np.float32)
    exact = np.exp(numbers.astype(np.float64))
    assert np.abs(applied(0, numbers) / exact - 1).max() < 2.4e-7  # two units in the last place
    below = np.array([-87.01, -90, -1000, -3e38, -np.inf, 0, -0.0, -87], np.float32)
    np.testing.assert_allclose(applied(0, below), [0, 0, 0, 0, 0, 1, 1, np.exp(-87)], rtol=1e-6)


def test_log_is_as_exact_as_stated() -> None:
    numbers = np.exp(np.linspace(-85, 85, 80_000)).astype(np.float32)
    exact = np.log(numbers.astype(np.float64))
    error = np.abs(applied(1, numbers) - exact)
    assert (error < np.maximum(3e-7, 2.4e-7 * np.abs(exact))).all()


def test_of_eight() -> None:
    numbers = np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    np.testing.assert_allclose(applied(2, numbers)[::8], numbers.sum(axis=1), atol=1e-5)
    np.testing.assert_array_equal(applied(3, numbers)[::8], numbers.max(axis=1))
    np.testing.assert_array_equal(applied(4, numbers)[::8], numbers.min(axis=1))


def test_rows_are_aligned() -> None:
    for shape in ((1,), (3, 5), (1000,)):
        rows = simd.empty_rows(*shape)
        assert rows.shape == (*shape, 8)
        assert rows.ctypes.data % 64 == 0
        assert rows.flags.c_contiguous


@jit
def _relay(part, parts, barrier, counts):  # type: ignore[no-untyped-def]
    for turn in range(200):
        counts[turn, part] = counts[turn - 1, :].sum() + 1 if turn else 1
        wait(barrier, parts)


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_threads_wait_for_each_other(parts: int) -> None:
    counts = np.zeros((200, parts))
    run_parallel(_relay, parts, counts)
    expected = 1.0
    for turn in range(200):
        np.testing.assert_array_equal(counts[turn], expected)
        expected = min(expected * parts + 1, np.inf)
    assert new_barrier().sum() == 0


def test_a_thread_that_fails_is_heard() -> None:
    def kernel(part: int, *_: object) -> None:
        if part == 1:
            raise MemoryError("no room")

    with pytest.raises(MemoryError, match="no room"):
        run_parallel(kernel, 2)


def test_an_interrupt_comes_when_all_parts_have_ended() -> None:
    ended: list[int] = []

    def kernel(part: int, _parts: int, barrier: np.ndarray) -> None:
        if part == 0:
            signal.raise_signal(signal.SIGINT)  # Python handles it in the main thread
        while barrier[0] < part:  # each waits for the one before
            pass
        barrier[0] += 1
        ended.append(part)

    with pytest.raises(KeyboardInterrupt):
        run_parallel(kernel, 3)
    assert ended == [0, 1, 2]


def test_no_part_begins_where_one_gets_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    start = threading.Thread.start

    def refuse(thread: threading.Thread) -> None:
        if begun_threads:
            raise RuntimeError("can't start new thread")
        begun_threads.append(thread)
        start(thread)

    begun_threads: list[threading.Thread] = []
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start"):
        run_parallel(lambda part, *_: begun.append(part), 2)
    begun_threads[0].join()
    assert begun == []


def test_number_of_threads() -> None:
    assert num_threads(3) == 3
    assert num_threads(None) >= 1


class _AtOnce:
    """A timer that goes off when it is started."""

    daemon = False

    def __init__(self, _seconds: float, function: Callable[..., None], arguments: object) -> None:
        self.start = lambda: function(*arguments)  # type: ignore[misc]

    def cancel(self) -> None:
        pass


@pytest.fixture
def long_compiling(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A second goes by at every look at the clock."""
    ticks = count()
    caplog.set_level(logging.INFO, logger="upscore.compiled")
    monkeypatch.setattr(compiled_module, "threading", SimpleNamespace(Timer=_AtOnce))
    monkeypatch.setattr(
        compiled_module, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks)))
    )
    monkeypatch.setattr(compiled_module, "_compiled", set())


@pytest.mark.usefixtures("long_compiling")
def test_compiling_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with log_compilation("some kernels"):
        numba.njit(lambda number: number + 1)(1)
    assert [record.message[:9] for record in caplog.records] == ["compiling", "compiled "]
    with log_compilation("some kernels"):
        numba.njit(lambda number: number + 2)(1)
    assert len(caplog.records) == 2


@pytest.mark.usefixtures("long_compiling")
def test_work_without_compiling_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    kernel = numba.njit(lambda number: number + 3)
    kernel(1)
    with log_compilation("slow kernels"):
        kernel(2)  # compiled before
    assert caplog.records == []


def test_a_first_use_inside_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_module, "_compiled", set())
    done = []

    def use() -> None:
        with log_compilation("outer kernels"), log_compilation("inner kernels"):
            done.append(numba.njit(lambda number: number + 1)(1))

    thread = threading.Thread(target=use, daemon=True)
    thread.start()
    thread.join(timeout=120)  # a lock that is not reentrant would never let it end
    assert done == [2]
    assert compiled_module._compiled == {"outer kernels", "inner kernels"}


def test_nothing_is_told_when_it_is_quick(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="upscore.compiled")
    image, probabilities = random_case(0, (20, 20), 3)
    crf = DenseCRF(Gaussian(3, 3))
    crf(image, probabilities=probabilities)
    caplog.clear()
    crf(image, probabilities=probabilities)
    assert caplog.records == []
