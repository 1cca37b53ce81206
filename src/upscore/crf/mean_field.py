"""Mean field inference in a fully connected CRF (Kraehenbuehl and Koltun 2011, algorithm 1)."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import cast

import numpy as np
import numpy.typing as npt

from upscore.core.quoting import quote
from upscore.crf.terms import (
    Bilateral,
    Gaussian,
    Kernel,
    Normalization,
    Term,
    require_normalization,
    require_weight,
)
from upscore.crf.validation import (
    Energies,
    Marginals,
    energies_from_energies,
    energies_from_probabilities,
    require_image,
)
from upscore.errors import DataError, SettingsError


@dataclass(frozen=True)
class Potts:
    """Potts model: two pixels of different classes cost the kernel's value times ``weight``.

    Raises:
        SettingsError: a weight that is not finite.
    """

    weight: float = 1.0

    def __post_init__(self) -> None:
        require_weight(self.weight, "Potts")


@dataclass(frozen=True)
class CRFResult:
    """Result of inference.

    ``marginals``: (C, *shape) float32. ``iterations``: how many were done. ``kl_divergence``: after
    each iteration, when asked for, KL(Q || P) up to the constant log Z, in nats over the image.
    """

    marginals: Marginals
    iterations: int
    kl_divergence: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class DenseCRF:
    """A fully connected CRF over the pixels of an image; one object serves any number of images.

    ::

        crf = DenseCRF(gaussian=Gaussian(sxy=3, weight=3), bilateral=Bilateral(20, 3, 5))
        marginals = crf(image, probabilities=probabilities)

    The first use on a machine compiles kernels for some ten seconds, keeps them on disk, and
    logs that to ``upscore.compiled`` (INFO).

    Args:
        gaussian, bilateral, terms: the pairwise terms, each of them optional; see
            :mod:`upscore.crf.terms`.
        iterations: of mean field, at most.
        tolerance: stop early once no marginal changed by more than this; None never stops early.
        compatibility: ``Potts``, or mu(l, l') as a (C, C) array: the penalty of class l for a pixel
            whose neighbour has class l'. Potts(1) acts as 1 - identity does.
        normalization: of every term without one of its own.
        prune: classes below this probability in every pixel are left out of the iterations, and
            keep their given probability (the others share the rest). Bound: with Potts weights that
            are not negative, normalised kernels and W the sum of the terms' weights, a class below
            t < 1 / (e W) everywhere would not have exceeded e t, since its messages are at most W
            times its own largest probability. 0 leaves out none.
        threads: None takes as many as the process may use. The result is the same bit by bit.
        device: ``cpu``, or ``cuda`` or ``cuda:N`` for a GPU, where PyTorch does the work. Marginals
            are the same up to float32 rounding; ``threads`` does nothing there.

    Raises:
        SettingsError: an argument of a wrong kind or out of range.
    """

    gaussian: Gaussian | None = None
    bilateral: Bilateral | None = None
    terms: Sequence[Term] = ()
    iterations: int = 10
    tolerance: float | None = None
    compatibility: Potts | npt.NDArray[np.floating] = field(default_factory=Potts)
    normalization: Normalization = "symmetric"
    prune: float = 0.0
    threads: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        _require_kind("gaussian", self.gaussian, Gaussian | None)
        _require_kind("bilateral", self.bilateral, Bilateral | None)
        object.__setattr__(self, "terms", tuple(self.terms))
        for term in self.terms:
            _require_kind("terms", term, Term)
        _require_count("iterations", self.iterations, 0)
        if self.threads is not None:
            _require_count("threads", self.threads, 1)
        if not isinstance(self.device, str) or not re.fullmatch(r"cpu|cuda(:\d+)?", self.device):
            raise SettingsError(f"device is {quote(self.device)}; expected cpu, cuda or cuda:N")
        if self.tolerance is not None:
            _require_range("tolerance", self.tolerance, 0, math.inf)
        _require_range("prune", self.prune, 0, 1)
        require_normalization(self.normalization)
        if not isinstance(self.compatibility, Potts):
            object.__setattr__(self, "compatibility", _square_matrix(self.compatibility))

    @property
    def active_terms(self) -> tuple[Term, ...]:
        """The terms of a weight other than 0."""
        given = (self.gaussian, self.bilateral, *self.terms)
        return tuple(term for term in given if term is not None and term.weight != 0)

    def compatibility_matrix(self, num_classes: int) -> npt.NDArray[np.float64]:
        """mu(l, l') as it multiplies the messages, (C, C) float64; Potts as -weight * identity.

        Raises:
            SettingsError: a matrix for another number of classes.
        """
        if isinstance(self.compatibility, Potts):
            return -float(self.compatibility.weight) * np.eye(num_classes)
        if len(self.compatibility) != num_classes:
            raise SettingsError(
                f"compatibility is for {len(self.compatibility)} classes, and the probabilities "
                f"have {num_classes}; expected ({num_classes}, {num_classes})"
            )
        return self.compatibility.astype(np.float64)

    def __call__(
        self,
        image: npt.NDArray[np.generic] | None,
        *,
        probabilities: npt.NDArray[np.generic] | None = None,
        energies: npt.NDArray[np.generic] | None = None,
    ) -> Marginals:
        """The marginals, (C, *shape) float32; arguments and errors as :meth:`infer`."""
        return self.infer(image, probabilities=probabilities, energies=energies).marginals

    def infer(
        self,
        image: npt.NDArray[np.generic] | None,
        *,
        probabilities: npt.NDArray[np.generic] | None = None,
        energies: npt.NDArray[np.generic] | None = None,
        kl: bool = False,
    ) -> CRFResult:
        """Mean field for one image.

        Args:
            image: uint8 (H, W, 3), or any numbers (*shape, channels). May be None if no term
                needs it.
            probabilities: (C, *shape) floats that sum to one over the classes; 0 counts as 1e-37.
            energies: instead of them, -log of unnormalised probabilities: (C, *shape) real numbers,
                of which plus infinity means impossible.
            kl: also compute the divergence after each iteration (more memory, one more filtering);
                on the CPU only.

        Raises:
            DataError: neither or both of probabilities and energies, or any of these arrays is not
                as above, or they differ in size; the message says where.
            SettingsError: a term or the compatibility is for another number of axes, channels or
                classes; a device that is not there, or ``kl`` on a GPU.
        """
        if (probabilities is None) == (energies is None):
            raise DataError("pass either probabilities= or energies=")
        likely = probabilities is not None
        given = probabilities if likely else energies
        if isinstance(given, np.ndarray) and given.dtype.kind == "f" and given.dtype.itemsize == 4:
            given = np.require(given, np.float32, ("C", "W"))  # what kernels are compiled for
        if self.prune > 0 or self.device != "cpu" or not _is_plain(given):
            given, likely = _energies(given, likely), False
        given = cast(Energies, given)
        num_classes, shape = len(given), given.shape[1:]
        mu = self.compatibility_matrix(num_classes)
        terms = self.active_terms
        pixels = None
        if any(term.needs_image for term in terms):
            deviations = [np.min(term.srgb) for term in terms if isinstance(term, Bilateral)]
            pixels = require_image(image, shape, deviation=float(min(deviations)))
        kernels = [
            Kernel(t.rows(shape, pixels), float(t.weight), t.normalization or self.normalization)
            for t in terms
        ]
        kept = _kept_classes(given, self.prune)
        chosen = given if kept is None else given[kept]
        mu = mu if kept is None else mu[np.ix_(kept, kept)]
        if self.device == "cpu":
            result = self._infer_on_cpu(chosen, likely, kernels, mu, kl)
        elif kl:
            raise SettingsError("kl=True works with device='cpu' only")
        else:
            from upscore.crf.torch_mean_field import infer_with_torch

            marginals, done = infer_with_torch(
                chosen, kernels, mu,
                iterations=self.iterations, tolerance=self.tolerance, device=self.device,
            )  # fmt: skip
            result = CRFResult(marginals, done)
        if kept is not None:
            result = replace(result, marginals=_with_pruned(result.marginals, given, kept))
        return result

    def _infer_on_cpu(
        self,
        given: Energies,
        likely: bool,
        kernels: list[Kernel],
        mu: npt.NDArray[np.float64],
        kl: bool,
    ) -> CRFResult:
        # imported here, because numba takes a second to load and describing a CRF needs none of it
        from upscore.core.jit.compile import log_compilation
        from upscore.core.jit.threads import num_threads
        from upscore.crf.lattice.engine import Engine, UnfitError

        compatibility = self.compatibility
        make = partial(
            Engine,
            kernels=kernels,
            mu=(
                float(compatibility.weight)
                if isinstance(compatibility, Potts)
                else mu.astype(np.float32)
            ),
            keeps_old=kl or self.tolerance is not None,
            threads=num_threads(self.threads),
        )
        with log_compilation("the dense CRF"):
            try:
                engine = make(given, likely=likely)
            except UnfitError:
                engine = make(_energies(given, likely), likely=False)
            done = 0
            divergences = []
            if self.iterations:
                engine.message_passing()
            while done < self.iterations:
                change = engine.update_marginals()
                done += 1
                last = done == self.iterations or (
                    self.tolerance is not None and change <= self.tolerance
                )
                if kl or not last:
                    engine.message_passing()
                if kl:
                    divergences.append(engine.divergence())
                if last:
                    break
            engine.filter = None  # its lattices, before the result takes memory
            return CRFResult(engine.marginals(), done, tuple(divergences))


def _is_plain(array: object) -> bool:
    """Whether kernels can read the array without conversion."""
    return (
        isinstance(array, np.ndarray)
        and array.dtype == np.float32
        and array.ndim >= 2
        and array.size > 0
    )


def _energies(array: object, likely: bool) -> Energies:
    return energies_from_probabilities(array) if likely else energies_from_energies(array)


def _kept_classes(energies: Energies, prune: float) -> npt.NDArray[np.intp] | None:
    """Indices of the classes that reach ``prune`` in some pixel; None if all do."""
    if prune <= 0:
        return None
    flat = energies.reshape(len(energies), -1)
    # each pixel's lowest energy is 0, so p = exp(-u) / sum exp(-u)
    mass = np.exp(-flat).sum(axis=0)
    reached = np.array([float((np.exp(-row) / mass).max()) >= prune for row in flat])
    if not reached.any():
        reached[:] = True
    return None if reached.all() else np.flatnonzero(reached)


def _with_pruned(marginals: Marginals, energies: Energies, kept: npt.NDArray[np.intp]) -> Marginals:
    """Marginals of all classes: pruned ones as given, the others share the rest."""
    everything: Marginals = np.exp(-energies)
    everything /= everything.sum(axis=0)
    pruned = np.setdiff1d(np.arange(len(energies)), kept)
    everything[kept] = marginals * (1 - everything[pruned].sum(axis=0))
    return everything


def _require_kind(name: str, value: object, kind: object) -> None:
    if not isinstance(value, kind):  # type: ignore[arg-type]
        raise SettingsError(f"{name} is {quote(value)}; expected {kind}")


def _require_count(name: str, value: object, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < low:
        raise SettingsError(f"{name} is {quote(value)}; expected a whole number from {low}")


def _require_range(name: str, value: object, low: float, high: float) -> None:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not low <= value <= high:  # type: ignore[operator]
        raise SettingsError(f"{name} is {quote(value)}; expected a number in [{low}, {high}]")


def _square_matrix(value: object) -> npt.NDArray[np.float32]:
    try:
        matrix = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError):
        matrix = np.empty(0, np.float32)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not matrix.size:
        raise SettingsError(
            f"compatibility has shape {matrix.shape}; expected Potts(weight), or a (C, C) matrix "
            "of penalties"
        )
    if not np.isfinite(matrix).all():
        raise SettingsError("compatibility holds NaN or infinity; expected finite penalties")
    return matrix
