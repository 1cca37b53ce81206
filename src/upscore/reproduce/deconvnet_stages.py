"""The trainings of the DeconvNet paper, and the pipeline of all stages built from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from upscore.core.files import write_text
from upscore.core.progress import count_items
from upscore.data.dataset import Split
from upscore.proposals import EdgeBoxes
from upscore.proposals.build_store import Photo, make_store
from upscore.reproduce.context import Context
from upscore.reproduce.other_methods import OTHER_METHODS, crf_stage, stages_of
from upscore.reproduce.trainings import PlannedTraining

FCN, DECONVNET = "fcn8s", "deconvnet"
NO_NORM, ONE_STAGE = "deconvnet-no-norm", "deconvnet-one-stage"
WEIGHTS = {FCN: 1.0, DECONVNET: 2.0, NO_NORM: 2.0, ONE_STAGE: 2.0}
"""Ratios of a shared budget; equal for the three DeconvNets, so that they can be compared."""

OTHER_WEIGHT = WEIGHTS[FCN]
"""Ratio of each method of ``--methods``, as of FCN-8s, the other network that sees whole photos."""

PUBLISHED = {FCN: "fcn8s", DECONVNET: "deconvnet"} | {
    name: method.recipe for name, method in OTHER_METHODS.items() if method.published
}
"""Recipes of the paper's own trainings; a page lists the differences from them."""

TITLES = {
    FCN: "FCN-8s",
    DECONVNET: "DeconvNet",
    NO_NORM: "DeconvNet without batch norm",
    ONE_STAGE: "DeconvNet, stage 2 only",
    "deconvnet-crf": "DeconvNet+CRF",
    "edeconvnet": "EDeconvNet",
    "edeconvnet-crf": "EDeconvNet+CRF",
    "deconvnet-sum": "DeconvNet, sum instead of maximum",
    "fcn8s-crf": "FCN-8s+CRF",
    **stages_of(list(OTHER_METHODS)),
}
METHODS = (FCN, DECONVNET, "deconvnet-crf", "edeconvnet", "edeconvnet-crf")
"""Stages of the paper's table, in its order; those of other methods come after them."""

COUNTS = (1, 5, 10, 20, 50)
"""Numbers of proposals after which labels are scored, as in figure 6 of the paper."""

BY_SCORE = {f"boxes-{count:03d}": count for count in COUNTS}
"""Numbers of proposals by the name of the stage of DeconvNet's labels, the best proposals first."""

BY_SIZE = {f"largest-{count:03d}": count for count in COUNTS[:-1]} | {
    name: count for name, count in BY_SCORE.items() if count == COUNTS[-1]
}
"""The same 50, the largest first; after all of them the order makes no difference."""

ORDERS = {"the best first": BY_SCORE, "the largest first": BY_SIZE}

BOXES = 2000
"""Number of proposals of a photo, as in the paper."""


def trainings(context: Context) -> list[PlannedTraining]:
    """Plan FCN-8s, DeconvNet in two stages, two ablations of it, and the methods asked for.

    Raises:
        SettingsError: a budget that is too small, or settings that do not fit.
    """
    store = f"crops.store={json.dumps(str(_store(context, context.train)))}"
    chosen: list[tuple[str, str, str, list[str]]]
    no_norm = ["model.options.batch_norm=false", "model.options.decoder_init=he"]
    others = [(name, OTHER_METHODS[name]) for name in context.methods]
    if context.budget.papers:
        at = context.folder.run
        chosen = [
            ("fcn32s", "FCN-32s", "fcn32s", []),
            ("fcn16s", "FCN-16s", "fcn16s", [_start(at("fcn32s"))]),
            (FCN, TITLES[FCN], "fcn8s", [_start(at("fcn16s"))]),
            (DECONVNET, TITLES[DECONVNET], "deconvnet", [store]),
            (NO_NORM, TITLES[NO_NORM], "deconvnet", [store, *no_norm]),
            (ONE_STAGE, TITLES[ONE_STAGE], "deconvnet-stage2", [store]),
            *((name, method.title, method.recipe, []) for name, method in others),
        ]
        shares: dict[str, str] = {}
    else:
        height, width = context.crop()
        crop = f"augment.crop=[{height}, {width}]"
        quick = "deconvnet-quick"
        chosen = [
            (FCN, TITLES[FCN], "fcn8s-quick", ["model.name=fcn8s", crop]),
            (DECONVNET, TITLES[DECONVNET], quick, [store]),
            (NO_NORM, TITLES[NO_NORM], quick, [store, *no_norm]),
            (ONE_STAGE, TITLES[ONE_STAGE], quick, [store, "stages=[]"]),
            *((name, method.title, method.quick, [crop]) for name, method in others),
        ]
        shares = context.budget.share(WEIGHTS | dict.fromkeys(context.methods, OTHER_WEIGHT))
    return [
        context.plan_training(
            name, title, recipe, changes, budget=shares.get(name), published=PUBLISHED.get(name)
        )
        for name, title, recipe, changes in chosen
    ]


def _start(run: Path) -> str:
    return f"init.weights={json.dumps(str(run))}"


def _store(context: Context, split: Split) -> Path:
    return context.folder.path / f"proposals-{split.name}.parquet"


def prepare(context: Context) -> None:
    """Compute boxes of both splits into files that all trainings and stages share.

    Raises:
        WorkError: photos of the training split that cannot be read.
    """
    dataset = context.dataset
    for split in (context.train, context.split):
        path = _store(context, split)
        if path.exists():
            continue
        summary = make_store(
            [Photo(pair.name, pair.image) for pair in split.pairs],
            EdgeBoxes(max_boxes=BOXES),
            path,
            data={
                "layout": dataset.layout,
                "split": split.name,
                "fingerprint": dataset.fingerprint(),
            },
            progress=count_items(context.on_progress, f"boxes of {split.name}"),
            max_pixels=dataset.max_pixels,
            values=dataset.photo_values,
        )
        if split.name == context.train_split:
            summary.check()


def write_stages(context: Context) -> dict[str, dict[str, Any]]:
    """``pipeline.yaml`` of every stage whose trainings have finished; returns its stages."""
    names = {plan.name: plan for plan in context.done}
    store = {"store": _store(context, context.split).name}
    stages: dict[str, dict[str, Any]] = {}
    if FCN in names:
        stages[FCN] = {"whole_image": {"run": f"runs/{FCN}"}}
        stages["fcn8s-crf"] = {"refine": {"of": FCN, "crf": "deconvnet"}}
    for name in (DECONVNET, NO_NORM, ONE_STAGE):
        if name not in names:
            continue
        look: dict[str, Any] = {"run": f"runs/{name}", "proposals": store}
        crops = names[name].recipe.crop_geometry
        if crops is not None:  # in the file, so that other windows give other label maps
            look |= {"growth": crops.growth, "square": crops.square}
        if context.background is None:  # or pixels outside all boxes would become class 0
            look["whole_image"] = True
        stages[name] = {"instance_wise": look}
        if name == DECONVNET:
            stages["deconvnet-sum"] = {"instance_wise": {**look, "aggregate": "sum"}}
            stages["deconvnet-crf"] = {"refine": {"of": name, "crf": "deconvnet"}}
    if FCN in names and DECONVNET in names:
        stages["edeconvnet"] = {"ensemble": {"of": [FCN, DECONVNET], "combine": "mean"}}
        stages["edeconvnet-crf"] = {"refine": {"of": "edeconvnet", "crf": "deconvnet"}}
    for name in context.methods:
        if name in names:
            stages[name] = {"whole_image": {"run": f"runs/{name}"}}
            if (crf := OTHER_METHODS[name].crf) is not None:
                stages[crf_stage(name)] = {"refine": {"of": name, "crf": crf}}
    answer = next((n for n in ("edeconvnet-crf", DECONVNET, FCN) if n in stages), [*stages][-1])
    text = yaml.safe_dump({"answer": answer, "stages": stages}, sort_keys=False)
    write_text(context.folder.path / "pipeline.yaml", "# Written by upscore reproduce.\n" + text)
    return stages
