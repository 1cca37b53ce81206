"""Mean field inference in torch: what ``DenseCRF(device="cuda")`` runs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from upscore.crf.lattice.torch_lattice import TorchLattice
from upscore.crf.terms import Kernel, Normalization
from upscore.crf.validation import Energies, Marginals
from upscore.errors import SettingsError


def infer_with_torch(
    energies: Energies,
    kernels: Sequence[Kernel],
    mu: npt.NDArray[np.float64],
    *,
    iterations: int,
    tolerance: float | None,
    device: str,
) -> tuple[Marginals, int]:
    """Mean field inference for one image on a device.

    Args:
        energies: (C, *shape) float32, the lowest of each pixel 0.
        kernels: the pairwise terms.
        mu: (C, C) penalties.
        iterations, tolerance: see :class:`~upscore.crf.DenseCRF`.
        device: of PyTorch.

    Returns:
        marginals (C, *shape) float32 on the CPU, and the number of iterations.

    Raises:
        SettingsError: a GPU that is not there.
    """
    place = torch.device(device)
    if place.type == "cuda" and (place.index or 0) >= torch.cuda.device_count():
        raise SettingsError(
            f"device is {device}, but torch sees {torch.cuda.device_count()} GPUs here; "
            "use device='cpu', or see `upscore doctor`"
        )
    with torch.inference_mode(), torch.autocast(place.type, enabled=False):
        unary = torch.from_numpy(energies).to(place).flatten(1).T.contiguous()
        smoothers = [
            Smoother(torch.from_numpy(kernel.rows).to(place), kernel.normalization)
            for kernel in kernels
        ]
        weights = unary.new_tensor([kernel.weight for kernel in kernels])
        compatibility = torch.from_numpy(mu).to(unary)
        logits = F.log_softmax(-unary, dim=1)
        log_marginals = logits
        done = 0
        while done < iterations:
            given = log_marginals.exp()
            message = torch.zeros_like(given)
            for weight, smoother in zip(weights, smoothers, strict=True):
                message = message + weight * smoother(given)
            log_marginals = F.log_softmax(logits - message @ compatibility.T, dim=1)
            done += 1
            if tolerance is not None:
                change = (log_marginals.exp() - given).abs().max()
                if float(change) <= tolerance:
                    break
        marginals = log_marginals.exp().T.reshape(energies.shape).cpu().numpy()
    return marginals, done


class Smoother:
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
