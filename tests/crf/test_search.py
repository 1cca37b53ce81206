"""The search alone: objectives here are formulas, no image is in sight."""

from __future__ import annotations

import json
import math
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from upscore.crf import search as module
from upscore.crf.search import (
    NO_CRF,
    SPACE,
    OptunaSampler,
    RandomSampler,
    Trial,
    best_trial,
    known_candidates,
    make_sampler,
    read_history,
    search,
    space_of,
    values_of,
    with_values,
    write_history,
)
from upscore.crf.settings import CRFSettings, crf_settings
from upscore.errors import (
    DataError,
    MissingExtraError,
    NotFoundError,
    RunError,
    SettingsError,
    UpscoreError,
)

BASE = crf_settings("deconvnet")
KNOWN = known_candidates("deconvnet", BASE)
TARGET = {"gaussian.sxy": 2.0, "gaussian.weight": 1.0, "bilateral.sxy": 90.0,
          "bilateral.srgb": 12.0, "bilateral.weight": 3.0}  # fmt: skip


def distance(settings: CRFSettings | None) -> float:
    """Best (0) at TARGET, -100 without a CRF; the unnormalised one is judged by its numbers."""
    if settings is None:
        return -100.0
    content = settings.to_json()
    found = {key: content[key.split(".")[0]][key.split(".")[1]] for key in TARGET}
    return -sum(math.log(found[key] / TARGET[key]) ** 2 for key in TARGET)


def run(sampler=None, *, num_trials=12, objective=distance, known=KNOWN, **more):
    sampler = sampler or RandomSampler(SPACE, seed=0)
    return list(
        search(objective, base=BASE, known=known, sampler=sampler, num_trials=num_trials, **more)
    )


# -- settings and the space -------------------------------------------------------------------


def test_values_make_settings_and_settings_give_them_back():
    settings = with_values(BASE, TARGET)
    assert settings.gaussian.sxy == 2.0
    assert settings.bilateral.srgb == 12.0
    assert settings.iterations == BASE.iterations
    assert values_of(settings, BASE) == TARGET


def test_what_is_not_varied_comes_from_base():
    base = CRFSettings.model_validate(
        {
            "gaussian": {"sxy": 3, "weight": 3, "normalization": "before"},
            "bilateral": {"sxy": [20, 30], "srgb": 3, "weight": 5},
            "iterations": 4,
            "tolerance": 0.01,
            "normalization": "none",
            "compatibility": [[0, 1], [2, 0]],
            "prune": 0.001,
        }
    )
    settings = with_values(base, TARGET)
    assert settings.iterations == 4
    assert settings.tolerance == 0.01
    assert settings.compatibility == ((0, 1), (2, 0))
    assert settings.prune == 0.001
    # the weights of the space are meant for symmetric normalisation
    assert settings.normalization == "symmetric"
    assert settings.gaussian.normalization is None
    assert settings.bilateral.sxy == 90.0


@pytest.mark.parametrize("name", ["deconvnet", "deeplab"])
def test_named_settings_lie_in_the_space(name):
    assert values_of(crf_settings(name), BASE) is not None


def test_what_a_sampler_cannot_learn_from_has_no_values():
    assert values_of(crf_settings("released"), BASE) is None  # not symmetric
    assert values_of(with_values(BASE, TARGET | {"bilateral.sxy": 300.0}), BASE) is None  # outside
    other = with_values(BASE, TARGET).model_copy(update={"iterations": 3})
    assert values_of(other, BASE) is None
    pair = CRFSettings.model_validate(
        BASE.to_json() | {"gaussian": {"sxy": [3.0, 4.0], "weight": 3.0}}
    )
    assert values_of(pair, BASE) is None


def test_a_term_that_base_lacks_is_not_searched():
    base = CRFSettings.model_validate({"bilateral": {"sxy": 20, "srgb": 3, "weight": 5}})
    space = space_of(base)
    assert [p.key for p in space] == ["bilateral.sxy", "bilateral.srgb", "bilateral.weight"]
    drawn = RandomSampler(space, 0).draw(7, [])
    assert with_values(base, drawn).gaussian is None
    assert values_of(with_values(base, drawn), base) == drawn
    assert values_of(BASE, base) is None


def test_known_candidates():
    assert [name for name, _ in KNOWN] == [NO_CRF, "deconvnet", "released", "deeplab"]
    mine = BASE.model_copy(update={"iterations": 5})
    assert known_candidates("mine.yaml", mine)[4] == ("mine.yaml", mine)
    assert known_candidates("deconvnet", mine)[4] == ("deconvnet, 5 iterations", mine)


# -- random draws ------------------------------------------------------------------------------


def test_draws_fill_the_space_log_uniformly():
    draws = [RandomSampler(SPACE, seed=1).draw(2 * i, []) for i in range(600)]
    for p in SPACE:
        values = np.array([draw[p.key] for draw in draws])
        assert values.min() >= p.low
        assert values.max() <= p.high
        places = (np.log(values) - math.log(p.low)) / math.log(p.high / p.low)
        counts, _ = np.histogram(places, bins=6, range=(0, 1))
        assert counts.min() > 60  # 100 each are expected


def test_near_the_best_stays_inside():
    corner = {p.key: p.high for p in SPACE}
    for number in range(1, 100, 2):
        draw = RandomSampler(SPACE, seed=0).draw(number, [(corner, 1.0), (TARGET, 0.0)])
        for p in SPACE:
            assert p.low <= draw[p.key] <= p.high
            assert draw[p.key] > p.high / 8  # of the space's 10 to 40 fold: near


def test_same_seed_same_draws_other_seed_others():
    first, again = run(), run()
    assert [t.settings for t in first] == [t.settings for t in again]
    assert [t.settings for t in run(RandomSampler(SPACE, seed=1))[4:]] != [
        t.settings for t in first[4:]
    ]


def test_drawing_near_the_best_pays():
    def best_of(sampler_of):
        return np.mean(
            [best_trial(run(sampler_of(seed), num_trials=40)).score for seed in range(20)]
        )

    class Everywhere(RandomSampler):
        def draw(self, number, past):  # noqa: ARG002
            return super().draw(number, [])

    near = best_of(lambda seed: RandomSampler(SPACE, seed))
    everywhere = best_of(lambda seed: Everywhere(SPACE, seed))
    assert near > 0.7 * everywhere  # scores are negative: nearer to 0


# -- the search --------------------------------------------------------------------------------


def test_known_come_first_then_the_drawn_ones():
    trials = run(num_trials=3)
    assert [t.number for t in trials] == list(range(7))
    assert [t.name for t in trials] == [NO_CRF, "deconvnet", "released", "deeplab", *["random"] * 3]
    assert trials[0].settings is None
    assert all(t.score == distance(t.settings) for t in trials)
    assert all(t.seconds >= 0 for t in trials)


def test_the_answer_is_never_worse_than_what_was_known():
    for seed in range(5):
        trials = run(RandomSampler(SPACE, seed), num_trials=1)
        assert best_trial(trials).score >= max(distance(settings) for _, settings in KNOWN)


def test_of_equals_the_earliest_is_best():
    trials = run(objective=lambda _settings: 0.5)
    assert best_trial(trials).number == 0
    with pytest.raises(SettingsError, match="no trial"):
        best_trial([])


@pytest.mark.parametrize("stop", [0, 2, 4, 9])
def test_going_on_is_as_if_never_stopped(stop, tmp_path):
    whole = run()
    write_history(tmp_path / "t.json", whole[:stop], about={})
    past, _ = read_history(tmp_path / "t.json")
    rest = run(past=past)
    assert [(t.number, t.settings, t.score) for t in [*past, *rest]] == [
        (t.number, t.settings, t.score) for t in whole
    ]


def test_nothing_is_left_to_do():
    assert run(past=run()) == []
    assert run(past=run(num_trials=20), num_trials=12) == []


def test_time_ends_drawing_but_not_the_known(monkeypatch):
    now = iter(range(1000))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(now)))
    trials = run(num_trials=100, seconds=20.0)
    assert 6 <= len(trials) <= 12
    now = iter(range(1000))
    assert len(run(num_trials=100, seconds=1.0)) == 4


@pytest.mark.parametrize("number", [0, -3])
def test_no_trials(number):
    with pytest.raises(SettingsError, match=f"trials is {number}; allowed: 1 or more"):
        run(num_trials=number)


@pytest.mark.parametrize("seconds", [0.0, -1.0, math.nan])
def test_no_time(seconds):
    with pytest.raises(SettingsError, match="allowed: above 0"):
        run(seconds=seconds)


def test_a_score_must_be_a_number():
    with pytest.raises(DataError, match=r"trial 1 \(deconvnet\): the score is nan"):
        run(objective=lambda settings: 0.0 if settings is None else math.nan)


# -- samplers by name --------------------------------------------------------------------------


@pytest.fixture
def without_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)  # makes the import fail


@pytest.mark.usefixtures("without_optuna")
def test_without_optuna():
    assert isinstance(make_sampler("auto", SPACE, seed=0), RandomSampler)
    assert isinstance(make_sampler("random", SPACE, seed=0), RandomSampler)
    with pytest.raises(MissingExtraError, match="pip install optuna"):
        make_sampler("optuna", SPACE, seed=0)


def test_wrong_sampler_or_seed():
    with pytest.raises(SettingsError, match="sampler is 'grid'; allowed: auto, random, optuna"):
        make_sampler("grid", SPACE, seed=0)
    with pytest.raises(SettingsError, match="seed is -1; allowed: 0 or more"):
        make_sampler("random", SPACE, seed=-1)


@pytest.fixture
def fake_optuna(monkeypatch):
    """A stand-in with the few names that are used: Optuna is no dependency of upscore.

    Its "estimator" draws the best value that it was told, so a test can see what it was told.
    """
    optuna = ModuleType("optuna")
    optuna.told = []
    optuna.seeds = []

    class Study:
        def __init__(self):
            self.trials = []

        def add_trial(self, trial):
            self.trials.append(trial)

        def ask(self, fixed_distributions):
            optuna.told.append([(t.params, t.value) for t in self.trials])
            if not self.trials:
                return SimpleNamespace(params={k: d.low for k, d in fixed_distributions.items()})
            params = max(self.trials, key=lambda t: t.value).params
            return SimpleNamespace(params={k: v * 1.0004 for k, v in params.items()})

    def create_study(*, direction, sampler):
        assert direction == "maximize"
        optuna.seeds.append(sampler.seed)
        return Study()

    def create_trial(*, params, distributions, value):
        for key, parameter in params.items():
            assert distributions[key].low <= parameter <= distributions[key].high
        return SimpleNamespace(params=params, value=value)

    def distribution(low, high, *, log):
        return SimpleNamespace(low=low, high=high, log=log)

    optuna.create_study = create_study
    optuna.distributions = SimpleNamespace(FloatDistribution=distribution)
    optuna.samplers = SimpleNamespace(TPESampler=lambda seed: SimpleNamespace(seed=seed))
    optuna.trial = SimpleNamespace(create_trial=create_trial)
    optuna.logging = SimpleNamespace(WARNING=30, set_verbosity=lambda _level: None)
    monkeypatch.setitem(sys.modules, "optuna", optuna)
    return optuna


def test_optuna_is_taken_and_told_what_lies_in_the_space(fake_optuna):
    sampler = make_sampler("auto", SPACE, seed=3)
    assert isinstance(sampler, OptunaSampler)
    trials = run(sampler, num_trials=2)
    assert [t.name for t in trials[4:]] == ["optuna", "optuna"]
    first, second = fake_optuna.told
    # no CRF and the unnormalised settings are no points of the space
    assert [score for _, score in first] == [trials[1].score, trials[3].score]
    assert [score for _, score in second] == [trials[i].score for i in (1, 3, 4)]
    assert len(set(fake_optuna.seeds)) == 2
    assert values_of(trials[4].settings, BASE) == values_of(
        max(trials[1:4:2], key=lambda t: t.score).settings, BASE
    )  # rounded to three digits


def test_optuna_with_nothing_told(fake_optuna):
    trials = run(OptunaSampler(SPACE, 0), num_trials=1, known=KNOWN[:1])
    assert fake_optuna.told == [[]]
    assert trials[1].settings.bilateral.sxy == 5.0


# -- the history -------------------------------------------------------------------------------


def test_history_comes_back(tmp_path):
    trials = run(num_trials=2)
    trials[1] = Trial(1, "deconvnet", BASE, 0.5, 2.0, held_out=0.25)
    write_history(tmp_path / "t.json", trials, about={"seed": 3})
    assert read_history(tmp_path / "t.json") == (trials, {"seed": 3})


def damage(content, **changes):
    content["trials"][1] |= changes
    return content


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (lambda _: None, RunError, "damaged, want a JSON object"),
        (lambda c: c | {"format_version": 99}, RunError, "newer upscore"),
        (lambda _: {"about": {}}, RunError, "damaged .KeyError"),
        (lambda c: c | {"trials": 3}, RunError, "damaged .TypeError"),
        (lambda c: damage(c, score="high"), RunError, "damaged .ValueError"),
        (lambda c: damage(c, settings={"gaussian": {"sxy": -1, "weight": 1}}), RunError, "sxy"),
        (lambda c: damage(c, number=7), RunError, "not numbered"),
    ],
)
def test_damaged_history(tmp_path, spoil, error, message):
    path = tmp_path / "t.json"
    write_history(path, run(num_trials=1), about={})
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    with pytest.raises(error, match=message) as caught:
        read_history(path)
    assert isinstance(caught.value, UpscoreError)
    assert "t.json" in str(caught.value)


def test_no_history(tmp_path):
    with pytest.raises(NotFoundError):
        read_history(tmp_path / "none.json")
