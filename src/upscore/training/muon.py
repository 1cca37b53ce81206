"""The optimiser Muon: momentum with orthogonalised updates, for kernels of hidden convolutions."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients that bring singular values to about 1 in few steps (Jordan et al. 2024)."""


LONG = 3
"""Ratio of columns to rows from which products of the small Gram matrices are faster."""


def orthogonalize(matrix: Tensor, steps: int = 4) -> Tensor:
    """Approximately the nearest (semi-)orthogonal matrix, by Newton-Schulz iteration of degree 5.

    Args:
        matrix: (rows, columns) float.

    Returns:
        The same shape; U V' of the singular value decomposition with the singular values between
        about 0.5 and 1.5 instead of 1, which is enough for a direction of descent.
    """
    a, b, c = QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.mT if tall else matrix
    x = x / (x.norm() + 1e-7)
    gram = x @ x.mT
    if x.shape[1] < LONG * x.shape[0]:
        for step in range(steps):
            x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
            gram = x @ x.mT if step < steps - 1 else gram
        return x.mT if tall else x
    # x stays a polynomial of the first gram times x: the long products need not be done each time
    whole = None
    for step in range(steps):
        factor = torch.addmm(gram, gram, gram, beta=b, alpha=c)
        factor.diagonal().add_(a)
        whole = factor if whole is None else factor @ whole
        if step < steps - 1:
            gram = factor @ gram @ factor
    assert whole is not None
    x = torch.mm(whole, x)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Momentum orthogonalised by Newton-Schulz (Jordan et al. 2024, "Muon").

    A kernel (out, in, h, w) is treated as a matrix (out, in * h * w), and so is a deconvolution's
    (in, out, h, w), in a group with ``transposed`` true. torch.optim.Muon, where
    there is one, takes two-dimensional parameters only. Every singular direction of a kernel's
    gradient is followed equally, so that rare classes are not drowned by frequent ones.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        assert closure is None
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"].mul_(group["momentum"]).add_(parameter.grad)
                update = parameter.grad.add(momentum, alpha=group["momentum"])  # Nesterov's form
                transposed = group.get("transposed", False)  # states of older runs do not say
                if transposed:
                    update = update.transpose(0, 1)
                matrix = update.reshape(len(update), -1)
                scale = max(1.0, matrix.shape[0] / matrix.shape[1]) ** 0.5
                update = orthogonalize(matrix).view(update.shape)
                if transposed:
                    update = update.transpose(0, 1)
                parameter.mul_(1.0 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * scale)
