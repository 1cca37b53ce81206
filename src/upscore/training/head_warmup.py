"""The head learns first, on features of the pretrained backbone that are computed once.

A fresh head on a pretrained backbone sends it gradients of noise in the first iterations, and
needs many of them. On stored features it learns at hundreds of crops a second, and training both
afterwards generalises better (Kumar et al. 2022, "Fine-tuning can distort pretrained features").
"""

from __future__ import annotations

import logging
import math
import time
from contextlib import closing
from itertools import chain, islice

import torch
from torch import Tensor
from torch.nn import functional as F

from upscore.core.images import InputSpec
from upscore.core.labels import VOID
from upscore.core.progress import OnProgress, count_items, ignore_progress
from upscore.errors import SettingsError, WorkError
from upscore.models.base import Network
from upscore.models.fpn import FPN
from upscore.training.sample_stream import Sampler
from upscore.training.settings import HeadSettings

logger = logging.getLogger(__name__)

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 0.05
"""Of AdamW, with a cosine schedule."""
BATCH = 16
"""Crops of one step, at most."""


def require_head(model: Network, settings: HeadSettings, *, fixed_size: bool) -> None:
    """Check that there is a head that can be warmed up, on crops that can be stored together.

    Args:
        fixed_size: whether all samples have one size.

    Raises:
        SettingsError: not so; says what to set.
    """
    if not settings.crops:
        return
    if not isinstance(model, FPN):
        raise SettingsError(
            f"init.head.crops is {settings.crops}, but {model.architecture} has no head that can "
            "be warmed up; allowed: 0, or the network fpn"
        )
    if not fixed_size:
        raise SettingsError(
            f"init.head.crops is {settings.crops}, and samples of different sizes cannot be stored "
            "together; set augment.crop to [height, width], or init.head.crops=0"
        )


def warm_up_head(
    model: Network,
    sampler: Sampler,
    settings: HeadSettings,
    *,
    input_spec: InputSpec,
    class_weights: Tensor | None,
    device: torch.device,
    on_progress: OnProgress = ignore_progress,
) -> float:
    """Train the coarse part of the head in place; the backbone stays as it is.

    Returns:
        Seconds that it took.

    Raises:
        WorkError: the loss is not finite.
    """
    assert isinstance(model, FPN)  # require_head
    logger.info(
        "The head learns first, on stored features of %d crops. The time for this is reported, but "
        "is not part of the budget. If you interrupt this step, it starts from its beginning when "
        "the training is resumed. To leave it out: --set init.head.crops=0",
        settings.crops,
    )
    begin = time.monotonic()
    model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    names, stride = model.coarse_levels, model.coarse_stride
    first = stride - 1 if model.backbone.corner else stride // 2  # pixel that element 0 stands for
    features: dict[str, list[Tensor]] = {name: [] for name in names}
    labels: list[Tensor] = []
    model.eval()
    steps = math.ceil(settings.crops / sampler.step_size)
    report = count_items(on_progress, "computing features for the head")
    report(0, settings.crops)
    with closing(sampler.steps(0)) as stream:
        for batch in chain.from_iterable(islice(stream, steps)):
            with torch.no_grad():
                found = model.backbone(input_spec.apply(batch.to(device).images), names)
            for name in names:
                features[name].append(found[name].half())
            height, width = found[names[1]].shape[2:]
            padded = F.pad(batch.labels, (0, stride, 0, stride), value=VOID)
            own = padded[:, first::stride, first::stride][:, :height, :width]
            labels.append(own.to(device))
            report(min(settings.crops, sum(map(len, labels))), settings.crops)
    stored = {name: torch.cat(parts) for name, parts in features.items()}
    targets = torch.cat(labels)

    inside = set(model.backbone.parameters())
    head = [p for p in model.parameters() if p.requires_grad and p not in inside]
    optimizer = torch.optim.AdamW(head, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    parts = math.ceil(len(targets) / BATCH)  # of a pass; about equal, so that none is a single crop
    total = settings.passes * parts
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    model.train()
    generator = torch.Generator().manual_seed(sampler.seed)
    loss = torch.zeros(())
    report = count_items(on_progress, "training the head")
    report(0, total)
    for number in range(settings.passes):
        order = torch.randperm(len(targets), generator=generator)
        for part, picked in enumerate(torch.tensor_split(order, parts), start=1):
            chosen = {name: stored[name][picked].float() for name in names}
            truth = targets[picked]
            losses = F.cross_entropy(
                model.coarse_scores(chosen),
                truth,
                weight=class_weights,
                ignore_index=VOID,
                reduction="sum",
            )
            loss = losses / (truth != VOID).sum().clamp(min=1)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            report(number * parts + part, total)
    optimizer.zero_grad(set_to_none=True)
    if not bool(loss.isfinite()):  # once it is not, it stays so
        raise WorkError(
            "the loss is not finite while the head learns: the weights of the backbone are damaged "
            "or too large; start from others: --set init.weights=lite0, or without this step: "
            "--set init.head.crops=0"
        )
    seconds = time.monotonic() - begin
    logger.info(
        "The head learned on the features of %d crops, %d times each, in %.0f s: loss %.3f",
        len(targets),
        settings.passes,
        seconds,
        float(loss.detach()),
    )
    return seconds
