"""Cut-mix: rectangles, partners as a function of (seed, position), names, and class counts."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import upscore
from upscore.core.labels import Labels
from upscore.data import Pair, Sample, Split
from upscore.data.masks import MaskTable
from upscore.data.stats import class_frequencies
from upscore.data.transforms import Augment, cut_mix
from upscore.training.sample_order import random_order
from upscore.training.sample_stream import Sampler


class Numbers(Split):
    """Photo and mask i are painted with i."""

    def read(self, index: int) -> Sample:
        labels = np.full((30, 40), index, np.uint8)
        return Sample(np.repeat(labels[..., None], 3, axis=2), labels, str(index))

    def read_labels(self, index: int) -> np.ndarray:
        return self.read(index).labels


@pytest.fixture
def split() -> Split:
    pairs = tuple(Pair(str(i), Path(f"{i}.jpg"), Path(f"{i}.png")) for i in range(50))
    names = [f"c{i}" for i in range(50)]
    return Numbers("train", pairs, Labels.of(names), MaskTable.indices(50))


@pytest.fixture
def sampler(split: Split) -> Sampler:
    augment = Augment(
        crop=(16, 20), scale=(2, 3), rotation=20, rare=0.5, flip=0.5, blur=1, gamma=0.2, mix=0.4
    )
    pixels = np.arange(1, 51)
    return Sampler(split, augment, random_order(50), seed=3, batch=2, class_pixels=pixels)


def test_a_rectangle_of_the_other_replaces_photo_and_mask() -> None:
    rng = np.random.default_rng(0)
    one, two = (
        Sample(
            rng.integers(0, 256, (60, 90, 3), dtype=np.uint8),
            np.full((60, 90), k, np.uint8),
            str(k),
        )
        for k in (1, 2)
    )
    before = one.image.copy()
    shares = []
    for seed in range(600):
        out = cut_mix(one, two, np.random.default_rng(seed))
        other = out.labels == 2
        shares.append(other.mean())
        assert np.array_equal(out.image, np.where(other[..., None], two.image, one.image))
        rows, columns = other.any(axis=1).nonzero()[0], other.any(axis=0).nonzero()[0]
        if len(rows):
            height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
            assert other.sum() == height * width
            assert abs(width - 1.5 * height) <= 1.5
    assert out.name == "1 + 2"
    assert np.array_equal(one.image, before)
    quantiles = np.quantile(shares, [0.1, 0.3, 0.5, 0.7, 0.9])
    assert quantiles == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9], abs=0.07)


def test_both_samples_are_a_function_of_seed_and_position(sampler: Sampler) -> None:
    mixed = 0
    for position in range(150):
        indices = sampler.indices(position)
        assert indices == sampler.indices(position)
        assert indices[0] == sampler.index(position)
        sample = sampler.sample(position)
        assert sample.name == " + ".join(map(str, indices))
        assert set(np.unique(sample.labels)) <= {*indices, 255}
        mixed += len(indices) == 2
    assert 40 < mixed < 80
    other = replace(sampler, seed=4)
    assert [other.indices(p) for p in range(9)] != [sampler.indices(p) for p in range(9)]


def test_the_rest_of_a_mixed_sample_is_as_without_mix(sampler: Sampler) -> None:
    plain = replace(sampler, augment=sampler.augment.model_copy(update={"mix": 0.0}))
    position = next(p for p in range(50) if len(sampler.indices(p)) == 2)
    whole, mixed = plain.sample(position), sampler.sample(position)
    kept = mixed.labels == whole.labels
    assert 0 < kept.mean() < 1
    assert np.array_equal(whole.image[kept], mixed.image[kept])
    assert plain.names(0) == [str(plain.index(p)) for p in (0, 1)]


def test_starting_late_and_two_processes_give_the_same(sampler: Sampler) -> None:
    whole = list(islice(sampler.steps(0), 8))
    late = list(islice(sampler.steps(5), 3))
    for step, ((a,), (b,)) in enumerate(zip(whole[5:], late, strict=True), start=5):
        assert a.names == b.names == tuple(sampler.names(step))
        assert a.images.equal(b.images)
        assert a.labels.equal(b.labels)
    one = next(islice(replace(sampler, batch=4).steps(2), 1))[0]
    two = [next(islice(replace(sampler, processes=2, rank=rank).steps(2), 1))[0] for rank in (0, 1)]
    assert one.images[:2].equal(two[0].images)
    assert one.images[2:].equal(two[1].images)


def test_torch_dataset_mixes_and_counts_for_itself(split: Split) -> None:
    items = upscore.TorchDataset(split, augment=Augment(crop=(16, 20), mix=0.5, rare=0.5))
    assert repr(items) == f"<TorchDataset: {len(split)} photos of split {split.name}>"
    assert items.class_pixels is not None
    assert np.array_equal(items.class_pixels, class_frequencies(split)[0])
    mixed = 0
    for index in range(50):
        item = items[index]
        assert item["mask"].equal(items[index]["mask"])
        values = set(item["mask"].unique().tolist())
        assert len(values) <= 2
        mixed += " + " in item["name"]
    assert 12 < mixed < 38
    assert upscore.TorchDataset(split, augment=Augment(crop=(16, 20))).class_pixels is None
