"""Tuning as a whole, on generated photos, with stand-ins for the network that know the truth."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.small_world import make_data, make_network
from upscore.core.labels import VOID, Labels
from upscore.crf.search import NO_CRF, Trial, best_trial, known_candidates, read_history
from upscore.crf.settings import CRFSettings, crf_settings, load_crf
from upscore.data.dataset import Sample, Split
from upscore.data.masks import MaskTable
from upscore.data.pair import Pair
from upscore.errors import DataError, OutputError, RunError, SettingsError
from upscore.metrics.confusion import Confusion
from upscore.workflows import tune_crf as workflow
from upscore.workflows.prediction_cache import StoredPredictions
from upscore.workflows.tune_crf import (
    TuneResult,
    draw_images,
    tune,
    tune_crf,
    write_trials_csv,
)

NAMES = ("ground", "tree", "car")
COLORS = np.array([[40, 40, 40], [60, 180, 60], [220, 60, 60]], dtype=np.uint8)
IDENTITY = np.arange(3, dtype=np.uint8)
BASE = crf_settings("deconvnet")
KNOWN = known_candidates("deconvnet", BASE)


def make_split(folder: Path, num: int = 6, *, thin: bool = False) -> Split:
    """Photos of coloured rectangles (or of lines one pixel wide) with a little noise."""
    folder.mkdir(exist_ok=True)
    pairs = []
    for i in range(num):
        rng = np.random.default_rng(i)
        labels = np.zeros((20, 24), dtype=np.uint8)
        if thin:
            labels[::2] = 1
            labels[1::4] = 2
        else:
            labels[3:14, 2:11] = 1
            labels[6:18, 13:22] = 2
        photo = COLORS[labels].astype(int) + rng.integers(-8, 9, (20, 24, 3))
        labels[0] = VOID
        pair = Pair(f"p{i}", folder / f"p{i}-photo.png", folder / f"p{i}-mask.png")
        Image.fromarray(photo.clip(0, 255).astype(np.uint8)).save(pair.image)
        Image.fromarray(labels).save(pair.mask)
        pairs.append(pair)
    return Split("val", tuple(pairs), Labels.of(NAMES), MaskTable.indices(3))


def by_color(image: np.ndarray) -> np.ndarray:
    return np.abs(image[:, :, None].astype(int) - COLORS).sum(axis=3).argmin(axis=2)


def noisy(image: np.ndarray) -> np.ndarray:
    """Right in three of four pixels and not sure: what a CRF puts right."""
    rng = np.random.default_rng(int(image.astype(np.uint64).sum()))
    labels = by_color(image)
    wrong = rng.random(labels.shape) < 0.25
    labels = np.where(wrong, rng.integers(0, 3, labels.shape), labels)
    return (0.15 + 0.55 * np.eye(3)[labels]).transpose(2, 0, 1).astype(np.float32)


def unsure_but_right(image: np.ndarray) -> np.ndarray:
    """Right everywhere, so whatever changes a label is wrong."""
    return (0.32 + 0.04 * np.eye(3)[by_color(image)]).transpose(2, 0, 1).astype(np.float32)


def run(
    split, folder, *, network=noisy, num_trials=4, known=KNOWN, base=BASE, **more
) -> TuneResult:
    arguments = {
        "table": IDENTITY,
        "base": base,
        "known": known,
        "sampler": "random",
        "seed": 0,
        "num_trials": num_trials,
        "folder": folder,
        "made_with": {"--seed": 0},
    }
    return tune(network, split, **(arguments | more))


@pytest.fixture
def split(tmp_path):
    return make_split(tmp_path / "data")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


# -- stored predictions -------------------------------------------------------------------------


def test_stored_scores_are_those_of_refining_at_once(split, tmp_path):
    stored = StoredPredictions(tmp_path, IDENTITY)
    crf = BASE.build()
    expected, plain = Confusion(3), Confusion(3)
    for place in range(len(split)):
        sample = split.read(place)
        p = noisy(sample.image)
        stored.add(sample, p)
        plain.update(sample.labels, p.argmax(axis=0).astype(np.uint8))
        refined = crf(sample.image, probabilities=p)
        expected.update(sample.labels, refined.argmax(axis=0).astype(np.uint8))
    places = range(len(split))
    assert len(stored) == len(split)
    assert np.array_equal(sum(stored.matrices(places, None)), plain.matrix)
    refined = sum(stored.matrices(places, lambda photo, u: crf(photo, energies=u)))
    assert np.abs(refined - expected.matrix).sum() <= 0.002 * expected.matrix.sum()
    assert not np.array_equal(refined, plain.matrix)


def test_small_probabilities_keep_their_digits(tmp_path):
    stored = StoredPredictions(tmp_path, IDENTITY)
    p = np.array([1.0, 1e-12, 0.0], dtype=np.float32).reshape(3, 1, 1)
    sample = Sample(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1), np.uint8), "p")
    stored.add(sample, p)
    seen = []

    def look(photo, energies):
        seen.append((photo.shape, energies.dtype, energies.ravel().tolist()))
        return energies

    list(stored.matrices([0], look))
    shape, dtype, energies = seen[0]
    assert shape == (1, 1, 3)
    assert dtype == np.float32
    assert energies[0] == 0
    assert energies[1] == pytest.approx(27.63, rel=5e-4)
    assert 80 < energies[2] < 100


def test_classes_are_counted_in_the_order_of_the_data(split, tmp_path):
    stored = StoredPredictions(tmp_path, np.array([2, 0, 1], dtype=np.uint8))
    sample = split.read(0)
    turned = noisy(sample.image)[[2, 0, 1]]  # the network's class 0 is the data's class 2
    stored.add(sample, turned)
    expected = Confusion(3)
    expected.update(sample.labels, noisy(sample.image).argmax(axis=0).astype(np.uint8))
    assert np.array_equal(next(stored.matrices([0], None)), expected.matrix)
    again = next(stored.matrices([0], lambda _photo, energies: np.exp(-energies)))
    assert np.array_equal(again, expected.matrix)


def test_a_full_disk_is_reported(split, tmp_path, monkeypatch):
    import errno

    def full(*_args, **_more):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    stored = StoredPredictions(tmp_path, IDENTITY)
    sample = split.read(0)
    with pytest.raises(OutputError, match="disk is full"):
        stored.add(sample, noisy(sample.image))


# -- the images ---------------------------------------------------------------------------------


def test_drawn_images_depend_on_the_seed_alone(split):
    names = [pair.name for pair in draw_images(split, 4, seed=1).pairs]
    assert names == [pair.name for pair in draw_images(split, 4, seed=1).pairs]
    assert len(set(names)) == 4
    seeds = {tuple(p.name for p in draw_images(split, 4, seed=seed).pairs) for seed in range(9)}
    assert len(seeds) > 4
    assert len(draw_images(split, 100, seed=0)) == 6


def test_too_few_images(split):
    with pytest.raises(SettingsError, match="images is 1; allowed: 2 or more"):
        draw_images(split, 1, seed=0)
    one = replace(split, pairs=split.pairs[:1])
    with pytest.raises(DataError, match="'val' has 1 image; tuning needs 2 or more"):
        draw_images(one, 40, seed=0)


# -- tuning -------------------------------------------------------------------------------------


def test_a_crf_that_helps(split, out):
    result = run(split, out)
    assert [t.number for t in result.trials] == list(range(8))
    assert (result.num_searched, result.num_held, result.total) == (3, 3, 8)
    none, best = result.trials[0], result.best
    assert best == best_trial(result.trials)
    assert best.score > none.score + 0.1
    assert best.held_out > none.held_out + 0.1
    assert 0 < result.interval[0] <= best.held_out - none.held_out <= result.interval[1]
    # known ones and the best few drawn are checked, best first
    assert {t.number for t in result.checked} == set(range(8))
    assert [t.score for t in result.checked] == sorted(t.score for t in result.trials)[::-1]
    assert all(t.held_out is not None for t in result.checked)
    text = "\n".join(result.verdict())
    assert f"mIoU {best.score:.4f}; without a CRF {none.score:.4f}" in text
    assert f"did not see: {best.held_out:.4f}" in text
    assert "The CRF helps there, but 3 images are few" in text
    assert read_history(out / "trials.json") == (list(result.trials), {"--seed": 0})
    assert [path.name for path in out.iterdir()] == ["trials.json"]  # no probabilities are left


def test_scores_are_over_one_matrix_of_each_half(split, out):
    result = run(split, out, num_trials=1)
    for half, score in ((0, result.trials[0].score), (1, result.trials[0].held_out)):
        confusion = Confusion(3)
        for place in range(half, 6, 2):
            sample = split.read(place)
            labels = noisy(sample.image).argmax(axis=0).astype(np.uint8)
            confusion.update(sample.labels, labels)
        assert confusion.scores().miou == score


def test_only_the_best_few_drawn_are_checked(split, out, monkeypatch):
    monkeypatch.setattr(workflow, "TOP", 2)
    result = run(split, out, num_trials=5)
    drawn = sorted(result.trials[4:], key=lambda t: -t.score)[:2]
    assert {t.number for t in result.checked} == {0, 1, 2, 3, *(t.number for t in drawn)}
    assert sum(t.held_out is None for t in result.trials) == 3


def test_a_crf_that_does_not_help(tmp_path, out):
    split = make_split(tmp_path / "data", thin=True)
    known = (KNOWN[0], ("strong", BASE_STRONG))
    result = run(split, out, network=unsure_but_right, known=known, num_trials=1)
    assert result.trials[0].score == 1.0
    assert result.best.number > 0  # best.yaml holds a CRF, and the text says what it is worth
    assert result.best.held_out <= result.trials[0].held_out
    assert "No CRF is better than none" in result.verdict()[-1]


BASE_STRONG = CRFSettings.model_validate({"gaussian": {"sxy": 5, "weight": 10}})


def test_verdicts():
    def verdict(held_out, interval, num_held=20):
        none = replace(trials[0], held_out=0.5)
        best = replace(trials[1], held_out=held_out)
        result = TuneResult(
            (none, best), 2, 20, num_held, (best, none), interval, (), folder=Path("out")
        )
        return result.verdict()[-1]

    trials = (Trial(0, NO_CRF, None, 0.5, 0.0), Trial(1, "deconvnet", BASE, 0.6, 0.0))
    assert verdict(0.55, (0.01, 0.09)) == "The CRF helps."
    assert "20" not in verdict(0.55, (0.01, 0.09))
    assert "9 images are few" in verdict(0.55, (0.01, 0.09), num_held=9)
    assert "not clear" in verdict(0.51, (-0.01, 0.03))
    assert "does not help" in verdict(0.5, (0.0, 0.0))
    assert "does not help" in verdict(0.45, (-0.06, -0.02))


def test_a_table_of_another_size_is_reported_before_the_network_works(split, out):
    base = BASE.model_copy(update={"compatibility": ((0.0, 1.0), (1.0, 0.0))})
    network = pytest.fail
    with pytest.raises(SettingsError, match=r"mine\.yaml: .*2 classes"):
        run(split, out, network=network, base=base, known=known_candidates("mine.yaml", base))
    assert not out.exists()


def test_bad_images_are_left_out_and_reported(split, out):
    split.pairs[1].image.write_bytes(b"broken")
    result = run(split, out, num_trials=1)
    assert [failure.name for failure in result.failures] == ["p1"]
    assert (result.num_searched, result.num_held) == (3, 2)


def test_an_image_that_the_network_refuses(split, out):
    refused = split.read(2).image

    def picky(image):
        if np.array_equal(image, refused):
            raise DataError("too dark")
        return noisy(image)

    result = run(split, out, network=picky, num_trials=1)
    assert [(failure.name, failure.message) for failure in result.failures] == [
        ("p2", "p2: too dark")
    ]


@pytest.mark.parametrize("place", [2, 3], ids=["searched", "held out"])
def test_an_image_that_the_crf_fails_on(split, out, monkeypatch, place):
    bad = split.read(place).image
    whole = run(split, out / "whole", num_trials=2)
    refine_all = workflow._refine

    def picky(settings):
        refine = refine_all(settings)

        def refine_most(photo, energies):
            if np.array_equal(photo, bad):
                raise ValueError("too dark")
            return refine(photo, energies)

        return refine and refine_most

    monkeypatch.setattr(workflow, "_refine", picky)
    result = run(split, out / "most", num_trials=2)
    assert len(result.trials) == len(whole.trials)
    assert len(result.checked) == len(whole.checked)
    assert result.trials[0] == replace(whole.trials[0], seconds=result.trials[0].seconds)
    assert (result.num_searched, result.num_held) == (3, 3)
    (failure,) = result.unrefined
    assert failure.message.startswith(f"p{place}: cannot refine it (ValueError: too dark; at ")
    assert failure.message.endswith("the network's own labels are scored instead")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory")])
def test_an_image_that_memory_is_too_small_for(split, out, error):
    large = split.read(2).image

    def small(image):
        if np.array_equal(image, large):
            raise error
        return noisy(image)

    (failure,) = run(split, out, network=small, num_trials=1).failures
    assert failure.name == "p2"
    assert failure.message.startswith("p2: not enough memory to segment it")


def test_nothing_can_be_read(split, out):
    for pair in split.pairs[1:]:
        pair.mask.write_bytes(b"broken")
    with pytest.raises(DataError, match=r"5 of the 6 images cannot be used(.|\n)*p1-mask\.png"):
        run(split, out)


def test_all_void(split, out):
    for pair in split.pairs:
        Image.fromarray(np.full((20, 24), VOID, np.uint8)).save(pair.mask)
    with pytest.raises(DataError, match="nothing to score"):
        run(split, out)


def test_progress_and_trials_are_reported(split, out):
    events, reported = [], []
    result = run(
        split,
        out,
        num_trials=2,
        on_progress=events.append,
        on_trial=lambda *item: reported.append(item),
    )
    segmenting = [event for event in events if event.stage == "segmenting"]
    assert (segmenting[-1].done, segmenting[-1].total) == (6, 6)
    searching = [event for event in events if event.stage == "searching"]
    assert [(event.done, event.total) for event in searching] == [(n, 6) for n in range(7)]
    assert any(event.stage == "checking" for event in events)
    assert [trial.number for trial, _ in reported] == list(range(6))
    best = [trial for trial, is_best in reported if is_best]
    assert best[0].number == 0
    assert best[-1].number == best_trial(result.trials).number
    assert [t.score for t in best] == sorted({t.score for t in best})
    (out / "trials.json").unlink()
    run(split, out, num_trials=1)
    reported.clear()
    run(split, out, num_trials=2, resume=True, on_trial=lambda *item: reported.append(item))
    assert reported[0][1] == (reported[0][0].score > max(t.score for t in result.trials[:5]))


# -- going on -----------------------------------------------------------------------------------


def stop_after_six(trial, _is_best):
    """Somebody presses Ctrl-C."""
    if trial.number == 5:
        raise KeyboardInterrupt


def same(trials):
    return [(t.number, t.name, t.settings, t.score, t.held_out) for t in trials]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_interrupted_and_gone_on_with(split, out, tmp_path, sampler):
    go = partial(run, sampler=sampler)
    whole = go(split, tmp_path / "whole")
    stopped = go(split, out, on_trial=stop_after_six)
    assert stopped.interrupted
    assert len(stopped.trials) == 6
    assert stopped.checked == ()
    assert "stopped after 6 of 8 trials" in stopped.verdict()[-1]
    assert [path.name for path in out.iterdir()] == ["trials.json"]
    rest = go(split, out, resume=True)
    assert not rest.interrupted
    assert same(rest.trials) == same(whole.trials)
    assert rest.trials[:6] == tuple(
        replace(t, held_out=r.held_out) for t, r in zip(stopped.trials, rest.trials, strict=False)
    )  # not done again: even their times are those of the first time
    more = go(split, out, resume=True, num_trials=6)
    assert len(more.trials) == 10
    assert [t.score for t in more.trials[:8]] == [t.score for t in whole.trials]


def test_interrupted_at_the_very_first(split, out):
    def press(_image):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # nothing is there that could be lost
        run(split, out, network=press)
    assert not out.exists()


def test_an_earlier_search_is_not_overwritten(split, out):
    run(split, out, num_trials=1)
    with pytest.raises(SettingsError, match=r"trials\.json exists already(.|\n)*--resume"):
        run(split, out, num_trials=1)


def test_another_search_is_not_gone_on_with(split, out):
    run(split, out, num_trials=1)
    with pytest.raises(SettingsError, match="other values of --seed"):
        run(split, out, resume=True, made_with={"--seed": 1})
    other = known_candidates("x.yaml", BASE_STRONG)
    with pytest.raises(SettingsError, match="the named settings"):
        run(split, out, resume=True, known=(other[0], other[4], *other[1:4]))


def test_another_network_is_not_gone_on_with(split, out):
    run(split, out, num_trials=1)
    with pytest.raises(RunError, match=r"scored 0\.\d{4} when.*scores 1\.0000 now"):
        run(split, out, num_trials=1, resume=True, network=unsure_but_right)


def test_a_damaged_history(split, out):
    run(split, out, num_trials=1)
    path = out / "trials.json"
    content = json.loads(path.read_text())
    del content["trials"]
    path.write_text(json.dumps(content))
    with pytest.raises(RunError, match="damaged"):
        run(split, out, resume=True)


# -- the whole verb -------------------------------------------------------------------------------


def test_from_python(tmp_path, capsys):
    run_folder = make_network(tmp_path / "run")
    data = make_data(tmp_path / "data", sides=(20, 30))
    result = tune_crf(run_folder, data, trials=1, images=4, seed=2)
    assert result.folder == run_folder / "crf-tuning"
    assert sorted(path.name for path in result.folder.iterdir()) == [
        "best.yaml", "trials.csv", "trials.json", "tuning.png",
    ]  # fmt: skip
    assert load_crf(result.folder / "best.yaml") == result.best.settings
    assert result.trials[-1].name == "tpe"
    assert (result.num_searched, result.num_held, result.stage) == (2, 2, None)
    assert capsys.readouterr() == ("", "")


# -- files ----------------------------------------------------------------------------------------


def test_rows_of_lists_and_missing_terms(tmp_path):
    strange = CRFSettings.model_validate(
        {"bilateral": {"sxy": [20, 30], "srgb": [3, 4, 5], "weight": 5}}
    )
    trials = (
        Trial(0, NO_CRF, None, 0.5, 0.0, 0.4),
        Trial(1, "dir/mine.yaml", strange, 0.6, 4.0, 0.3),
        Trial(2, "deconvnet", BASE, 0.4, 4.0),
    )
    write_trials_csv(tmp_path / "t.csv", trials)
    rows = list(csv.DictReader((tmp_path / "t.csv").read_text().splitlines()))
    assert rows[0]["bilateral.sxy"] == rows[0]["normalization"] == ""
    assert rows[1]["bilateral.sxy"] == "20,30"
    assert rows[1]["gaussian.sxy"] == ""
    assert rows[2]["miou_held_out"] == ""
    assert rows[2]["normalization"] == "symmetric"


def test_the_result_is_json(split, out):
    result = run(split, out, num_trials=1)
    content = json.loads(json.dumps(result.to_dict()))
    assert content["trials"][0]["settings"] is None
    assert content["trials"][1]["settings"] == crf_settings("deconvnet").to_json()
    assert content["folder"] == str(out)
    assert content["verdict"] == result.verdict()
    assert [t["held_out"] for t in content["checked"]] == [t.held_out for t in result.checked]
