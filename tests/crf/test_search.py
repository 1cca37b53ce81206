"""The search alone: the objectives are formulas, without images."""

from __future__ import annotations

import json
import math
import sys

import numpy as np
import pytest

from upscore.crf import search as module
from upscore.crf.search import (
    NO_CRF,
    SPACE,
    Trial,
    best_trial,
    known_candidates,
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
)

BASE = crf_settings("deconvnet")
KNOWN = known_candidates("deconvnet", BASE)
TARGET = {"gaussian.sxy": 2.0, "gaussian.weight": 1.0, "bilateral.sxy": 90.0,
          "bilateral.srgb": 12.0, "bilateral.weight": 3.0}  # fmt: skip
SAMPLERS = ("tpe", "random")


def distance(settings: CRFSettings | None) -> float:
    """Best (0) at TARGET, -100 without a CRF; the unnormalised one is judged by its numbers."""
    if settings is None:
        return -100.0
    content = settings.to_json()
    found = {key: content[key.split(".")[0]][key.split(".")[1]] for key in TARGET}
    return -sum(math.log(found[key] / TARGET[key]) ** 2 for key in TARGET)


def run(*, num_trials=12, objective=distance, known=KNOWN, seed=0, sampler="random", **more):
    arguments = {"base": BASE, "known": known, "num_trials": num_trials, "seed": seed}
    return list(search(objective, sampler=sampler, **(arguments | more)))


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


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_term_that_base_lacks_is_not_searched(sampler):
    base = CRFSettings.model_validate({"bilateral": {"sxy": 20, "srgb": 3, "weight": 5}})
    space = space_of(base)
    assert list(space) == ["bilateral.sxy", "bilateral.srgb", "bilateral.weight"]
    trials = run(base=base, objective=lambda _settings: 0.5, sampler=sampler)
    for trial in trials[4:]:
        assert trial.settings.gaussian is None
        assert set(values_of(trial.settings, base)) == set(space)
    assert values_of(BASE, base) is None


def test_known_candidates():
    assert [name for name, _ in KNOWN] == [NO_CRF, "deconvnet", "released", "deeplab"]
    mine = BASE.model_copy(update={"iterations": 5})
    assert known_candidates("mine.yaml", mine)[4] == ("mine.yaml", mine)
    assert known_candidates("deconvnet", mine)[4] == ("deconvnet, 5 iterations", mine)
    own = crf_settings("deeplab-largefov")
    assert known_candidates("deeplab-largefov", own)[4:] == (("deeplab-largefov", own),)


# -- draws -------------------------------------------------------------------------------------


def test_random_draws_fill_the_space_log_uniformly():
    trials = run(num_trials=600, known=KNOWN[:1])
    draws = [values_of(trial.settings, BASE) for trial in trials[1:]]
    for key, (low, high) in SPACE.items():
        places = np.log([draw[key] / low for draw in draws]) / math.log(high / low)
        counts, _ = np.histogram(places, bins=6, range=(0, 1))
        assert counts.sum() == 600
        assert counts.min() > 60  # 100 each are expected


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_draws_are_what_a_person_would_type(sampler):
    for trial in run(num_trials=20, sampler=sampler)[4:]:
        for value in values_of(trial.settings, BASE).values():
            assert value == float(f"{value:.3g}")


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_same_seed_same_draws_other_seed_others(sampler):
    first, again, other = (run(sampler=sampler, seed=seed) for seed in (0, 0, 1))
    assert [t.settings for t in first] == [t.settings for t in again]
    drawn = [{t.settings.to_yaml() for t in trials[4:]} for trials in (first, other)]
    assert len(drawn[0]) == 12
    assert not drawn[0] & drawn[1]


def test_the_estimator_learns_from_trials():
    def mean_of_best(sampler):
        return np.mean(
            [best_trial(run(sampler=sampler, seed=seed, num_trials=40)).score for seed in range(8)]
        )

    assert mean_of_best("tpe") > 0.7 * mean_of_best("random")  # scores are negative: nearer to 0


def test_the_estimator_learns_from_the_known_candidates():
    """Of those inside the space; scores of the others change no draw."""

    def drawn(**scores):
        known = [
            Trial(i, name, settings, scores.get(name.split(",")[0].replace(" ", "_"), -1.0), 0.0)
            for i, (name, settings) in enumerate(candidates)
        ]
        return run(past=known, known=candidates, num_trials=1, sampler="tpe")[0].settings

    inside = [(f"m{i}", with_values(BASE, TARGET | {"bilateral.sxy": 10.0 + i})) for i in range(12)]
    candidates = (*KNOWN[:1], ("released", crf_settings("released")), *inside)
    assert drawn() == drawn(released=5.0) == drawn(no_CRF=5.0)
    assert drawn() != drawn(m7=5.0)


# -- the search --------------------------------------------------------------------------------


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_known_come_first_then_the_drawn_ones(sampler):
    trials = run(num_trials=3, sampler=sampler)
    assert [t.number for t in trials] == list(range(7))
    assert [t.name for t in trials] == [NO_CRF, "deconvnet", "released", "deeplab", *[sampler] * 3]
    assert trials[0].settings is None
    assert all(t.score == distance(t.settings) for t in trials)
    assert all(t.seconds >= 0 for t in trials)


def test_of_equals_the_earliest_is_best():
    trials = run(objective=lambda _settings: 0.5)
    assert best_trial(trials).number == 0
    with pytest.raises(SettingsError, match="no trial"):
        best_trial([])


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("stop", [0, 2, 4, 9, 20])
def test_going_on_is_as_if_never_stopped(stop, sampler, tmp_path):
    whole = run(sampler=sampler, num_trials=18)
    write_history(tmp_path / "t.json", whole[:stop], about={})
    past, _ = read_history(tmp_path / "t.json")
    rest = run(past=past, sampler=sampler, num_trials=18)
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


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"num_trials": 0}, "trials is 0; allowed: 1 or more"),
        ({"num_trials": -3}, "trials is -3; allowed: 1 or more"),
        ({"seconds": 0.0}, "allowed: above 0"),
        ({"seconds": -1.0}, "allowed: above 0"),
        ({"seconds": math.nan}, "allowed: above 0"),
        ({"seed": -1}, "seed is -1; allowed: 0 or more"),
        ({"sampler": "grid"}, "sampler is 'grid'; allowed: tpe, random"),
    ],
)
def test_wrong_arguments(argument, message):
    with pytest.raises(SettingsError, match=message):
        run(**argument)


def test_a_score_must_be_a_number():
    with pytest.raises(DataError, match=r"trial 1 \(deconvnet\): the score is nan"):
        run(objective=lambda settings: 0.0 if settings is None else math.nan)


def test_without_optuna(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)  # makes the import fail
    with pytest.raises(MissingExtraError, match=r'pip install "upscore\[tune\]"'):
        run()


# -- the history -------------------------------------------------------------------------------


def test_history_comes_back(tmp_path):
    trials = run(num_trials=2)
    trials[1] = Trial(1, "deconvnet", BASE, 0.5, 2.0, held_out=0.25)
    write_history(tmp_path / "t.json", trials, about={"seed": 3})
    assert read_history(tmp_path / "t.json") == (trials, {"seed": 3})


def test_a_history_of_an_earlier_version_is_read(tmp_path):
    """Written by upscore before it took its samplers from Optuna; their names stay."""
    settings = {
        "gaussian": None,
        "bilateral": {"sxy": 11.2, "srgb": [3.0, 4.0, 5.0], "weight": 5.0, "normalization": None},
        "iterations": 10, "tolerance": None, "normalization": "symmetric", "compatibility": 1.0,
        "prune": 0.0,
    }  # fmt: skip
    content = {
        "format_version": 1,
        "about": {"--seed": 0},
        "trials": [
            {"number": 0, "name": "no CRF", "settings": None, "score": 0.5, "seconds": 0.1,
             "held_out": None},
            {"number": 1, "name": "optuna", "settings": settings, "score": 1, "seconds": 2.5,
             "held_out": 0.25},
        ],
    }  # fmt: skip
    (tmp_path / "t.json").write_text(json.dumps(content))
    trials, about = read_history(tmp_path / "t.json")
    assert about == {"--seed": 0}
    assert trials[0] == Trial(0, NO_CRF, None, 0.5, 0.1)
    assert (trials[1].name, trials[1].score, trials[1].held_out) == ("optuna", 1.0, 0.25)
    assert trials[1].settings.bilateral.srgb == (3.0, 4.0, 5.0)
    write_history(tmp_path / "again.json", trials, about=about)
    assert json.loads((tmp_path / "again.json").read_text()) == content


def damage(content, **changes):
    content["trials"][1] |= changes
    return content


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda _: None, "damaged, want a JSON object"),
        (lambda c: c | {"format_version": 99}, "newer upscore"),
        (lambda _: {"about": {}}, "damaged; remove it(.|\n)*'trials' is missing"),
        (lambda c: c | {"trials": 3}, "trials: want a list"),
        (lambda c: damage(c, score="high"), r"trials\.1\.score: input should be a valid number"),
        (lambda c: damage(c, settings={"gaussian": {"sxy": -1, "weight": 1}}), "sxy"),
        (lambda c: damage(c, number=7), "not numbered"),
    ],
)
def test_damaged_history(tmp_path, spoil, message):
    path = tmp_path / "t.json"
    write_history(path, run(num_trials=1), about={})
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))
    with pytest.raises(RunError, match=message) as caught:
        read_history(path)
    assert "t.json" in str(caught.value)


def test_no_history(tmp_path):
    with pytest.raises(NotFoundError):
        read_history(tmp_path / "none.json")
