"""The stream of training batches: a function of (seed, position), so that resuming is exact."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from itertools import chain, count

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from upscore.core.parallel.prefetch import prefetch
from upscore.data.dataset import Sample, Split
from upscore.data.transforms import Augment, cut_mix
from upscore.training.sample_order import WINDOW, Order


@dataclass(frozen=True)
class Batch:
    """images uint8 (N, 3, H, W) in channels_last memory, labels int64 (N, H, W), N names."""

    images: Tensor
    labels: Tensor
    names: tuple[str, ...]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device, while the host continues."""
        images = self.images.to(device, non_blocking=True)
        return Batch(images, self.labels.to(device, non_blocking=True), self.names)


@dataclass(frozen=True)
class Sampler:
    """The endless stream of training samples.

    Iteration ``i`` of a step of G = processes * accumulate * batch samples takes positions
    ``i * G`` to ``(i + 1) * G - 1``; process ``rank`` takes its own consecutive part, so that two
    processes draw the same samples as one process with twice the batch.

    With ``augment.mix``, a position may have a partner: the sample of one of the next ``WINDOW``
    positions, which is decoded soon anyway, in an augmentation of its own.

    Attributes:
        class_pixels: (C,) pixels of each class in the split, for ``augment.rare``.
    """

    split: Split
    augment: Augment
    order: Order
    seed: int
    batch: int
    accumulate: int = 1
    processes: int = 1
    rank: int = 0
    workers: int = 2
    class_pixels: npt.NDArray[np.int64] | None = None

    @property
    def step_size(self) -> int:
        """Samples of one optimiser step, over all processes."""
        return self.batch * self.accumulate * self.processes

    @property
    def num_samples(self) -> int:
        """Samples of one epoch."""
        return len(self.split)

    def names(self, iteration: int) -> list[str]:
        """Names of this process's samples in one step; of both where two are mixed."""
        return [
            " + ".join(self.split.pairs[index].name for index in self.indices(position))
            for position in self.positions(iteration)
        ]

    def index(self, position: int) -> int:
        """Index into the split of the sample at ``position``."""
        return self.order(self.seed, position)

    def indices(self, position: int) -> list[int]:
        """Index of the sample at ``position``, and of its partner where it has one."""
        partner, _ = self._partner(position)
        return [self.index(at) for at in (position, partner) if at is not None]

    def sample(self, position: int) -> Sample:
        """Read and augment the sample at ``position``, and mix it with its partner's."""
        sample = self._read(self.index(position), np.random.default_rng([self.seed, 1, position]))
        partner, rng = self._partner(position)
        if partner is None:
            return sample
        return cut_mix(sample, self._read(self.index(partner), rng), rng)

    def _partner(self, position: int) -> tuple[int | None, np.random.Generator]:
        """Position to be mixed in, or None, and the generator to use from then on."""
        rng = np.random.default_rng([self.seed, 6, position])
        if not self.augment.mix or rng.random() >= self.augment.mix:
            return None, rng
        return position + 1 + int(rng.integers(WINDOW)), rng

    def _read(self, index: int, rng: np.random.Generator) -> Sample:
        return self.augment(self.split.read(index), rng, self.class_pixels)

    def positions(self, iteration: int) -> range:
        """This process's positions of one step, those of its forward passes one after another."""
        share = self.batch * self.accumulate
        first = iteration * self.step_size + self.rank * share
        return range(first, first + share)

    def steps(self, first_iteration: int) -> Generator[list[Batch]]:
        """Batches of each optimiser step from ``first_iteration`` on, without end."""
        order = chain.from_iterable(map(self.positions, count(first_iteration)))
        depth = max(2 * self.batch * self.accumulate, self.workers)
        samples = prefetch(self.sample, order, workers=self.workers, depth=depth)
        while True:
            yield [
                collate([next(samples) for _ in range(self.batch)]) for _ in range(self.accumulate)
            ]


def collate(samples: list[Sample]) -> Batch:
    """Stack samples of one size."""
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    labels = torch.from_numpy(np.stack([sample.labels for sample in samples]))
    return Batch(
        images.permute(0, 3, 1, 2), labels.long(), tuple(sample.name for sample in samples)
    )
