"""Search for the settings of a dense CRF that score best, with Optuna's samplers.

Each draw depends only on the seed, its number and the trials before it, so an interrupted search
continues exactly as if it had not been interrupted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from upscore.core.files import read_json, refuse_newer, write_json
from upscore.core.settings import Settings, build
from upscore.crf.settings import CRFSettings, crf_settings
from upscore.errors import DataError, MissingExtraError, RunError, SettingsError

NO_CRF = "no CRF"
FORMAT_VERSION = 1

SamplerName = Literal["tpe", "random"]
"""Tree-structured Parzen estimator (Bergstra et al. 2011), or uniform in the logarithm."""

Values = dict[str, float]
"""Dotted key of a setting -> its value, such as ``{"bilateral.sxy": 42.0}``."""


SPACE = {
    "gaussian.sxy": (1.0, 10.0),
    "gaussian.weight": (0.5, 10.0),
    "bilateral.sxy": (5.0, 160.0),
    "bilateral.srgb": (2.0, 40.0),
    "bilateral.weight": (0.5, 20.0),
}
"""Settings that are varied, log-uniformly, with their lowest and highest values. Deviations are in
pixels and in colour steps of 0..255; weights are meant for symmetric normalisation."""


def space_of(base: CRFSettings) -> dict[str, tuple[float, float]]:
    """The part of :data:`SPACE` that belongs to the terms of ``base``."""
    return {key: limits for key, limits in SPACE.items() if getattr(base, key.partition(".")[0])}


def with_values(base: CRFSettings, values: Mapping[str, float]) -> CRFSettings:
    """``base`` with some settings changed, and symmetric normalisation everywhere.

    The ranges of the weights mean little under another normalisation: an unnormalised Gaussian of
    deviation 3 sums to about 50, a normalised one to about 1.
    """
    content = base.to_json()
    content["normalization"] = "symmetric"
    for term in ("gaussian", "bilateral"):
        if content[term] is not None:
            content[term]["normalization"] = None
    for key, value in values.items():
        term, _, name = key.partition(".")
        content[term][name] = value
    return CRFSettings.model_validate(content)


def values_of(settings: CRFSettings, base: CRFSettings) -> Values | None:
    """The values with which :func:`with_values` makes ``settings`` of ``base``.

    None if there are none: ``settings`` differ in what the search does not vary, or lie outside the
    space.
    """
    content = settings.to_json()
    values: Values = {}
    for key, (low, high) in space_of(base).items():
        term, _, name = key.partition(".")
        value = (content[term] or {}).get(name)
        if not isinstance(value, float) or not low <= value <= high:
            return None
        values[key] = value
    return values if with_values(base, values) == settings else None


@dataclass(frozen=True)
class Trial:
    """Settings that were tried, and their score.

    ``number`` counts from 0. ``name`` is :data:`NO_CRF`, a named setting, a file, or the sampler.
    ``settings`` is None for no CRF. ``seconds`` is the time of the objective. ``held_out`` is the
    score on images that the search did not use, if it was computed.
    """

    number: int
    name: str
    settings: CRFSettings | None
    score: float
    seconds: float
    held_out: float | None = None


def best_trial(trials: Sequence[Trial]) -> Trial:
    """The trial of the highest score, the earliest of equals: no CRF and known settings win ties.

    Raises:
        SettingsError: there is no trial.
    """
    if not trials:
        raise SettingsError("no trial to choose from")
    return max(trials, key=lambda trial: (trial.score, -trial.number))


Candidate = tuple[str, CRFSettings | None]
"""Name and settings (None for no CRF) that are tried before any are drawn."""


TRIED = ("deconvnet", "released", "deeplab")
"""Named settings that every search tries: not those that were chosen for one network's scores."""


def known_candidates(start: str, base: CRFSettings) -> tuple[Candidate, ...]:
    """No CRF, the settings of :data:`TRIED`, and ``base`` if it is not one of them.

    ``start`` is where ``base`` comes from: a file, or a name if only the iterations differ.
    """
    named: tuple[Candidate, ...] = tuple((name, crf_settings(name)) for name in TRIED)
    more: tuple[Candidate, ...] = ()
    if all(settings != base for _, settings in named):
        name = f"{start}, {base.iterations} iterations" if start in TRIED else start
        more = ((name, base),)
    return ((NO_CRF, None), *named, *more)


def search(
    objective: Callable[[CRFSettings | None], float],
    *,
    base: CRFSettings,
    known: Sequence[Candidate],
    num_trials: int,
    seed: int,
    sampler: SamplerName = "tpe",
    seconds: float | None = None,
    past: Sequence[Trial] = (),
) -> Iterator[Trial]:
    """Try the known candidates, then settings that a sampler of Optuna draws; yields each trial.

    Arguments are checked at once, before the first trial is asked for.

    Args:
        objective: the score of settings (None: of no CRF), the higher the better.
        base: gives drawn settings what the search does not vary.
        known: tried first, in this order, however long it takes.
        num_trials: number of settings that are drawn after them.
        seed: of the draws, 0 or more.
        sampler: ``tpe`` learns from all trials inside the space, known ones too.
        seconds: nothing is drawn after this time.
        past: trials of an earlier, interrupted search with the same arguments; not done again.

    Raises:
        MissingExtraError: Optuna is not installed.
        SettingsError: another sampler, a negative seed, ``num_trials`` below 1, or ``seconds`` not
            above 0.
        DataError: a score that is not finite.
    """
    if sampler not in get_args(SamplerName):
        raise SettingsError(f"sampler is {sampler!r}; allowed: {', '.join(get_args(SamplerName))}")
    if seed < 0:
        raise SettingsError(f"seed is {seed}; allowed: 0 or more")
    if num_trials < 1:
        raise SettingsError(f"the number of trials is {num_trials}; allowed: 1 or more")
    if seconds is not None and not seconds > 0:
        raise SettingsError(f"the time to search is {seconds:g} seconds; allowed: above 0")
    try:
        import optuna
    except ImportError as error:
        raise MissingExtraError(
            "the search for CRF settings needs Optuna, which is not installed; type: pip install "
            '"upscore[tune]"'
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    make_sampler: Callable[..., Any] = {
        "tpe": optuna.samplers.TPESampler,
        "random": optuna.samplers.RandomSampler,
    }[sampler]
    ranges: dict[str, optuna.distributions.BaseDistribution] = {
        key: optuna.distributions.FloatDistribution(low, high, log=True)
        for key, (low, high) in space_of(base).items()
    }
    study = optuna.create_study(direction="maximize")

    def add(trial: Trial) -> None:
        """Add a trial to the study, if its settings lie in the space."""
        params = None if trial.settings is None else values_of(trial.settings, base)
        if params is not None:
            study.add_trial(
                optuna.trial.create_trial(params=params, distributions=ranges, value=trial.score)
            )

    def draw(number: int) -> CRFSettings:
        """Settings for trial ``number``, by a sampler with a seed of its own.

        Values are rounded to three digits; the bounds have fewer, so they stay inside.
        """
        state = np.random.SeedSequence([seed, number]).generate_state(1)
        study.sampler = make_sampler(seed=int(state[0]))
        drawn = study.ask(fixed_distributions=ranges)
        # the rounded values are added when their score is known
        study.tell(drawn, state=optuna.trial.TrialState.FAIL)
        return with_values(base, {k: float(f"{v:.3g}") for k, v in drawn.params.items()})

    for trial in past:
        add(trial)

    def steps() -> Iterator[Trial]:
        begin = time.monotonic()
        for number in range(len(past), len(known) + num_trials):
            if number < len(known):
                name, settings = known[number]
            elif seconds is not None and time.monotonic() - begin >= seconds:
                return
            else:
                name, settings = sampler, draw(number)
            start = time.monotonic()
            score = objective(settings)
            if not math.isfinite(score):
                raise DataError(
                    f"trial {number} ({name}): the score is {score}, not a finite number"
                )
            trial = Trial(number, name, settings, score, time.monotonic() - start)
            add(trial)
            yield trial

    return steps()


class _History(Settings):
    """The file of a search."""

    format_version: int
    about: dict[str, Any]
    trials: tuple[Trial, ...]


def write_history(path: Path, trials: Sequence[Trial], *, about: Mapping[str, Any]) -> None:
    """Write trials as JSON, and what they were made with (JSON values). Raises OutputError."""
    history = _History(format_version=FORMAT_VERSION, about=dict(about), trials=tuple(trials))
    write_json(path, history.model_dump(mode="json"))


def read_history(path: Path) -> tuple[list[Trial], dict[str, Any]]:
    """Read the trials and the ``about`` that :func:`write_history` wrote.

    Raises:
        NotFoundError: no such file.
        RunError: damaged, or written by a newer upscore.
    """
    content = read_json(path)
    refuse_newer(path, content, FORMAT_VERSION)
    try:
        history = build(_History, content, str(path))
    except SettingsError as error:
        raise RunError(f"{path}: damaged; remove it to search from the start\n{error}") from error
    if [trial.number for trial in history.trials] != list(range(len(history.trials))):
        raise RunError(
            f"{path}: damaged, its trials are not numbered 0, 1, 2 ...; remove it to search from "
            "the start"
        )
    return list(history.trials), history.about
