"""The permutohedral lattice in PyTorch operations, for GPUs.

Gaussian filtering after Adams, Baek and Davis, "Fast High-Dimensional Filtering Using the
Permutohedral Lattice" (2010): splat each point onto the D + 1 corners of the simplex around it,
blur along the D + 1 lattice directions, slice the values at the points. The counterpart of the
numba lattice with vectorised operations only.

The lattice is built by sorting its keys and searching them. All three steps are then the same
operation, weighted sums of rows (``embedding_bag``): adding points to vertices (``index_add``) is
slower on a CPU, and uses atomics on a GPU, so that results would differ slightly between runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from upscore.errors import DataError

MAX_WORD = 2**62
"""Upper bound of packed lattice keys, so that a step to a neighbour cannot overflow int64."""

MAX_COORDINATE = 2**22
"""From here on, lattice coordinates in float32 have no fraction left to interpolate with."""


@dataclass(frozen=True)
class _Sums:
    """Weighted sums of rows of a table, a sparse matrix: (R, C) -> (S, C).

    Sum s has the entries from ``begin[s]`` up to the next one's: rows (E,) and weights (E,).
    """

    rows: Tensor
    begin: Tensor
    weights: Tensor

    def __call__(self, table: Tensor) -> Tensor:
        weights = self.weights.to(table.dtype)
        return F.embedding_bag(self.rows, table, self.begin, per_sample_weights=weights, mode="sum")


class TorchLattice:
    """Sums of values under a Gaussian of unit deviation around every point.

    ``filter`` approximates ``out[n] = sum over m of exp(-|f[n] - f[m]|^2 / 2) values[m]`` up to a
    factor that is the same everywhere, with cost linear in the points. The constants are those of
    Kraehenbuehl and Koltun's C++ code.

    Args:
        features: (N, D) floating point, N and D at least 1, already divided by the deviations.
            float16 and bfloat16 are computed in float32.

    Attributes:
        num_points: N.
        num_vertices: M, the lattice points that touch a point.

    Raises:
        DataError: wrong shape or type, NaN or infinite, or so large (some 10^5 deviations) that
            float32 cannot distinguish neighbours.
    """

    def __init__(self, features: Tensor) -> None:
        _require_features(features)
        self.num_points, num_axes = features.shape
        wide = features.dtype if features.dtype == torch.float64 else torch.float32
        corner, rank, weights = _enclosing_simplex(features.T.to(wide))
        # one entry for every corner of every point's simplex, remainder after remainder
        columns = [_corner_coordinates(corner[i], rank[i], num_axes) for i in range(num_axes)]
        packing = _Packing(columns)
        words, order = torch.sort(packing(columns), stable=True)
        table, vertex, counts = torch.unique_consecutive(
            words, return_inverse=True, return_counts=True
        )
        self.num_vertices = len(table)
        first = counts.cumsum(0) - counts
        # half the memory if the indices fit, as they nearly always do
        index = torch.int32 if 3 * len(words) < 2**31 else torch.int64
        self._splat = _Sums(
            (order % self.num_points).to(index), first.to(index), weights.flatten()[order]
        )
        keys = [column[order[first]] for column in columns]
        self._blurs = [
            _blur(before, after, wide, index) for before, after in _neighbours(table, keys, packing)
        ]
        touched = torch.empty_like(vertex)
        touched[order] = vertex
        alpha = 1 / (1 + 2.0**-num_axes)
        self._slice = _Sums(
            touched.view(-1, self.num_points).T.flatten().to(index),
            torch.arange(0, len(words), num_axes + 1, dtype=index, device=words.device),
            (alpha * weights).T.flatten(),
        )

    def filter(self, values: Tensor) -> Tensor:
        """Filter every column of ``values``.

        Args:
            values: (N, C) float32 or float64 on the features' device.

        Returns:
            (N, C), same type; the same on every run.

        Raises:
            DataError: wrong shape, type or device.
        """
        device = self._splat.weights.device
        if values.dtype not in (torch.float32, torch.float64):
            raise DataError(f"values to filter are {values.dtype}; expected float32 or float64")
        if values.ndim != 2 or len(values) != self.num_points or values.shape[1] == 0:
            raise DataError(
                f"values to filter have shape {tuple(values.shape)}; expected ({self.num_points}, "
                "C), one row for every point that the lattice was built from"
            )
        if values.device != device:
            raise DataError(f"values to filter are on {values.device}, the lattice is on {device}")
        grid = self._splat(values.contiguous())
        for blur in self._blurs:
            grid = blur(grid)
        return self._slice(grid)

    def total(self) -> Tensor:
        """(N, 1) the filter of ones, which a normalisation divides by; always positive."""
        return self.filter(self._splat.weights.new_ones(self.num_points, 1))


def _require_features(features: Tensor) -> None:
    if not features.dtype.is_floating_point:
        raise DataError(f"features are {features.dtype}; expected floating point")
    if features.ndim != 2 or 0 in features.shape:
        raise DataError(
            f"features have shape {tuple(features.shape)}; expected (N, D) with N and D at least 1"
        )
    if not bool(features.isfinite().all()):
        raise DataError("features hold NaN or infinite values")


def _enclosing_simplex(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The simplex around each point (Adams et al., section 3 and figure 3).

    Args:
        points: (D, N).

    Returns:
        corner (D + 1, N) int32, the remainder-0 corner of the simplex; rank (D + 1, N) int32, the
        place of each coordinate when the point's offsets from that corner are sorted downwards;
        barycentric weights (D + 1, N) of the corners of remainder 0 to D.
    """
    num_axes, num_points = points.shape
    # of splat, blur and slice together; rounded first, as in lattice.scale_factors
    deviation = torch.tensor((2 / 3) ** 0.5 * (num_axes + 1), dtype=points.dtype).item()
    elevated = points.new_empty(num_axes + 1, num_points)
    along = points.new_zeros(num_points)
    for i in reversed(range(num_axes)):
        # axis i runs along (1, ..., 1, -(i + 1), 0, ..., 0) with i + 1 ones
        step = points[i] * (deviation / ((i + 1) * (i + 2)) ** 0.5)
        elevated[i + 1] = along - (i + 1) * step
        along = along + step
    elevated[0] = along
    largest = float(elevated.abs().max())
    if largest >= MAX_COORDINATE:
        raise DataError(
            f"features are as large as {float(points.abs().max()):g} deviations, "
            "too far from zero for the lattice; use larger deviations or take the mean off"
        )

    # Where a point lies exactly between simplices, rounding decides which vertices exist and so
    # changes the blur. So each step is that of the C++ code and of the numba lattice, on a GPU too.
    size = num_axes + 1
    nearest = torch.round(elevated * (1 / size))
    offset = elevated - nearest * size
    excess = nearest.sum(dim=0).int()  # coordinates must sum to zero: so many steps too high
    rank = torch.zeros_like(elevated, dtype=torch.int32)
    for i in range(size):
        for j in range(i + 1, size):
            lower = offset[i] < offset[j]
            rank[i] += lower
            rank[j] += ~lower
    rank += excess
    wrap = (rank < 0).int() - (rank > num_axes).int()
    rank += wrap * size
    corner = (nearest.int() + wrap) * size

    fraction = (elevated - corner) * (1 / size)
    ordered = torch.empty_like(fraction).scatter_(0, rank.long(), fraction).flip(0)  # rising
    weights = ordered - ordered.roll(1, 0)
    weights[0] += 1
    return corner, rank, weights


def _corner_coordinates(corner: Tensor, rank: Tensor, num_axes: int) -> Tensor:
    """One coordinate of all corners: (N,) and (N,) -> ((D + 1) N,), remainder after remainder.

    The corner of remainder r is r further in the D + 1 - r coordinates of lowest rank and
    D + 1 - r back in the others.
    """
    remainder = torch.arange(num_axes + 1, dtype=torch.int32, device=corner.device)[:, None]
    back = (rank > num_axes - remainder).int() * (num_axes + 1)
    return (corner + remainder - back).flatten()


class _Packing:
    """Packs lattice keys into single int64 words, which are fast to sort and to search.

    A key is D coordinates (the last of the D + 1 follows from them), each a digit of a mixed-radix
    number with room for a step to a neighbour. Where the digits do not fit in a word, the number
    so far is replaced by its rank among those that occur. Keys that do not occur get words that do
    not occur, either.
    """

    def __init__(self, columns: list[Tensor]) -> None:
        reach = len(columns)  # a neighbour is at most D away in a coordinate
        ends = torch.stack([torch.stack([c.min(), c.max()]) for c in columns]).tolist()
        self._low: list[int] = [low - reach for low, _ in ends]
        self._span: list[int] = [high - low + 1 + 2 * reach for low, high in ends]
        self._places: dict[int, Tensor] = {}
        capacity = 1
        for i, span in enumerate(self._span):
            if capacity * span > MAX_WORD:
                self._places[i] = torch.unique(self(columns[:i]))
                capacity = len(self._places[i]) + 1  # one for all that do not occur
            capacity *= span

    def __call__(self, columns: list[Tensor]) -> Tensor:
        """(K,) int32 for each of up to D columns -> (K,) int64."""
        word = columns[0].long() - self._low[0]
        for i, column in enumerate(columns[1:], start=1):
            if i in self._places:
                word = _find(self._places[i], word)
            word = word * self._span[i] + (column - self._low[i])
        return word


def _find(table: Tensor, words: Tensor) -> Tensor:
    """Indices of ``words`` in the sorted ``table``; ``len(table)`` for those that are not in it."""
    place: Tensor = torch.searchsorted(table, words).clamp_(max=len(table) - 1)
    return place.masked_fill_(table[place] != words, len(table))


def _neighbours(
    table: Tensor, keys: list[Tensor], packing: _Packing
) -> Iterator[tuple[Tensor, Tensor]]:
    """The neighbours of each vertex before and after it, along one direction after the other.

    Args:
        table: (M,) the sorted words of the vertices.
        keys: (M,) for each of D coordinates.

    Yields:
        before, after: (M,) int64 vertices, M where there is none.
    """
    num_axes, num_vertices = len(keys), len(table)
    own = torch.arange(num_vertices, device=table.device)
    for j in range(num_axes + 1):
        steps = [-num_axes if i == j else 1 for i in range(num_axes)]
        before = _find(table, packing([key + s for key, s in zip(keys, steps, strict=True)]))
        # one entry more, for those without a neighbour to write to
        after = own.new_full((num_vertices + 1,), num_vertices)
        after[before] = own
        yield before, after[:-1]


def _blur(before: Tensor, after: Tensor, weight: torch.dtype, index: torch.dtype) -> _Sums:
    """[1/2, 1, 1/2] along one direction; a neighbour that does not exist is zero."""
    num_vertices = len(before)
    own = torch.arange(num_vertices, device=before.device)
    rows = torch.stack([own, before, after], dim=1)
    there = rows < num_vertices
    counts = there.sum(dim=1)
    weights = torch.tensor([1, 0.5, 0.5], dtype=weight, device=before.device)
    return _Sums(
        rows[there].to(index), (counts.cumsum(0) - counts).to(index), weights.expand_as(rows)[there]
    )
