"""The dense CRF as a layer of a network: unrolled mean field, learned weights, any device.

The layer computes what :class:`upscore.crf.DenseCRF` computes, in torch and with gradients (Zheng
et al., "Conditional Random Fields as Recurrent Neural Networks", 2015). Import it from here:
``upscore.crf`` itself loads no torch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscore.crf.lattice.torch_lattice import TorchLattice
from upscore.crf.mean_field import DenseCRF
from upscore.crf.terms import Bilateral, Normalization, Term
from upscore.errors import DataError, SettingsError


class CRFLayer(nn.Module):
    """Mean field in a fully connected CRF: scores of a network -> log marginals.

    Each iteration is ``Q <- softmax(scores - mu (sum over terms of weight K Q))`` (Kraehenbuehl and
    Koltun 2011, algorithm 1) from ``Q = softmax(scores)``, with K a term's normalised filter. For
    training fewer iterations than the ten of prediction do (CRF-RNN: five); each keeps about
    ``3 + terms`` arrays of the scores' size for the gradient. ::

        layer = CRFLayer(DenseCRF(bilateral=Bilateral(80, 13, 10), iterations=5), num_classes=21)
        loss = F.nll_loss(layer(images, network(inputs)), labels, ignore_index=255)

    Args:
        crf: terms, iterations, compatibility and normalisation; its numbers are where learning
            starts. Its ``tolerance``, ``prune`` and ``threads``, which save time, do nothing here.
        num_classes: C.
        learn_compatibility: whether the matrix mu is learned too, all C x C entries freely.

    Attributes:
        weights: parameter (T,), one weight a term in the order gaussian, bilateral, ``terms``; 0
            is a start like any other. The raw factor, as in CRF-RNN: training may take it below
            zero, where neighbours push each other apart; clamp it after the step to forbid that.
        compatibility: parameter (C, C), row l and column l' the penalty of class l beside l';
            without ``learn_compatibility`` its ``requires_grad`` is False.

    Raises:
        SettingsError: no class, no term, or a compatibility matrix of another size.
    """

    def __init__(
        self, crf: DenseCRF, *, num_classes: int, learn_compatibility: bool = False
    ) -> None:
        super().__init__()
        if num_classes < 1:
            raise SettingsError(f"num_classes is {num_classes}; want at least 1")
        terms = (crf.gaussian, crf.bilateral, *crf.terms)
        self.terms: tuple[Term, ...] = tuple(term for term in terms if term is not None)
        if not self.terms:
            raise SettingsError(
                "the CRF has no pairwise term, so there is nothing to learn; give it "
                "gaussian=Gaussian(...) or bilateral=Bilateral(...)"
            )
        self.crf = crf
        self.num_classes = num_classes
        self.weights = nn.Parameter(torch.tensor([float(term.weight) for term in self.terms]))
        matrix = torch.from_numpy(crf.compatibility_matrix(num_classes)).float()
        self.compatibility = nn.Parameter(matrix, requires_grad=learn_compatibility)

    def forward(self, images: Tensor | None, scores: Tensor) -> Tensor:
        """Refine a batch.

        Args:
            images: (B, K, H, W) uint8, channels first like the scores; K is 3 for RGB, or what the
                terms' ``srgb`` is for. None where no term is bilateral. They get no gradient.
            scores: (B, C, H, W) floating point, logits or log probabilities; differentiable.

        Returns:
            (B, C, H, W) log marginals, whose ``exp`` sums to 1 over C. float32, also under
            autocast; float64 for float64 scores.

        Raises:
            DataError: wrong shape, type or device; scores of a pixel that are NaN, plus infinity,
                or minus infinity for all classes.
            SettingsError: deviations for another number of axes or channels.
        """
        self._require(images, scores)
        wide = scores.dtype if scores.dtype == torch.float64 else torch.float32
        with torch.autocast(scores.device.type, enabled=False):
            logits = F.log_softmax(scores.to(wide), dim=1)
            if bool(logits.isnan().any()):
                raise DataError(
                    "scores of a pixel are NaN, plus infinity, or minus infinity for all classes; "
                    "want finite numbers (has the training diverged?)"
                )
            # one list a term, with the smoother of every image
            smoothers = [self._smoothers(term, images, logits) for term in self.terms]
            pixels = logits.flatten(2).mT.contiguous()
            refined = [
                self._mean_field(of_image, pixels[i])
                for i, of_image in enumerate(zip(*smoothers, strict=True))
            ]
        return torch.stack(refined).mT.contiguous().view(scores.shape)

    def dense_crf(self) -> DenseCRF:
        """The CRF with the layer's present numbers: train with the one, predict with the other."""
        weights = iter(self.weights.tolist())
        gaussian, bilateral = self.crf.gaussian, self.crf.bilateral
        if gaussian is not None:
            gaussian = dataclasses.replace(gaussian, weight=next(weights))
        if bilateral is not None:
            bilateral = dataclasses.replace(bilateral, weight=next(weights))
        terms = [dataclasses.replace(term, weight=next(weights)) for term in self.crf.terms]
        matrix = self.compatibility.detach().cpu().numpy()
        start = self.crf.compatibility_matrix(self.num_classes).astype(np.float32)
        return dataclasses.replace(
            self.crf,
            gaussian=gaussian,
            bilateral=bilateral,
            terms=terms,
            # Potts is quicker than a matrix that equals it
            compatibility=self.crf.compatibility if np.array_equal(matrix, start) else matrix,
        )

    def _smoothers(self, term: Term, images: Tensor | None, like: Tensor) -> list[_Smoother]:
        """One for every image: (B,); on the device and in the type of ``like`` (B, C, H, W)."""
        how = term.normalization or self.crf.normalization
        shape = tuple(like.shape[2:])
        if not isinstance(term, Bilateral):
            rows = torch.from_numpy(term.rows(shape, None)).to(like)
            return [_Smoother(rows, how)] * len(like)
        assert images is not None
        # positions from a colourless image; the colours stay on the device
        blank = np.zeros((*shape, 1), np.float32)
        positions = dataclasses.replace(term, srgb=1.0).rows(shape, blank)[:, :-1]
        rows = torch.from_numpy(positions).to(like)
        colours = images.flatten(2).mT / _deviations(term, like, images.shape[1])
        return [_Smoother(torch.cat([rows, colour], dim=1), how) for colour in colours]

    def _mean_field(self, smoothers: Sequence[_Smoother], logits: Tensor) -> Tensor:
        """(N, C) -> (N, C) log marginals."""
        weights = self.weights.to(logits)
        penalties = self.compatibility.to(logits).T
        log_marginals = logits
        for _ in range(self.crf.iterations):
            marginals = log_marginals.exp()
            message = torch.zeros_like(marginals)
            for weight, smoother in zip(weights, smoothers, strict=True):
                message = message + weight * smoother(marginals)
            log_marginals = F.log_softmax(logits - message @ penalties, dim=1)
        return log_marginals

    def _require(self, images: Tensor | None, scores: Tensor) -> None:
        if not scores.dtype.is_floating_point:
            raise DataError(f"scores are {scores.dtype}; want floating point")
        if scores.ndim != 4 or 0 in scores.shape or scores.shape[1] != self.num_classes:
            raise DataError(
                f"scores have shape {tuple(scores.shape)}; want (B, {self.num_classes}, H, W), "
                f"{self.num_classes} being the layer's num_classes, and not empty"
            )
        if scores.device != self.weights.device:
            raise DataError(
                f"scores are on {scores.device}, the layer is on {self.weights.device}; move one"
            )
        if not any(term.needs_image for term in self.terms):
            return
        if images is None:
            raise DataError("there are no images, but the CRF has a bilateral term; pass images")
        if images.dtype != torch.uint8:
            raise DataError(
                f"images are {images.dtype}; want uint8 with values 0..255, as read from disk and "
                "before a network's mean and scale"
            )
        num, height, width = len(scores), *scores.shape[2:]
        if images.ndim != 4 or (len(images), *images.shape[2:]) != (num, height, width):
            raise DataError(
                f"images have shape {tuple(images.shape)}; want ({num}, channels, {height}, "
                f"{width}) like the scores (from channels last: images.permute(0, 3, 1, 2))"
            )
        if images.device != scores.device:
            raise DataError(f"images are on {images.device}, scores on {scores.device}; move one")


class _Smoother:
    """A normalised lattice filter, (N, C) -> (N, C)."""

    def __init__(self, features: Tensor, how: Normalization) -> None:
        self.lattice = TorchLattice(features)
        self.before: Tensor | None = None
        self.after: Tensor | None = None
        if how == "none":
            return
        total = self.lattice.total()
        if how == "symmetric":
            self.before = self.after = total.rsqrt()
        elif how == "before":
            self.before = total.reciprocal()
        else:
            self.after = total.reciprocal()

    def __call__(self, values: Tensor) -> Tensor:
        if self.before is not None:
            values = values * self.before
        values = self.lattice.filter(values)
        return values if self.after is None else values * self.after


def _deviations(term: Bilateral, like: Tensor, channels: int) -> Tensor:
    """One deviation a channel, or one for all, as (channels,) or (1,)."""
    srgb = term.srgb if isinstance(term.srgb, tuple) else (term.srgb,)
    if len(srgb) not in (1, channels):
        raise SettingsError(
            f"Bilateral: srgb has {len(srgb)} numbers {srgb} and the images {channels} channels; "
            f"want one number or {channels}"
        )
    return like.new_tensor(srgb)
