"""The stream of samples is a function of (seed, position), whatever the number of processes."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from upscore.core.labels import Labels
from upscore.data import Pair, Sample, Split
from upscore.data.masks import MaskTable
from upscore.data.transforms import Augment
from upscore.training.sample_order import random_order, with_replacement
from upscore.training.sample_stream import Sampler


class Numbers(Split):
    """Photo i is painted with i."""

    def read(self, index: int) -> Sample:
        image = np.full((12, 16, 3), index, np.uint8)
        return Sample(image, np.zeros((12, 16), np.uint8), str(index))


@pytest.fixture
def sampler() -> Sampler:
    pairs = tuple(Pair(str(i), Path(f"{i}.jpg"), Path(f"{i}.png")) for i in range(10))
    split = Numbers("train", pairs, Labels.of(["a"]), MaskTable.indices(1))
    augment = Augment(crop=(8, 8), flip=0.5, brightness=0.1)
    return Sampler(split, augment, random_order(10), seed=3, batch=2)


def test_each_epoch_holds_every_sample_once_in_another_order(sampler: Sampler) -> None:
    epochs = [[sampler.index(p) for p in range(e * 10, e * 10 + 10)] for e in range(3)]
    assert all(sorted(order) == list(range(10)) for order in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_starting_late_gives_the_same_batches(sampler: Sampler) -> None:
    whole = list(islice(sampler.steps(0), 8))
    late = list(islice(sampler.steps(5), 3))
    for (a,), (b,) in zip(whole[5:], late, strict=True):
        assert a.names == b.names
        assert a.images.equal(b.images)
        assert a.labels.equal(b.labels)


def test_two_processes_see_what_one_with_twice_the_batch_sees(sampler: Sampler) -> None:
    one = next(islice(replace(sampler, batch=4).steps(2), 1))[0]
    two = [next(islice(replace(sampler, processes=2, rank=rank).steps(2), 1))[0] for rank in (0, 1)]
    assert one.names == two[0].names + two[1].names
    assert one.images[:2].equal(two[0].images)
    assert one.images[2:].equal(two[1].images)


def test_accumulation_takes_consecutive_positions(sampler: Sampler) -> None:
    parts = next(replace(sampler, accumulate=3).steps(0))
    assert [len(part.names) for part in parts] == [2, 2, 2]
    names = [name for part in parts for name in part.names]
    assert names == [str(sampler.index(p)) for p in range(6)]


def test_seed_changes_the_order(sampler: Sampler) -> None:
    other = replace(sampler, seed=4)
    assert [sampler.index(p) for p in range(10)] != [other.index(p) for p in range(10)]


def test_replacement_repeats_and_is_a_function_of_position(sampler: Sampler) -> None:
    drawn = replace(sampler, order=with_replacement(10))
    order = [drawn.index(p) for p in range(200)]
    assert order == [drawn.index(p) for p in range(200)]
    assert len(set(order[:10])) < 10
    assert set(order) == set(range(10))


def test_images_are_channels_last_already(sampler: Sampler) -> None:
    images = next(sampler.steps(0))[0].images
    assert images.shape == (2, 3, 8, 8)
    assert images.permute(0, 2, 3, 1).is_contiguous()
