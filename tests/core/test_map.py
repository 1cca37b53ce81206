"""``map_items``: bad items become failures, errors that concern all items end the work."""

from __future__ import annotations

import re

import pytest

from core.in_workers import Picky, die, double
from upscore.core.failures import Failure
from upscore.core.parallel import map as parallel_map
from upscore.core.parallel.map import map_items, num_processes
from upscore.errors import MissingExtraError, NotFoundError, SettingsError, WorkError

OPTIONS = {"name": str, "doing": "halve it"}


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("one_core", [False, True])
def test_every_item_comes_back_once_with_its_result_or_failure(processes, one_core):
    items = ["2", "odd", "8", "data", "data: named", "memory", "10", "own"]
    found = dict(map_items(Picky(), items, processes=processes, one_core=one_core, **OPTIONS))
    assert {item: found[item] for item in ("2", "8", "10")} == {"2": 1, "8": 4, "10": 5}
    assert [failure for failure in found.values() if isinstance(failure, Failure)]
    odd = found["odd"]
    assert re.fullmatch(
        r"odd: cannot halve it \(KeyError: 'odd'; at upscore/core/parallel/map.py:\d+\)",
        odd.message,
    )
    assert (odd.index, odd.name) == (1, "odd")
    assert found["data"] == Failure(3, "data", "data: first line second line")
    assert found["data: named"].message == "data: named: first line second line"
    assert found["memory"].message == "memory: not enough memory to halve it; try --workers 1"
    assert found["own"] == Failure(99, "mine", "what I say")
    assert len(found) == len(items)


@pytest.mark.parametrize("processes", [1, 2])
def test_an_error_that_concerns_all_items_ends_it(processes):
    with pytest.raises(MissingExtraError, match="pip install"):
        list(map_items(Picky(), ["2", "4", "missing"], processes=processes, **OPTIONS))


def test_which_errors_concern_one_item():
    with pytest.raises(NotFoundError):
        list(map_items(Picky(), ["lost"], **OPTIONS))
    ((_, failure),) = map_items(Picky(), ["lost"], item_errors=(NotFoundError,), **OPTIONS)
    assert failure.message == "lost: no such file"


def test_the_first_item_is_done_here_and_the_rest_elsewhere():
    here = []

    class Local:  # does not pickle
        def __call__(self, item):
            here.append(item)
            return item

    done = map_items(Local(), iter("abc"), processes=2, **OPTIONS)
    assert next(done) == ("a", "a")
    with pytest.raises((AttributeError, TypeError)):
        next(done)
    assert here == ["a"]


def test_a_process_that_dies():
    with pytest.raises(WorkError, match=r"a process died.*; ask for fewer"):
        list(map_items(Picky(), ["2", "die"], processes=2, if_died="ask for fewer", **OPTIONS))


def test_nothing_to_do():
    assert list(map_items(double, [], **OPTIONS)) == []
    assert list(map_items(die, [], processes=3, **OPTIONS)) == []


@pytest.mark.parametrize(
    ("workers", "num_items", "expected"),
    [(None, 0, 1), (None, 15, 1), (None, 16, 2), (None, 100, 4), (3, 2, 2), (8, 100, 8), (1, 9, 1)],
)
def test_how_many_processes(monkeypatch, workers, num_items, expected):
    monkeypatch.setattr(parallel_map, "num_cores", lambda: 4)
    assert num_processes(workers, num_items, worth=8) == expected


def test_no_process_at_all():
    with pytest.raises(SettingsError, match="workers is 0; allowed: 1 or more"):
        num_processes(0, 5, worth=8)
