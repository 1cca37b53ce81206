"""The permutohedral lattice a second time, in sparse matrices: slow, short, its own way round."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

Array = npt.NDArray[np.float64]


class NumpyLattice:
    """Filter (N, K) arrays by Adams, Baek and Davis (2010); features (N, D) float32."""

    def __init__(self, features: npt.NDArray[np.float32]) -> None:
        num, d = features.shape
        deviation = np.float64(np.float32(np.sqrt(2 / 3) * (d + 1)))
        scale = [deviation / np.sqrt((i + 1) * (i + 2)) for i in range(d)]
        scaled = features * np.array(scale, np.float32)
        elevated = np.zeros((num, d + 1), np.float32)
        for j in range(d + 1):
            elevated[:, j] = scaled[:, j:].sum(axis=1)
            if j:
                elevated[:, j] -= j * scaled[:, j - 1]
        zero = np.rint(elevated / (d + 1)).astype(np.int64) * (d + 1)
        excess = zero.sum(axis=1) // (d + 1)
        order = np.argsort(-(elevated - zero), axis=1, kind="stable")
        rank = np.argsort(order, axis=1, kind="stable") + excess[:, None]
        shift = (rank < 0).astype(np.int64) - (rank > d)
        rank += shift * (d + 1)
        zero += shift * (d + 1)
        height = (elevated - zero) / (d + 1)
        weights = np.zeros((num, d + 2))
        rows = np.arange(num)
        for i in range(d + 1):
            weights[rows, d - rank[:, i]] += height[:, i]
            weights[rows, d + 1 - rank[:, i]] -= height[:, i]
        weights[:, 0] += 1 + weights[:, d + 1]
        corners = np.arange(d + 1)[None, :, None]
        above = rank[:, None, :] > d - corners
        vertices = zero[:, None, :] + corners - (d + 1) * above
        unique, which = np.unique(vertices.reshape(-1, d + 1), axis=0, return_inverse=True)
        index = {tuple(vertex): number for number, vertex in enumerate(unique.tolist())}
        self.num_vertices = len(unique)
        self.splat = sparse.csr_matrix(
            (weights[:, : d + 1].ravel(), (which.ravel(), np.repeat(rows, d + 1))),
            shape=(len(unique), num),
        )
        self.blurs = []
        for j in range(d + 1):
            step = -np.ones(d + 1, np.int64)
            step[j] = d
            pairs = [
                (number, index[after])
                for number, vertex in enumerate(unique)
                if (after := tuple((vertex + step).tolist())) in index
            ]
            matrix = sparse.identity(len(unique), format="csr")
            if pairs:
                a, b = np.array(pairs).T
                shape = matrix.shape
                half = sparse.csr_matrix((np.full(len(a), 0.5), (a, b)), shape=shape)
                matrix = matrix + half + half.T
            self.blurs.append(matrix)
        self.alpha = 1 / (1 + 2.0**-d)

    def __call__(self, values: Array) -> Array:
        lattice = self.splat @ values
        for blur in self.blurs:
            lattice = blur @ lattice
        result: Array = self.alpha * (self.splat.T @ lattice)
        return result
