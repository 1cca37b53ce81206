"""Order kept, few results ahead, exceptions where they belong."""

from __future__ import annotations

import threading
from itertools import count, islice

import pytest

from upscore.core.parallel.prefetch import prefetch
from waiting import HANG_S


def test_order_is_kept_whatever_is_ready_first() -> None:
    done = [threading.Event() for _ in range(30)]

    def work(i: int) -> int:
        if i % 2 == 0:
            assert done[i + 1].wait(HANG_S)
        done[i].set()
        return i * i

    assert list(prefetch(work, range(30), workers=4)) == [i * i for i in range(30)]


def test_empty() -> None:
    assert list(prefetch(lambda i: i, [])) == []


def test_never_more_than_depth_ahead_of_an_endless_source() -> None:
    begun = []
    lock = threading.Lock()

    def work(i: int) -> int:
        with lock:
            begun.append(i)
        return i

    stream = prefetch(work, count(), workers=3, depth=5)
    assert list(islice(stream, 10)) == list(range(10))
    stream.close()  # type: ignore[attr-defined]
    assert len(begun) <= 10 + 5


def test_exception_comes_in_its_place() -> None:
    def work(i: int) -> int:
        if i == 3:
            raise ValueError("three")
        return i

    stream = prefetch(work, range(9))
    assert [next(stream) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(stream)
