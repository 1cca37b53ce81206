"""Search for the settings of a dense CRF that score best: what varies, how, and what came of it.

The objective is any callable from settings to a number, the higher the better, so this module knows
neither images nor networks. Every draw depends on the seed, its number and the trials before it
alone, so a search that was interrupted goes on as if it had not been.
"""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from upscore.core.files import read_json, refuse_newer, write_json
from upscore.core.settings import build
from upscore.crf.settings import CRF_NAMES, CRFSettings, crf_settings
from upscore.errors import DataError, MissingExtraError, RunError, SettingsError

NO_CRF = "no CRF"
FORMAT_VERSION = 1

SamplerName = Literal["auto", "random", "optuna"]
Values = dict[str, float]
"""Dotted key of a setting -> its value, as in ``{"bilateral.sxy": 42.0}``."""


@dataclass(frozen=True)
class Parameter:
    """One setting that is varied, log-uniformly in [low, high]."""

    key: str
    low: float
    high: float

    @property
    def term(self) -> str:
        return self.key.partition(".")[0]


SPACE = (
    Parameter("gaussian.sxy", 1.0, 10.0),
    Parameter("gaussian.weight", 0.5, 10.0),
    Parameter("bilateral.sxy", 5.0, 160.0),
    Parameter("bilateral.srgb", 2.0, 40.0),
    Parameter("bilateral.weight", 0.5, 20.0),
)
"""Deviations in pixels and in colour steps of 0..255; weights under symmetric normalisation."""


def space_of(base: CRFSettings) -> tuple[Parameter, ...]:
    """The part of :data:`SPACE` that belongs to the terms which ``base`` has."""
    return tuple(parameter for parameter in SPACE if getattr(base, parameter.term) is not None)


def with_values(base: CRFSettings, values: Mapping[str, float]) -> CRFSettings:
    """``base`` with some settings changed, and symmetric normalisation everywhere.

    The ranges of the weights mean little under another normalisation: an unnormalised Gaussian of
    deviation 3 adds up to about 50, a normalised one to about 1.
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
    """What :func:`with_values` needs to make ``settings`` of ``base``; None where it cannot.

    It cannot when they differ in what the search does not vary, or lie outside the space.
    """
    content = settings.to_json()
    values: Values = {}
    for parameter in space_of(base):
        term, _, name = parameter.key.partition(".")
        value = (content[term] or {}).get(name)
        if not isinstance(value, float) or not parameter.low <= value <= parameter.high:
            return None
        values[parameter.key] = value
    return values if with_values(base, values) == settings else None


@dataclass(frozen=True)
class Trial:
    """One setting that was tried, and its score.

    ``number`` counts from 0. ``name`` is :data:`NO_CRF`, a named setting, a file, or how it was
    drawn. ``settings`` is None for no CRF. ``seconds`` is the time of the objective. ``held_out``
    is its score on what the search did not see, where somebody took it.
    """

    number: int
    name: str
    settings: CRFSettings | None
    score: float
    seconds: float
    held_out: float | None = None


def best_trial(trials: Sequence[Trial]) -> Trial:
    """The highest score; the earliest of equals, so that a tie goes to no CRF and known settings.

    Raises:
        SettingsError: there is no trial.
    """
    if not trials:
        raise SettingsError("no trial to choose from")
    return max(trials, key=lambda trial: (trial.score, -trial.number))


Candidate = tuple[str, CRFSettings | None]
"""A name and settings (None for no CRF) that are tried before any is drawn."""


def known_candidates(start: str, base: CRFSettings) -> tuple[Candidate, ...]:
    """No CRF, the named settings as they are, and ``base`` where it is not one of them.

    ``start`` is where ``base`` comes from: a file, or a name when only the iterations are others.
    """
    named: tuple[Candidate, ...] = tuple((name, crf_settings(name)) for name in CRF_NAMES)
    more: tuple[Candidate, ...] = ()
    if all(settings != base for _, settings in named):
        name = f"{start}, {base.iterations} iterations" if start in CRF_NAMES else start
        more = ((name, base),)
    return ((NO_CRF, None), *named, *more)


class Sampler(Protocol):
    """Where candidates come from."""

    @property
    def name(self) -> str:
        """What trials are called that it drew."""

    def draw(self, number: int, past: Sequence[tuple[Values, float]]) -> Values:
        """Values for trial ``number``, given those tried so far with their scores."""


@dataclass(frozen=True)
class RandomSampler:
    """Random search: by turns from the whole space and near the best so far.

    A draw near the best multiplies each of its values by a log-normal factor of ``exp(spread)``
    and stays inside the space. Before anything was tried, all come from the whole space.
    """

    space: tuple[Parameter, ...]
    seed: int
    spread: float = 0.4
    name: str = "random"

    def draw(self, number: int, past: Sequence[tuple[Values, float]]) -> Values:
        rng = np.random.default_rng([self.seed, number])
        center = max(past, key=lambda item: item[1])[0] if past and number % 2 else None
        values: Values = {}
        for parameter in self.space:
            low, high = math.log(parameter.low), math.log(parameter.high)
            if center is None:
                place = rng.uniform(low, high)
            else:
                place = rng.normal(math.log(center[parameter.key]), self.spread)
            values[parameter.key] = _rounded(math.exp(min(max(place, low), high)))
        return values


@dataclass(frozen=True)
class OptunaSampler:
    """Optuna's tree-structured Parzen estimator (Bergstra et al. 2011).

    A study is made anew for every draw and told of all trials before: that costs milliseconds, and
    a resumed search needs no file of Optuna's.

    Raises:
        MissingExtraError: Optuna is not installed.
    """

    space: tuple[Parameter, ...]
    seed: int
    name: str = "optuna"

    def __post_init__(self) -> None:
        _optuna()

    def draw(self, number: int, past: Sequence[tuple[Values, float]]) -> Values:
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.WARNING)  # a line for every study otherwise
        ranges = {
            parameter.key: optuna.distributions.FloatDistribution(
                parameter.low, parameter.high, log=True
            )
            for parameter in self.space
        }
        study = optuna.create_study(
            direction="maximize",
            sampler=optuna.samplers.TPESampler(
                # numpy's own way to make one seed of two; Optuna wants 32 bits
                seed=int(np.random.SeedSequence([self.seed, number]).generate_state(1)[0])
            ),
        )
        for values, score in past:
            study.add_trial(
                optuna.trial.create_trial(params=values, distributions=ranges, value=score)
            )
        drawn = study.ask(fixed_distributions=ranges).params
        return {key: _rounded(float(value)) for key, value in drawn.items()}


def _optuna() -> Any:
    try:
        return importlib.import_module("optuna")
    except ImportError as error:
        raise MissingExtraError(
            "--sampler optuna needs Optuna, which is not installed; type: pip install optuna "
            "(or take --sampler random, which needs nothing)"
        ) from error


def _rounded(value: float) -> float:
    """Three digits: what a person would type. Bounds of the space have no more, so it stays in."""
    return float(f"{value:.3g}")


def make_sampler(name: SamplerName, space: tuple[Parameter, ...], *, seed: int) -> Sampler:
    """A sampler by name; ``auto`` takes Optuna where it is installed.

    Raises:
        SettingsError: another name, or a negative seed.
        MissingExtraError: ``optuna`` without Optuna.
    """
    if name not in get_args(SamplerName):
        raise SettingsError(f"sampler is {name!r}; allowed: {', '.join(get_args(SamplerName))}")
    if seed < 0:
        raise SettingsError(f"seed is {seed}; allowed: 0 or more")
    if name == "random":
        return RandomSampler(space, seed)
    try:
        return OptunaSampler(space, seed)
    except MissingExtraError:
        if name == "optuna":
            raise
        return RandomSampler(space, seed)


def search(
    objective: Callable[[CRFSettings | None], float],
    *,
    base: CRFSettings,
    known: Sequence[Candidate],
    sampler: Sampler,
    num_trials: int,
    seconds: float | None = None,
    past: Sequence[Trial] = (),
) -> Iterator[Trial]:
    """Try the known candidates, then drawn ones; yields each trial when it is done.

    Args:
        objective: the score of settings (None: of no CRF), the higher the better.
        base: gives drawn candidates what the search does not vary.
        known: tried first, in this order, however long it takes.
        num_trials: how many are drawn after them.
        seconds: no further candidate is drawn after so long.
        past: trials of an earlier, interrupted search with the same arguments; not done again.

    Raises:
        SettingsError: ``num_trials`` below 1, or ``seconds`` not above 0.
        DataError: a score that is not finite.
    """
    if num_trials < 1:
        raise SettingsError(f"the number of trials is {num_trials}; allowed: 1 or more")
    if seconds is not None and not seconds > 0:
        raise SettingsError(f"the time to search is {seconds:g} seconds; allowed: above 0")
    trials = list(past)
    begin = time.monotonic()
    for number in range(len(trials), len(known) + num_trials):
        if number < len(known):
            name, settings = known[number]
        elif seconds is not None and time.monotonic() - begin >= seconds:
            return
        else:
            name = sampler.name
            settings = with_values(base, sampler.draw(number, _told(trials, base)))
        start = time.monotonic()
        score = objective(settings)
        if not math.isfinite(score):
            raise DataError(f"trial {number} ({name}): the score is {score}, not a finite number")
        trial = Trial(number, name, settings, score, time.monotonic() - start)
        trials.append(trial)
        yield trial


def _told(trials: Sequence[Trial], base: CRFSettings) -> list[tuple[Values, float]]:
    """What a sampler can learn from: the trials inside the space."""
    told = []
    for trial in trials:
        values = None if trial.settings is None else values_of(trial.settings, base)
        if values is not None:
            told.append((values, trial.score))
    return told


def write_history(path: Path, trials: Sequence[Trial], *, about: Mapping[str, Any]) -> None:
    """Trials as JSON, with what they were made with (JSON values). Raises OutputError."""
    content = {
        "format_version": FORMAT_VERSION,
        "about": dict(about),
        "trials": [
            {
                "number": trial.number,
                "name": trial.name,
                "settings": None if trial.settings is None else trial.settings.to_json(),
                "score": trial.score,
                "seconds": trial.seconds,
                "held_out": trial.held_out,
            }
            for trial in trials
        ],
    }
    write_json(path, content)


def read_history(path: Path) -> tuple[list[Trial], dict[str, Any]]:
    """The trials and the ``about`` that :func:`write_history` wrote.

    Raises:
        NotFoundError: no such file.
        RunError: damaged, or written by a newer upscore.
    """
    content = read_json(path)
    refuse_newer(path, content, FORMAT_VERSION)
    try:
        trials = [_trial(item, str(path)) for item in content["trials"]]
        about = dict(content["about"])
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(
            f"{path}: damaged ({type(error).__name__}: {error}); remove it to search from the start"
        ) from error
    if [trial.number for trial in trials] != list(range(len(trials))):
        raise RunError(
            f"{path}: damaged, its trials are not numbered 0, 1, 2 ...; remove it to search from "
            "the start"
        )
    return trials, about


def _trial(item: Mapping[str, Any], source: str) -> Trial:
    settings, held_out = item["settings"], item["held_out"]
    return Trial(
        number=int(item["number"]),
        name=str(item["name"]),
        settings=None if settings is None else build(CRFSettings, settings, source),
        score=float(item["score"]),
        seconds=float(item["seconds"]),
        held_out=None if held_out is None else float(held_out),
    )
