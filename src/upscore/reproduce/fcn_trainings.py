"""The trainings of the FCN-8s report and of its ablation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from upscore.errors import SettingsError
from upscore.reproduce.context import Context
from upscore.reproduce.published import REPORT
from upscore.reproduce.trainings import PlannedTraining
from upscore.training.recipe import load_recipe

PLAIN = "conv-vgg-bilinear"
NAMES = ("exp1", "exp2", "exp3")
FCN32, FIXED, FIXED_SCALED, LEARNED = (
    "fcn32s-learned", "fcn8s-fixed", "fcn8s-fixed-factors", "fcn8s-learned"
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """One setting, trained once for each seed.

    Attributes:
        title: what tables call it.
        recipe: shipped recipe of its published settings.
        length: in units of Exp. 1's.
        network: another network of the catalogue than the recipe's.
        options: of the network, others than the recipe's.
        published: whether the report has this training.
    """

    title: str
    recipe: str
    length: float = 1.0
    network: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    published: bool = True


REPORTED = {
    **{
        name: Setting(e.name, f"fcn8s-{name}", e.iterations / REPORT[0].iterations)
        for name, e in zip(NAMES, REPORT, strict=True)
    },
    PLAIN: Setting(PLAIN, PLAIN),
}
"""The report's three experiments and its plain model."""


def _part(title: str, network: str, **options: Any) -> Setting:
    return Setting(title, "fcn8s-exp1", network=network, options=options, published=False)


PARTS = {
    FCN32: _part("FCN-32s, learned upsampling", "fcn32s", at_once=False, upsampling="learned"),
    FIXED: _part("FCN-8s, fixed upsampling", "fcn8s", at_once=False, upsampling="fixed"),
    FIXED_SCALED: _part(
        "FCN-8s, fixed upsampling, factors", "fcn8s", at_once=True, upsampling="fixed"
    ),
    LEARNED: _part("FCN-8s, learned upsampling", "fcn8s", at_once=False, upsampling="learned"),
}
"""Networks between the plain model and Exp. 1, trained as Exp. 1 (``--ablate``)."""

SMALL_OPTIONS = {
    "channels": [16, 32, 64, 128, 256], "fc_width": 256, "fc_kernel": 3, "batch_norm": True,
    "dropout": 0.1,
}  # fmt: skip
SMALL_LR = 1e-3
"""Learning rate of small networks; the report's 1e-5 is for fine-tuning ImageNet weights."""

SMALL = (
    "init.weights=none",
    "augment={scale: [0.6, 1.4], flip: 0.5, brightness: 0.2, contrast: 0.2, saturation: 0.2}",
    "batch.size=4",
    f"optim.lr={SMALL_LR}",
    "schedule={name: cosine, warmup: 0.04}",
    "validate={times: 5, images: 300}",
    "log_every=10",
    "save_every=100",
)
"""Changes for small networks from random weights, beside ``SMALL_OPTIONS``; all else is kept."""


def settings(context: Context) -> dict[str, Setting]:
    """The settings to train, by name."""
    return {**REPORTED, **(PARTS if context.ablate else {})}


def trainings(context: Context) -> list[PlannedTraining]:
    """Plan every setting for every seed; small networks where a budget is shared.

    Raises:
        SettingsError: a budget that is too small, settings that cannot be.
    """
    chosen = settings(context)
    if context.seeds and any(text.startswith("seed=") for text in context.assignments):
        raise SettingsError("--set seed and --seeds both choose seeds; leave one of them out")
    seeds: tuple[int | None, ...] = context.seeds or (None,)
    names = [(name, seed) for seed in seeds for name in chosen]
    shares: Mapping[str, str] = {}
    if not context.budget.papers:
        shares = context.budget.share(
            {_name(name, seed): chosen[name].length for name, seed in names}
        )
    return [_planned(context, name, chosen[name], seed, shares) for name, seed in names]


def _name(name: str, seed: int | None) -> str:
    return name if seed is None else f"{name}-seed{seed}"


def _planned(
    context: Context, name: str, setting: Setting, seed: int | None, shares: Mapping[str, str]
) -> PlannedTraining:
    network = load_recipe(setting.recipe).model
    options = {**network.options, **setting.options}
    changes: list[str] = [] if seed is None else [f"seed={seed}"]
    if not context.budget.papers:
        options |= SMALL_OPTIONS
        height, width = context.crop()
        changes += [*SMALL, f"augment.crop=[{height}, {width}]"]
    changes += [f"model.name={setting.network or network.name}",
                f"model.options={json.dumps(options)}"]  # fmt: skip
    whole = _name(name, seed)
    return context.plan_training(
        whole,
        setting.title if seed is None else f"{setting.title}, seed {seed}",
        setting.recipe,
        changes,
        budget=shares.get(whole),
        published=setting.recipe if setting.published else None,
        setting=name,
        seed=seed,
    )


def by_setting(plans: Sequence[PlannedTraining]) -> dict[str, list[PlannedTraining]]:
    """Trainings of each setting, of one seed or several, in their order."""
    found: dict[str, list[PlannedTraining]] = {}
    for plan in plans:
        found.setdefault(plan.setting, []).append(plan)
    return found
