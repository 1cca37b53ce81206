"""Training losses of the report's experiments: at the start, early on, and at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from upscore.report.figures.reproduction import Line, at
from upscore.report.run_data import Curve
from upscore.reproduce.context import Context
from upscore.reproduce.fcn_scores import mean
from upscore.reproduce.published import EARLY_SHARE
from upscore.reproduce.trainings import PlannedTraining
from upscore.training.recipe import Recipe
from upscore.training.trainer import LOGGED_EVERY

BySeed = Mapping[int | None, float]


@dataclass(frozen=True)
class Losses:
    """Logged losses of one setting, by seed.

    Attributes:
        line: mean over its seeds of the mean over 100 iterations.
        start: of the first iteration, before any step.
        early: mean of 100 iterations at the early mark.
        last: the same at the end.
    """

    line: Line
    start: BySeed
    early: BySeed
    last: BySeed


NO_LOSSES = Losses(Line("", (), ()), {}, {}, {})
"""Of a setting without a finished training."""


def read_losses(
    context: Context, groups: Mapping[str, Sequence[PlannedTraining]]
) -> tuple[dict[str, Losses], int]:
    """Losses of each setting, and the iteration of the early mark.

    Args:
        groups: finished trainings by setting.
    """
    curves = {
        name: [(plan, context.curve(plan)) for plan in plans] for name, plans in groups.items()
    }
    lines = {
        name: {plan.seed: line for plan, curve in part if (line := _line(plan, curve)).x}
        for name, part in curves.items()
    }
    mark = _mark(context, groups, lines)
    found = {}
    for name, part in curves.items():
        of = lines[name]
        early = {seed: at(line, mark) for seed, line in of.items()}
        found[name] = Losses(
            line=_mean_line(groups[name][0], list(of.values())),
            start={plan.seed: v for plan, c in part if (v := c.start_loss) is not None},
            early={seed: value for seed, value in early.items() if value is not None},
            last={seed: line.y[-1] for seed, line in of.items() if line.y[-1] is not None},
        )
    return found, mark


def expected_start(recipe: Recipe, num_classes: int) -> float | None:
    """Loss of scores that are all equal, ln C; None where the loss is weighed or summed."""
    if recipe.loss.class_weights != "none" or recipe.loss.reduction != "mean":
        return None
    return math.log(num_classes)


def log_interval(plan: PlannedTraining) -> int:
    """Most iterations between two rows of the training's log."""
    return plan.recipe.log_every or LOGGED_EVERY


def _line(plan: PlannedTraining, curve: Curve) -> Line:
    """The loss curve of one training; empty where only the first iteration was logged."""
    if curve.iterations == (1,) and log_interval(plan) > 1:
        return Line(plan.title, (), ())
    return Line(plan.title, curve.iterations, curve.hundred_iteration_mean())


def _mean_line(plan: PlannedTraining, lines: Sequence[Line]) -> Line:
    """Mean curve over the iterations that all trainings have logged."""
    title = plan.title if plan.seed is None else plan.title.removesuffix(f", seed {plan.seed}")
    if len(lines) == 1:
        return Line(title, lines[0].x, lines[0].y)
    values = [dict(zip(line.x, line.y, strict=True)) for line in lines]
    common = [x for x in values[0] if all(x in one for one in values)] if values else []
    return Line(title, tuple(common), tuple(mean(one[x] for one in values) for x in common))


def _mark(
    context: Context,
    groups: Mapping[str, Sequence[PlannedTraining]],
    lines: Mapping[str, Mapping[int | None, Line]],
) -> int:
    """Iteration of the early loss: 500 of 20,000, or the same fraction of other budgets."""
    ends = [line.x[-1] for of in lines.values() for line in of.values()]
    step = log_interval(next(iter(groups.values()))[0])
    share = round(EARLY_SHARE * min(ends, default=0))
    if context.budget.papers and not share:
        return 500
    return max(step, step * round(share / step))


def mean_of(values: BySeed) -> float | None:
    """Mean over the seeds."""
    return mean(values.values())
