"""The page of the FCN-8s report: three settings of one network, and a plain network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from upscore.report.document import Chart, Document, Item, Section, Sheet, Table
from upscore.report.figures.reproduction import Line, loss_curves
from upscore.reproduce import common_sections, fcn_ablation
from upscore.reproduce.changes import changes_table
from upscore.reproduce.common_sections import class_table, picture_row
from upscore.reproduce.context import Context
from upscore.reproduce.differences import interval, score_text
from upscore.reproduce.example_selection import large_objects
from upscore.reproduce.fcn_checks import checks
from upscore.reproduce.fcn_losses import (
    NO_LOSSES,
    Losses,
    expected_start,
    log_interval,
    mean_of,
    read_losses,
)
from upscore.reproduce.fcn_scores import Scores, measure
from upscore.reproduce.fcn_trainings import (
    NAMES,
    PLAIN,
    REPORTED,
    by_setting,
    settings,
)
from upscore.reproduce.published import REPORT
from upscore.reproduce.trainings import PlannedTraining

PUBLISHED: Mapping[str, Any] = dict(zip(NAMES, REPORT, strict=True))
"""The report's numbers by the name of the setting; its plain model has none."""
PHOTOS = 4
"""Number of photos in figure 2."""
LARGE_PHOTOS = 2
"""Number of photos in figure 3."""


def document(context: Context) -> tuple[Document, dict[str, Any]]:
    """Make the missing measurements, and build the page.

    Returns:
        What the page shows; and the scores, as JSON values.

    Raises:
        WorkError: fewer than two trainings have finished.
        DataError: no photo that all networks have labelled.
    """
    context.require_networks(least=2)
    pairs = [(name, "exp1") for name in (*NAMES[1:], PLAIN)]
    if context.ablate:
        pairs += [pair for pair in fcn_ablation.PAIRS if pair not in pairs]
    scores = measure(context, pairs)
    content = scores.to_json()
    ablation: tuple[Section, ...] = ()
    if context.ablate:
        content["skips"] = shares = fcn_ablation.measure_shares(context)
        ablation = (fcn_ablation.section(context, scores, shares),)
    groups = by_setting(context.done)
    losses, mark = read_losses(context, {name: groups[name] for name in NAMES if name in groups})
    start = expected_start(context.plans[0].recipe, len(context.dataset.labels))
    # by their own budgets, which --set may have replaced
    timed = any(plan.recipe.budget.minutes is not None for plan in context.plans)
    seed = context.plans[0].seed
    first = [plan for plan in context.plans if plan.setting in REPORTED and plan.seed == seed]
    changes = changes_table(
        [replace(plan, title=REPORTED[plan.setting].title) for plan in first],
        f"What the budget, {context.budget}, and --set change against the report's own trainings, "
        "setting by setting. All others are those of the shipped recipes.",
    )
    sections = [
        Section(
            "What the report says, and what came out here",
            (_what_counts(context),),
            checks=tuple(checks(scores.settings, losses, mark, timed=timed, start=start)),
        ),
        Section(
            "Settings and scores",
            _about(context),
            (
                _table1(context),
                _table2(context, scores, losses, mark),
                *((changes,) if changes else ()),
            ),
        ),
        _training(losses, mark, start),
        Section("Predictions", items=tuple(_pictures(context, first))),
        Section("Class by class", items=(_classes(context, content),)),
        *ablation,
    ]
    page = common_sections.document(
        context,
        title="The FCN-8s report, reproduced",
        lead=f"FCN-8s in the report's three settings and a plain model, on {context.data.name}: "
        "our measured numbers beside the published ones.",
        sections=sections,
        tiles=[
            (_score(scores.settings, name), f"mIoU of {setting.title}")
            for name, setting in settings(context).items()
        ],
        missing=_without_losses(context),
    )
    return page, content


def _what_counts(context: Context) -> str:
    text = (
        "Networks are measured with the weights at the end of their training, as in the report. A "
        "difference in mIoU counts where the 95 % interval of a paired bootstrap over the photos "
        "leaves out 0"
    )
    if len(context.seeds) < 2:
        return text + "; with one seed, that says nothing about another training."
    return text + (
        f", and where that between trainings does too: Student's t of the differences of the "
        f"{len(context.seeds)} seeds. A difference in losses counts where the latter does."
    )


def _without_losses(context: Context) -> list[str]:
    """A sentence on the trainings that figure 1 lacks."""
    short = [
        plan.title
        for plan in context.done
        if plan.setting in NAMES and context.curve(plan).last_iteration < log_interval(plan)
    ]
    if not short:
        return []
    return [
        f"{', '.join(short)}: no training loss was logged after the first iteration, as the "
        "training was shorter than the interval of its log. Give a larger --budget."
    ]


def _score(scores: Mapping[str, Any], name: str) -> str:
    return score_text(scores[name]["scores"]["miou"] if name in scores else None)


def _about(context: Context) -> tuple[str, ...]:
    photos = f"{len(context.split)} photos of {context.split.name}"
    ours = f"{context.data.name} ({context.dataset.layout}, {photos})"
    text = [
        f"Published scores are on VOC 2012, ours on {ours}: their order can be compared, not their "
        "height."
    ]
    if not context.budget.papers:
        lr = context.plans[0].recipe.optim.lr
        shared = (
            f"The budget, {context.budget}, is shared among the trainings in the ratio of the "
            "report's iterations, Exp. 3 twice as long as the others."
            if context.given_budget is None
            else f"Every training has {context.given_budget}, so Exp. 3 is not longer than the "
            "others."
        )
        text.append(
            f"{shared} Networks are small and begin from random weights, so the learning rate is "
            f"{lr:g} instead of 1e-5, with a cosine schedule that each training finishes. Adam, "
            "the weight decays, learned upsampling, the factors 0.01 and 0.0001 on pool4 and "
            "pool3, and scores that start at zero are the report's; the last table of this section "
            "has every setting that is not."
        )
    return tuple(text)


def _table1(context: Context) -> Table:
    """A row for each training."""
    rows: list[dict[str, Any]] = []
    for plan in context.plans:
        e, recipe, curve = PUBLISHED.get(plan.setting), plan.recipe, context.curve(plan)
        samples = curve.last_iteration * recipe.batch.size * recipe.batch.accumulate
        rows.append(
            {
                "experiment": plan.title,
                "lr, report": e and f"{e.lr:g}",
                "weight decay, report": e and f"{e.weight_decay:g}",
                "iterations, report": e and e.iterations,
                "lr": f"{recipe.optim.lr:g}",
                "weight decay": f"{recipe.optim.weight_decay:g}",
                "iterations": curve.last_iteration or None,
                "samples": samples or None,
                "minutes": None if curve.seconds is None else curve.seconds / 60,
            }
        )
    return Table.of(
        "table1-settings",
        "Settings of the experiments: the report's Table 1, and what was trained here. The report "
        "gives none for its plain model.",
        rows,
        digits=1,
    )


def _table2(context: Context, scores: Scores, losses: Mapping[str, Losses], mark: int) -> Table:
    several = len(context.seeds) > 1
    groups = by_setting(context.done)
    rows: list[dict[str, Any]] = []
    for name, setting in REPORTED.items():
        e, loss = PUBLISHED.get(name), losses.get(name, NO_LOSSES)
        found = scores.settings.get(name)
        known = found["scores"] if found else {}
        final, best = (
            {f"deviation, {kind}": found and found["deviation"][kind]} if several else {}
            for kind in ("final", "best")
        )
        rows.append(
            {
                "model": setting.title,
                "mIoU, report": e and e.miou,
                "mIoU, final weights": known.get("miou"),
                **final,
                "mIoU, best weights": found and found["best"]["miou"],
                **best,
                "validations": _validations(context, groups.get(name, [])),
                "difference": interval(found),
                "pixel accuracy": known.get("pixel_accuracy"),
                "mean accuracy": known.get("mean_accuracy"),
                f"loss at {mark:,}": mean_of(loss.early),
                "last loss, report": e and e.last,
                "last loss": mean_of(loss.last),
            }
        )
    table = Table.of(
        "table2-scores",
        f"Validation mIoU of the report on VOC 2012 beside ours on {context.data.name}, with final "
        "weights and with the best of so many validations on the same split, which flatters a "
        "little; difference of the final ones to the first row with its 95 % interval; training "
        f"loss (mean of 100 iterations) after {mark:,} iterations and at the end."
        + (f" Means and standard deviations of {len(context.seeds)} seeds." if several else ""),
        rows,
        digits=4,
        best=("mIoU, final weights", "mIoU, best weights", "pixel accuracy", "mean accuracy"),
    )
    header = ("deviation" if name.startswith("deviation") else name for name in table.header)
    return replace(table, header=tuple(header))


def _validations(context: Context, plans: Sequence[PlannedTraining]) -> int | str | None:
    """Of each training; a range where seeds differ."""
    counts = sorted({len(context.curve(plan).val_iterations) for plan in plans})
    if len(counts) > 1:
        return f"{counts[0]} to {counts[-1]}"
    return counts[0] if counts else None


def _early(losses: Mapping[str, Losses], mark: int, start: float | None) -> Table:
    rows: list[dict[str, Any]] = []
    for name, e in PUBLISHED.items():
        loss = losses.get(name, NO_LOSSES)
        before, after = e.early or (None, None)
        rows.append(
            {
                "experiment": e.name,
                "start, report": before,
                "start": mean_of(loss.start),
                "early, report": after,
                f"at {mark:,}": mean_of(loss.early),
            }
        )
    caption = (
        "Loss of the first iteration, before any step, and the mean of 100 iterations at the early "
        f"mark (500 of 20,000 in the report, {mark:,} here)."
    )
    if start is not None:
        caption += (
            f" Equal scores of all classes have {start:.3f} here, ln 21 = 3.045 in the report."
        )
    return Table.of("early-losses", caption, rows)


def _classes(context: Context, content: Mapping[str, Any]) -> Table:
    """Of final weights; with several seeds of the first that has a network."""
    seed = context.done[0].seed
    names = {plan.name for plan in context.done if plan.seed == seed}
    kept = [one for one in content["contenders"] if one["stage"] in names]
    of = "" if seed is None else f", seed {seed}"
    caption = f"IoU of each class on the validation split, final weights{of}."
    return class_table(context, kept, caption)


def _training(losses: Mapping[str, Losses], mark: int, start: float | None) -> Section:
    drawn = [loss.line for loss in losses.values()]
    early = _early(losses, mark, start)
    if max((len(line.x) for line in drawn), default=0) > 1:
        return Section("Training", items=(early, _figure1(drawn, mark)))
    text = "No training was logged more than once, so there is no figure of the losses."
    return Section("Training", (text,), (early,))


def _figure1(drawn: Sequence[Line], mark: int) -> Chart:
    return Chart(
        "figure1-loss",
        "Training loss of the three experiments, mean over 100 iterations. The dotted line marks "
        f"where the text looks at the first descent ({mark:,} iterations, where the report has "
        "500 of 20,000); the last symbols are the final level.",
        lambda theme: loss_curves(drawn, mark=mark, theme=theme),
    )


def _pictures(context: Context, plans: Sequence[PlannedTraining]) -> list[Item]:
    """Figures 2 and 3, of the first seed's trainings."""
    shares = context.shares()
    three = {plan.name: plan.title for plan in plans if plan.setting in NAMES}
    cat = _cat(context, shares) if context.label is None else None
    wanted = cat if context.label is None else context.label
    large = large_objects(shares, LARGE_PHOTOS, background=context.background, wanted=wanted)
    places = [place for place, _ in large] if context.photo is None else [context.photo]
    done = context.done
    there = [plan for plan in plans if plan in done] or done
    # Exp. 3 where it has finished, else the first of the experiments that has
    preferred = [plan for name in ("exp3", *NAMES) for plan in there if plan.setting == name]
    first = [*preferred, *there][0]
    plain = next(plan for plan in plans if plan.setting == PLAIN)
    title = f"FCN-8s ({first.title})"
    return [
        Sheet(
            "figure2-predictions",
            "Photo, truth and the predictions of the three experiments. The photos stand evenly "
            "spread in the split, among those with two classes or more.",
            tuple(picture_row(context, place, three) for place in context.example_places(PHOTOS)),
            context.dataset.labels,
        ),
        Sheet(
            "figure3-plain-and-fcn8s",
            f"{PLAIN} above {title}: does the plain model lose the outline? Photos with one large "
            f"object, of the truth's largest{'.' if cat is None else ' cats.'}",
            tuple(
                picture_row(context, place, {stage: name})
                for place in places
                for stage, name in ((plain.name, plain.title), (first.name, title))
            ),
            context.dataset.labels,
        ),
    ]


def _cat(context: Context, shares: Sequence[Mapping[str, float]]) -> int | None:
    """The class of the report's own figure 3, where the data has one."""
    names = context.dataset.labels.names
    if "cat" in names and any(str(names.index("cat")) in of for of in shares):
        return names.index("cat")
    return None
