"""Mean field inference for one image: its lattices, its arrays, and the kernels on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.jit.simd import LANES, empty_rows
from upscore.core.jit.threads import run_parallel
from upscore.crf.lattice import filter as filtering
from upscore.crf.lattice.build import Float32s, Int64s, build_lattice
from upscore.crf.terms import Kernel
from upscore.crf.validation import SUM_TOLERANCE

TILE = 32
"""Pixels are ordered in squares of this side, so that their vertices stay in the cache."""

EPSILON = np.float32(1e-20)
"""Added to a normaliser, as the reference implementation does."""


class UnfitError(Exception):
    """Energies or probabilities that :mod:`upscore.crf.validation` has to check and convert."""


@dataclass
class Phases:
    """Seconds spent in each phase, for benchmarks."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        begin = perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + perf_counter() - begin


class Engine:
    """Mean field inference for one image; workspaces are allocated once, not in the iterations.

    Memory at its peak (``benchmarks/crf.py``): 8 bytes a pixel and class, classes counted in
    eights, and with DeconvNet's two terms on a photo 420 bytes a pixel while lattices are built,
    whatever the number of classes. ``keeps_old`` adds 4 bytes a pixel and class.
    """

    def __init__(
        self,
        given: Float32s,
        kernels: list[Kernel],
        mu: npt.NDArray[np.float32] | float,
        *,
        likely: bool,
        keeps_old: bool,
        threads: int,
    ) -> None:
        """Load the unary term and build the lattices.

        Args:
            given: (C, *shape) float32 energies or, if ``likely``, probabilities.
            kernels: the pairwise terms.
            mu: the compatibility matrix (C, C), or the weight of a Potts model.
            likely: whether ``given`` holds probabilities.
            keeps_old: keep messages apart from marginals, for divergences and changes.
            threads: at most so many are used.

        Raises:
            UnfitError: ``given`` has to be checked by :mod:`upscore.crf.validation` first.
        """
        self.phases = Phases()
        num_classes, shape = len(given), given.shape[1:]
        flat = given.reshape(num_classes, -1)
        self.num = flat.shape[1]
        self.blocks = -(-num_classes // LANES)
        self.threads = max(1, min(threads, self.num // 1024))
        self.order = tiled_order(shape)
        self.shape = given.shape
        with self.phases.phase("convert"):
            self.unary = empty_rows(self.blocks, self.num)
            wrong = np.zeros(self.threads, np.bool_)
            self._run(
                filtering.load_unary, flat, likely, SUM_TOLERANCE, self.order, self.unary, wrong
            )
            if wrong.any():
                raise UnfitError
            self.maps = empty_rows(self.blocks, self.num)
        self.messages = empty_rows(self.blocks, self.num) if keeps_old else self.maps
        self.strength = float(mu) if isinstance(mu, float) else 0.0
        self.mixing = np.zeros((0, self.blocks, LANES), np.float32)
        if not isinstance(mu, float):
            padded = np.zeros((num_classes, self.blocks * LANES), np.float32)
            padded[:, :num_classes] = mu.T
            self.mixing = padded.reshape(num_classes, self.blocks, LANES)
        # each thread writes its row all the time: no two in the same or in neighbouring cache lines
        self.row = empty_rows(self.threads, self.blocks + 4)
        self.changes = np.zeros(self.threads, np.float32)
        self.filter: Filter | None = None
        if kernels:
            self.filter = Filter(kernels, self.order, self.threads, self.phases)
        with self.phases.phase("update"):
            self.messages.fill(0)
            self._update()

    def message_passing(self) -> None:
        """Filter the current marginals."""
        if self.filter is None:
            self.messages.fill(0)
        else:
            self.filter(self.maps, self.messages)

    def update_marginals(self) -> float:
        """Compute the marginals from the messages; their largest change if ``keeps_old``."""
        with self.phases.phase("update"):
            return self._update()

    def divergence(self) -> float:
        """KL(Q || P) + log Z, after :meth:`message_passing`; only if ``keeps_old``."""
        shares = np.zeros(-(-self.num // filtering.SHARE))
        self._run(filtering.divergence, self.unary, self.messages, self.maps, self.strength,
                  self.mixing, shares)  # fmt: skip
        return float(shares.sum())

    def marginals(self) -> Float32s:
        """The current marginals, (C, *shape) float32."""
        results = np.empty((self.shape[0], self.num), np.float32)
        with self.phases.phase("convert"):
            self._run(filtering.store_marginals, self.maps, self.order, results)
        return results.reshape(self.shape)

    def _update(self) -> float:
        self._run(filtering.update, self.unary, self.messages, self.maps, self.strength,
                  self.mixing, self.row, self.changes)  # fmt: skip
        return float(self.changes.max())

    def _run(self, kernel: Any, *arguments: Any) -> None:
        run_parallel(kernel, self.threads, *arguments)


class Filter:
    """The weighted sum of the terms' normalised filters, as one linear map of class maps."""

    def __init__(self, kernels: list[Kernel], order: Int64s, threads: int, phases: Phases) -> None:
        self.threads, self.phases = threads, phases
        with phases.phase("build"):
            lattice = build_lattice([kernel.rows for kernel in kernels], order, threads=threads)
            self.lattice = lattice
            self.values = empty_rows(lattice.num_vertices + threads)
        with phases.phase("normalise"):
            self._fold(kernels)

    def _fold(self, kernels: list[Kernel]) -> None:
        lattice = self.lattice
        num = len(lattice.slice_vertex)
        # a factor of slicing, which makes the filter of a constant about the sum of the Gaussian
        alphas = np.array(
            [1 / (1 + 2.0 ** -kernel.rows.shape[1]) for kernel in kernels], np.float32
        )
        weights = np.array([kernel.weight for kernel in kernels], np.float32) * alphas
        before = np.ones((len(kernels), num), np.float32)
        after = np.repeat(weights[:, None], num, axis=1)
        if any(kernel.normalization != "none" for kernel in kernels):
            ones = empty_rows(1, num)
            ones.fill(1)
            norms = np.empty((len(kernels), num), np.float32)
            run_parallel(
                filtering.blur_mass, self.threads, lattice.stages, self.values, ones,
                lattice.cell_begin, lattice.entry_begin, lattice.splat_pixel, lattice.splat_vertex,
                lattice.splat_weight, lattice.chains, lattice.segments, lattice.slice_vertex,
                lattice.slice_weight, lattice.columns, alphas, norms,
            )  # fmt: skip
            norms += EPSILON
            for term, kernel in enumerate(kernels):
                if kernel.normalization == "symmetric":
                    before[term] = 1 / np.sqrt(norms[term])
                    after[term] *= before[term]
                elif kernel.normalization == "before":
                    before[term] = 1 / norms[term]
                elif kernel.normalization == "after":
                    after[term] /= norms[term]
        run_parallel(
            filtering.fold_weights, self.threads, lattice.splat_weight, lattice.splat_pixel,
            lattice.slice_weight, lattice.columns, before, after,
        )  # fmt: skip

    def __call__(self, maps: Float32s, results: Float32s) -> None:
        """Filter ``maps`` (blocks, N, 8) into ``results``, which may be the same array."""
        lattice = self.lattice
        with self.phases.phase("filter"):
            run_parallel(
                filtering.filter_once, self.threads, lattice.stages, self.values, maps, results,
                lattice.cell_begin, lattice.entry_begin, lattice.splat_pixel, lattice.splat_vertex,
                lattice.splat_weight, lattice.chains, lattice.segments, lattice.slice_vertex,
                lattice.slice_weight,
            )  # fmt: skip


def tiled_order(shape: tuple[int, ...]) -> Int64s:
    """Raster indices of all pixels, square by square over the last two axes: (N,) int64."""
    indices = np.arange(int(np.prod(shape)), dtype=np.int64)
    if len(shape) < 2:
        return indices
    planes = indices.reshape(-1, *shape[-2:])
    return np.concatenate(
        [
            plane[top : top + TILE, left : left + TILE].ravel()
            for plane in planes
            for top in range(0, shape[-2], TILE)
            for left in range(0, shape[-1], TILE)
        ]
    )
