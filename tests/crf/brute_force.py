"""Reference mean field with exact sums over all pairs of pixels: float64, O(N^2).

:class:`upscore.crf.DenseCRF` is tested against it. These kernels are true Gaussians, while those of
the lattice are approximations, so the two agree only within the lattice's known error. Measured
over random images, deviations and class counts, and tested: a normalised message differs by up to
0.35 at single pixels (of a rare colour) and 0.02 on average; marginals differ by 0.03 on average
and the likeliest class at less than 5 % of the pixels. Gaussian terms alone stay within 0.05
everywhere.

Without normalisation the lattice is farther off. With the terms of ``deconvnet`` and ``deeplab``,
10 iterations and noise of 10x12 pixels, the likeliest class differs at 0.5 to 1.0 % of the pixels
with any normalisation, and at 3.6 and 7.0 % with ``none`` (42 % in the worst image); on photos of
60x80 at 3 to 5 % (7 %), and at 8.4 and 13.5 % (17 %). ``benchmarks/crf_exactness.py`` measures it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from upscore.crf.mean_field import CRFResult, DenseCRF
from upscore.crf.validation import (
    energies_from_energies,
    energies_from_probabilities,
    require_image,
)
from upscore.errors import DataError

MAX_PIXELS = 8192
"""A kernel of that many pixels takes 512 MiB."""

Matrix = npt.NDArray[np.float64]


def brute_force(
    crf: DenseCRF,
    image: npt.NDArray[np.generic] | None,
    *,
    probabilities: npt.NDArray[np.generic] | None = None,
    energies: npt.NDArray[np.generic] | None = None,
) -> CRFResult:
    """What ``crf.infer(image, ..., kl=True)`` approximates. Pruning and threads do not apply.

    Marginals come as float32 like the CRF's own.

    Raises:
        DataError: as :meth:`DenseCRF.infer`; more than ``MAX_PIXELS`` pixels.
    """
    if (probabilities is None) == (energies is None):
        raise DataError("pass either probabilities= or energies=")
    u = (
        energies_from_energies(energies)
        if energies is not None
        else energies_from_probabilities(probabilities)
    )
    num_classes, shape = len(u), u.shape[1:]
    unary = u.reshape(num_classes, -1).astype(np.float64)
    if unary.shape[1] > MAX_PIXELS:
        raise DataError(f"{unary.shape[1]} pixels; brute force takes at most {MAX_PIXELS}")
    terms = crf.active_terms
    pixels = require_image(image, shape) if any(t.needs_image for t in terms) else None
    kernels = [
        term.weight
        * normalized(gaussian_kernel(term.rows(shape, pixels)),
                     term.normalization or crf.normalization)
        for term in terms
    ]  # fmt: skip
    kernel = sum(kernels, start=np.zeros((unary.shape[1],) * 2))
    mu = crf.compatibility_matrix(num_classes)

    q = _softmax(-unary)
    divergences = []
    done = 0
    for _ in range(crf.iterations):
        new = _softmax(-unary - mu @ (q @ kernel.T))
        change = float(np.abs(new - q).max())
        q = new
        done += 1
        divergences.append(_divergence(q, unary, mu, kernel))
        if crf.tolerance is not None and change <= crf.tolerance:
            break
    marginals = q.reshape(num_classes, *shape).astype(np.float32)
    return CRFResult(marginals, done, tuple(divergences))


def gaussian_kernel(features: npt.NDArray[np.float32]) -> Matrix:
    """exp(-|f_i - f_j|^2 / 2) of (N, D) features: (N, N), ones on the diagonal."""
    f = features.astype(np.float64)
    squares = (f * f).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares[None] - 2 * (f @ f.T), 0)
    np.fill_diagonal(distances, 0)
    kernel: Matrix = np.exp(-distances / 2)
    return kernel


def normalized(kernel: Matrix, how: str) -> Matrix:
    """The kernel with its row sums n divided out on both sides, before, after, or not at all."""
    n = kernel.sum(axis=1) + 1e-20
    scaled: Matrix = kernel.copy()
    if how == "symmetric":
        scaled /= np.sqrt(n[:, None] * n[None])
    elif how == "before":
        scaled /= n[None]
    elif how == "after":
        scaled /= n[:, None]
    return scaled


def _softmax(scores: Matrix) -> Matrix:
    e: Matrix = np.exp(scores - scores.max(axis=0))
    e /= e.sum(axis=0)
    return e


def _divergence(q: Matrix, unary: Matrix, mu: Matrix, kernel: Matrix) -> float:
    entropy = np.where(q > 0, q * np.log(np.where(q > 0, q, 1)), 0).sum()
    return float(entropy + (q * unary).sum() + (q * (mu @ (q @ kernel.T))).sum() / 2)
