"""data.sampling decides the order of photos and of crops alike."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from upscore.data.stats import class_frequencies
from upscore.training.sample_stream import Sampler
from upscore.training.trainer import Outcome, Training

CROPS = ("crops.kind=objects", "augment.resize=[32, 32]")


@pytest.fixture
def sampler_of(
    tmp_path: Path, run_tiny: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Sampler]:
    """The sampler of a training with some settings, which is not begun."""
    found: list[Sampler] = []

    class BegunError(Exception):
        pass

    def fit(self: Training) -> Outcome:
        found.append(self.source)
        raise BegunError

    monkeypatch.setattr(Training, "fit", fit)

    def sampler_of(*assignments: str) -> Sampler:
        with pytest.raises(BegunError):
            run_tiny(tmp_path / str(len(found)), *assignments)
        return found[-1]

    return sampler_of


@pytest.mark.parametrize("kind", [(), CROPS], ids=["photos", "crops"])
def test_replacement_draws_uniformly_and_shuffle_each_once(
    kind: tuple[str, ...], sampler_of: Callable[..., Sampler]
) -> None:
    shuffled = sampler_of(*kind)
    size = len(shuffled.split)
    assert sorted(map(shuffled.index, range(size))) == list(range(size))
    replaced = sampler_of(*kind, "data.sampling=replacement")
    assert len(replaced.split) == size
    # each is left out of an epoch with probability 1/e, and comes 20 times in 20 epochs
    assert len({replaced.index(position) for position in range(size)}) < size
    counts = [0] * size
    for position in range(20 * size):
        counts[replaced.index(position)] += 1
    assert min(counts) > 0
    assert max(counts) < 60


@pytest.mark.parametrize("kind", [(), CROPS], ids=["photos", "crops"])
def test_rare_crops_know_how_often_classes_occur(
    kind: tuple[str, ...], sampler_of: Callable[..., Sampler]
) -> None:
    crops = ("augment.rare=0.5", "augment.crop=[24, 24]", "loss.class_weights=none")
    sampler = sampler_of(*kind, *crops)
    assert sampler.class_pixels is not None
    assert np.array_equal(sampler.class_pixels, class_frequencies(sampler.split)[0])
    assert sampler_of(*kind, *crops[1:]).class_pixels is None
