from __future__ import annotations

import numpy as np
import pytest

from upscore.core.system_errors import is_memory_error
from upscore.data import open_dataset
from upscore.errors import DataError
from upscore.reproduce.labelling import LabelStore


@pytest.fixture
def store(toy, tmp_path):
    return LabelStore(tmp_path / "labels", open_dataset(toy).split("val"))


class Labeller:
    """Says class 1 everywhere, and notes what it was asked for."""

    def __init__(self, *, refuses=(), error=None):
        self.asked = []
        self.refuses, self.error = refuses, error or DataError("cannot")

    def __call__(self, image, stages):
        self.asked.append(tuple(stages))
        if len(self.asked) in self.refuses:
            raise self.error
        return {name: np.ones(image.shape[:2], np.uint8) for name in stages}


def test_each_photo_is_labelled_once(store):
    for stage in ("a", "b"):
        store.begin(stage, {"weights": "1"})
    labeller = Labeller()
    assert store.label(["a"], labeller) == {}
    assert labeller.asked == [("a",)] * len(store.split)
    assert store.label(["a", "b"], labeller) == {}  # only what is missing
    assert labeller.asked[len(store.split) :] == [("b",)] * len(store.split)
    store.label(["a", "b"], labeller)
    assert len(labeller.asked) == 2 * len(store.split)
    shape = store.split.read(0).labels.shape
    np.testing.assert_array_equal(store.read("a", 0), np.ones(shape, np.uint8))


def test_other_weights_make_it_anew(store):
    store.begin("a", {"weights": "1"})
    store.label(["a"], Labeller())
    store.begin("a", {"weights": "1"})
    assert store.missing("a") == []
    store.begin("a", {"weights": "2"})
    assert store.missing("a") == list(range(len(store.split)))


def test_a_bad_photo_does_not_stop_the_others(store):
    store.begin("a", {})
    failures = store.label(["a"], Labeller(refuses=[1]))
    assert list(failures) == [0]
    assert "cannot" in failures[0]
    assert store.missing("a") == [0]
    maps = store.labelled("a", "A", failures).maps
    assert "cannot" in maps[0]
    assert not isinstance(maps[1], str)
    assert store.label(["a"], Labeller()) == {}  # tried again


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA out of memory"), MemoryError(), OSError("disk")]
)
def test_any_error_of_a_photo_does_not_stop_the_others(store, error):
    store.begin("a", {})
    failures = store.label(["a"], Labeller(refuses=[1], error=error))
    name = store.split.pairs[0].name
    assert list(failures) == [0]
    assert failures[0].startswith(f"{name}: ")
    assert is_memory_error(error) or f"({type(error).__name__}: " in failures[0]
    assert "--tile" not in failures[0], "reproduce has no such option"
    assert store.missing("a") == [0]
    assert [place for place, _, _ in store.complete(["a"])] == list(range(1, len(store.split)))


def test_photo_that_cannot_be_read_for_lack_of_memory(store, monkeypatch):
    read = type(store.split).read

    def fail_on_first(split, place):
        if place == 0:
            raise MemoryError
        return read(split, place)

    monkeypatch.setattr(type(store.split), "read", fail_on_first)
    store.begin("a", {})
    labeller = Labeller()
    assert list(store.label(["a"], labeller)) == [0]
    assert len(labeller.asked) == len(store.split) - 1


def test_killed_between_two_photos(store):
    class Killed(BaseException):
        pass

    def dies(image, stages):
        if seen:
            raise Killed
        seen.append(1)
        return {name: np.zeros(image.shape[:2], np.uint8) for name in stages}

    seen = []
    store.begin("a", {})
    with pytest.raises(Killed):
        store.label(["a"], dies)
    assert store.missing("a") == [1]
