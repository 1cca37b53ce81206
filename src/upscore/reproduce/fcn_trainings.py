"""The trainings of the FCN-8s report."""

from __future__ import annotations

from collections.abc import Mapping

from upscore.reproduce.context import Job
from upscore.reproduce.published import REPORT
from upscore.reproduce.trainings import Planned, planned

PLAIN = "conv-vgg-bilinear"
NAMES = ("exp1", "exp2", "exp3")

SMALL = (
    "model.options={channels: [16, 32, 64, 128, 256], fc_width: 256, fc_kernel: 3, "
    "batch_norm: true, dropout: 0.1, score_init: normal}",
    "loss.class_weights=none",
    "schedule={name: cosine, warmup: 0.04}",
    "log_every=10",
    "save_every=100",
)
"""Small networks from random weights, the same for all four."""

SMALL_LR = 1e-3
"""In place of the report's 1e-5, which is for fine-tuning ImageNet's weights."""


def trainings(job: Job) -> list[Planned]:
    """The report's three experiments and its plain model; smaller ones where minutes are shared.

    Raises:
        SettingsError: a budget that is too small, settings that cannot be.
    """
    minutes: Mapping[str, float | None] = dict.fromkeys((*NAMES, PLAIN))
    if job.budget.minutes is not None:
        longest = REPORT[0].iterations
        weights = {name: e.iterations / longest for name, e in zip(NAMES, REPORT, strict=True)}
        minutes = job.budget.share({**weights, PLAIN: 1.0})
    plans = []
    for name, experiment in zip((*NAMES, PLAIN), (*REPORT, REPORT[0]), strict=True):
        recipe = PLAIN if name == PLAIN else f"fcn8s-{name}"
        changes: list[str] = []
        if job.budget.minutes is not None:
            recipe = "fcn8s-quick"
            height, width = job.crop()
            changes = [
                f"model.name={PLAIN if name == PLAIN else 'fcn8s'}",
                *SMALL,
                *([] if name == PLAIN else ["model.options.upsampling=learned"]),
                f"augment.crop=[{height}, {width}]",
                f"optim={{name: adam, lr: {SMALL_LR}, weight_decay: {experiment.weight_decay:.7f}, "
                "decay: all}",
            ]
        plans.append(
            planned(
                name,
                PLAIN if name == PLAIN else experiment.name,
                recipe,
                [*changes, *job.assignments],
                minutes=minutes[name],
                split=job.split.name,
            )
        )
    return plans
