"""Optimisers with the papers' parameter groups, and learning-rate schedules over the budget."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from upscore.errors import SettingsError
from upscore.models.base import Network
from upscore.models.layers import ScoreLayer
from upscore.training.muon import Muon
from upscore.training.settings import OptimSettings, ScheduleSettings


def schedule_factor(settings: ScheduleSettings, fraction: float, cuts: int = 0) -> float:
    """Factor of the learning rate in (0, 1].

    Args:
        fraction: used part of the budget, in [0, 1].
        cuts: number of plateaus so far.
    """
    if fraction < settings.warmup:
        return max(fraction / settings.warmup, 1e-3)
    after = (fraction - settings.warmup) / (1.0 - settings.warmup)
    match settings.name:
        case "constant":
            return 1.0
        case "step":
            return float(settings.factor ** sum(fraction >= step for step in settings.steps))
        case "poly":
            return max(float((1.0 - after) ** settings.power), 1e-4)
        case "cosine":
            return max(0.5 * (1.0 + math.cos(math.pi * after)), 1e-4)
        case "plateau":
            return float(settings.factor**cuts)


def make_optimizers(model: nn.Module, settings: OptimSettings) -> list[torch.optim.Optimizer]:
    """Optimisers over the trainable parameters: one, or for muon two where both have some.

    Muon takes the hidden convolutions: all but the one that takes the image (of a network without
    a backbone, the first one), score layers, and kernels of one output or of one input channel,
    such as depthwise ones.

    Groups carry their learning rate at the top of the schedule as ``top_lr``.

    Raises:
        SettingsError: every parameter is frozen, or a rate for a backbone that there is not.
    """
    if settings.backbone_rate != 1.0 and not (isinstance(model, Network) and model.has_backbone):
        raise SettingsError(
            f"optim.backbone_rate is {settings.backbone_rate:g}, and this network has no backbone; "
            "leave it out"
        )
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise SettingsError(
            "every layer of the network is frozen, so there is nothing to learn; set init.freeze "
            "to an earlier stage, or leave it out"
        )
    kernels: list[nn.Parameter] = []
    transposed: list[nn.Parameter] = []
    weights, biases, norms = [], [], []
    first = _first_convolution(model)
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                norms.append(parameter)
            elif name == "bias":
                biases.append(parameter)
            elif settings.name == "muon" and module is not first and _is_hidden(module):
                (transposed if isinstance(module, nn.ConvTranspose2d) else kernels).append(
                    parameter
                )
            else:
                weights.append(parameter)
    decay, lr = settings.weight_decay, settings.lr
    of_biases = decay if settings.decay == "all" else 0.0
    of_norms = 0.0 if settings.decay == "weights" else decay
    groups = [
        {"params": weights, "weight_decay": decay, "top_lr": lr},
        {"params": biases, "weight_decay": of_biases, "top_lr": lr * settings.bias_lr},
        {"params": norms, "weight_decay": of_norms, "top_lr": lr},
    ]
    groups = _split(groups, model, settings.backbone_rate)
    betas = (settings.momentum, 0.999)
    match settings.name:
        case "sgd":
            return [
                torch.optim.SGD(
                    groups, lr=lr, momentum=settings.momentum, nesterov=settings.nesterov
                )
            ]
        case "adam":
            return [torch.optim.Adam(groups, lr=lr, betas=betas, fused=True)]
        case "adamw":
            return [torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)]
        case "muon":
            top = settings.kernel_lr
            hidden = [{"params": kernels, "weight_decay": decay, "top_lr": top}]
            if transposed:
                hidden.append({**hidden[0], "params": transposed, "transposed": True})
            hidden = _split(hidden, model, settings.backbone_rate)
            muon = [Muon(hidden, lr=top)] if hidden else []  # nothing hidden learns
            return [*muon, torch.optim.AdamW(groups, lr=lr, betas=betas, fused=True)]


def _split(groups: list[dict[str, Any]], model: nn.Module, rate: float) -> list[dict[str, Any]]:
    """The groups that have parameters; those of the backbone on their own if its rate differs."""
    backbone = set()
    if rate != 1.0:
        assert isinstance(model, Network)
        backbone = set(model.backbone.parameters())
    parts = []
    for group in groups:
        inside = [p for p in group["params"] if p in backbone]
        outside = [p for p in group["params"] if p not in backbone]
        parts.append({**group, "params": outside})
        parts.append({**group, "params": inside, "top_lr": group["top_lr"] * rate})
    return [part for part in parts if part["params"]]


def _first_convolution(model: nn.Module) -> nn.Module | None:
    if isinstance(model, Network) and model.has_backbone:
        return model.backbone.first_block.conv
    return next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)


def _is_hidden(module: nn.Module) -> bool:
    """Whether a kernel maps several channels to several, and none of them are scores."""
    return (
        isinstance(module, nn.Conv2d | nn.ConvTranspose2d)
        and not isinstance(module, ScoreLayer)
        and min(module.in_channels, module.out_channels) > module.groups
    )


def set_learning_rate(optimizers: Iterable[torch.optim.Optimizer], factor: float) -> None:
    """Give every group its top learning rate times ``factor``."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["top_lr"] * factor
