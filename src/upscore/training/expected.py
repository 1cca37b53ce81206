"""Number of samples in a budget, compared with that of a recipe's documented score.

Iterations and epochs are counted before the first step. Minutes need the rate of this machine: it
is measured over the first iterations after a warm-up, which changes nothing in the training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from upscore.core.plural import plural
from upscore.core.progress import Notice
from upscore.training.recipe import BudgetSettings, Measured, Recipe, TrainingStage

WARM_UP = 3
"""Iterations before the rate is measured."""
MEASURED = 20
"""Iterations over which it is measured."""
SOON = 0.02
"""Part of a budget in minutes after which fewer iterations have to do."""
OTHER_DATA = "scores on other data cannot be compared with it"
FEW = 0.1
"""Part of the documented samples: a budget that sees less gets a warning."""


@dataclass(frozen=True)
class Documented:
    """The score that a training or one stage of it is compared with."""

    score: Measured | None = None
    """None where the recipe documents none."""
    stage: str = ""
    """Name of the stage, "" for a training without stages."""
    share: float = 1.0
    """The stage's part of the budget."""

    @classmethod
    def of(cls, recipe: Recipe, stage: TrainingStage | None = None) -> Documented:
        """Of the whole training, or of one stage of it."""
        score = recipe.measured[0] if recipe.measured else None
        return cls(score) if stage is None else cls(score, stage.name, stage.share)

    @property
    def samples(self) -> int | None:
        """Samples that this part saw; None where they are not known."""
        if self.score is None or self.score.samples is None:
            return None
        return self.score.stages.get(self.stage, round(self.score.samples * self.share))

    def describe(self) -> str:
        """The score, how many samples it took, and that it says nothing about other data."""
        assert self.score is not None
        text = f"Documented: mIoU {self.score.miou:.3f} on {self.score.data} {self.score.split}"
        if self.score.note:
            text += f" ({self.score.note})"
        if self.samples is None:
            return f"{text}, samples not recorded; {OTHER_DATA}."
        text += f" after {self.samples:,} samples"
        text += f" of this stage, {self.score.samples:,} in all" if self.stage else ""
        return f"{text}; {OTHER_DATA}."


def _notices(documented: Documented, budget: str, samples: int, option: str) -> list[Notice]:
    """The budget, the documented score, and a warning where the budget sees few of its samples.

    Args:
        samples: that the budget will see.
        option: of ``upscore train``, with which it would see as many: ``minutes 30``.
    """
    stage = f" of stage {documented.stage}" if documented.stage else ""
    notices = [Notice(f"Budget{stage}: {budget}")]
    if documented.score is None:
        return notices
    notices.append(Notice(documented.describe()))
    if documented.samples is not None and samples < FEW * documented.samples:
        notices.append(
            Notice(
                f"Warning: this budget allows {100 * samples / documented.samples:.2g} % of those "
                "samples, so the network may learn less than it could.",
                warning=True,
                advice=f"For as many: --{option}",
            )
        )
    return notices


def counted(
    budget: BudgetSettings, documented: Documented, *, step: int, epoch: int
) -> list[Notice]:
    """Notices before the first step of a budget in iterations or epochs; none about minutes.

    Args:
        step: samples of an optimiser step.
        epoch: samples of the training split.
    """
    iterations = budget.num_iterations(epoch=epoch, step=step)
    if iterations is None:
        return []
    goal = (documented.samples or 0) / documented.share
    if budget.epochs is not None:
        amount = f"{budget.epochs:g} epochs, {plural(iterations, 'iteration')}"
        option = f"epochs {math.ceil(10 * goal / epoch) / 10:g}"
    else:
        amount = plural(iterations, "iteration")
        option = f"iterations {math.ceil(goal / step)}"
    samples = iterations * step
    return _notices(documented, f"{amount}, {plural(samples, 'sample')}.", samples, option)


def timed(
    minutes: float, documented: Documented, *, samples: int, rate: float, busy: float
) -> list[Notice]:
    """Notices about a budget in minutes once the rate is known.

    Args:
        minutes: of this part of the training.
        samples: expected number, by the rate.
        rate: samples a second while it trains.
        busy: part of the minutes in which it trains; validations take the rest.
    """
    goal = (documented.samples or 0) / documented.share
    option = f"minutes {math.ceil(goal / (60.0 * rate * busy))}"
    about = round(samples, min(0, 2 - len(str(samples))))  # two digits, as an estimate is written
    budget = f"{minutes:g} minutes, about {about:,} samples at {rate:.3g} a second."
    return _notices(documented, budget, samples, option)


class Rate:
    """Seconds of an iteration, measured over the first ones of a session after the warm-up."""

    def __init__(self) -> None:
        self._seconds: list[float] = []

    def add(self, seconds: float, fraction: float) -> float | None:
        """Note an iteration; returns seconds an iteration once they are known.

        Args:
            seconds: that it took, validations and saving left out.
            fraction: of the budget that is used after it.
        """
        self._seconds.append(seconds)
        after = self._seconds[WARM_UP:]
        if fraction >= 1.0:
            after = after or self._seconds
        elif len(after) < MEASURED and not (after and fraction >= SOON):
            return None
        return sum(after) / len(after)
