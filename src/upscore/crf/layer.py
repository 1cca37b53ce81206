"""The dense CRF in PyTorch: a layer with learned weights, and inference on a GPU.

The layer computes the same as :class:`upscore.crf.DenseCRF`, with gradients (Zheng et al.,
"Conditional Random Fields as Recurrent Neural Networks", 2015). ``DenseCRF(device="cuda")`` uses
:func:`infer_with_torch`. Import the layer from here: ``upscore.crf`` itself loads no torch.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscore.crf.mean_field import DenseCRF
from upscore.crf.terms import Term
from upscore.crf.torch_mean_field import Smoother, mean_field
from upscore.errors import DataError, SettingsError


class CRFLayer(nn.Module):
    """Mean field in a fully connected CRF: a network's scores -> log marginals.

    Each iteration is ``Q <- softmax(scores - mu (sum over terms of weight K Q))`` (Kraehenbuehl and
    Koltun 2011, algorithm 1) from ``Q = softmax(scores)``, with K a term's normalised filter. For
    training fewer iterations than the ten of prediction suffice (CRF-RNN: five); each keeps about
    ``3 + terms`` arrays of the scores' size for the gradient. ::

        layer = CRFLayer(DenseCRF(bilateral=Bilateral(80, 13, 10), iterations=5), num_classes=21)
        loss = F.nll_loss(layer(images, network(inputs)), labels, ignore_index=255)

    Args:
        crf: terms, iterations, compatibility and normalisation; its numbers are the initial
            values. Its ``tolerance``, ``prune``, ``threads`` and ``device`` do nothing here.
        num_classes: C.
        learn_compatibility: whether all C x C entries of the matrix mu are learned too.

    Attributes:
        weights: parameter (T,), one weight a term in the order gaussian, bilateral, ``terms``; 0
            is a valid initial value. The raw factor, as in CRF-RNN: training may make it negative,
            where neighbours repel each other; clamp it after the step to prevent that.
        compatibility: parameter (C, C), at row l and column l' the penalty of class l beside l';
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
            # one list for each term, with a smoother for each image
            smoothers = [self._smoothers(term, images, logits) for term in self.terms]
            pixels = logits.flatten(2).mT.contiguous()
            weights, mu = self.weights.to(logits), self.compatibility.to(logits)
            refined = [
                mean_field(pixels[i], of_image, weights, mu, iterations=self.crf.iterations)[0]
                for i, of_image in enumerate(zip(*smoothers, strict=True))
            ]
        return torch.stack(refined).mT.contiguous().view(scores.shape)

    def dense_crf(self) -> DenseCRF:
        """A CRF with the layer's current numbers: train the layer, predict with the CRF."""
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
            # a Potts model is faster than the equal matrix
            compatibility=self.crf.compatibility if np.array_equal(matrix, start) else matrix,
        )

    def _smoothers(self, term: Term, images: Tensor | None, like: Tensor) -> list[Smoother]:
        """One for each image; on the device and of the type of ``like`` (B, C, H, W)."""
        how = term.normalization or self.crf.normalization
        shape = tuple(like.shape[2:])
        if images is None or not term.needs_image:
            return [Smoother(torch.from_numpy(term.rows(shape, None)).to(like), how)] * len(like)
        photos = images.permute(0, 2, 3, 1).float().cpu().numpy()
        return [Smoother(torch.from_numpy(term.rows(shape, p)).to(like), how) for p in photos]

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
