"""``reproduce history`` from folder to pages, tiny; what fails, and what resumes; its table."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from string import Formatter

import pytest

from reproduce.support import TINY, Recorder, planned
from upscore.cli.reproduce import parse_systems
from upscore.core.settings import build
from upscore.errors import RunError, SettingsError, WorkError
from upscore.inference.load import load_segmenter
from upscore.inference.pipeline.settings import PipelineSettings
from upscore.reproduce import history_measures, trainings
from upscore.reproduce.history_measures import groups_of, pairs_of
from upscore.reproduce.history_methods import history
from upscore.reproduce.run import check_complete, reproduce
from upscore.training.recipe import load_recipe

METHODS = ("fcn32s", "fcn8s", "unet")
NO_FC = [text for text in TINY if "fc_width" not in text and "budget" not in text]


class Text(HTMLParser):
    """The text of a page without drawings, scripts and settings; values of cells."""

    HIDDEN = ("svg", "style", "script", "pre", "footer", "dl")

    def __init__(self, page):
        super().__init__()
        self.depth, self.text, self.values, self.ids = 0, [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.depth += tag in self.HIDDEN
        if tag == "td":
            self.values.append(found["data-value"])
        if tag in ("figure", "section"):
            self.ids.append(found.get("id"))

    def handle_endtag(self, tag):
        self.depth -= tag in self.HIDDEN

    def handle_data(self, data):
        if not self.depth:
            self.text.append(data)

    @property
    def numbers(self):
        return re.findall(r"[+-]?\d+\.\d{3,}", " ".join(self.text))


def run(toy, out, **options):
    return reproduce(
        "history", data=toy, out=out, budget="iterations=6", assignments=NO_FC, methods=METHODS,
        **options,
    )  # fmt: skip


@pytest.fixture(scope="module")
def made(toy, tmp_path_factory):
    """A history whose last training failed at first."""
    out = tmp_path_factory.mktemp("history") / "out"
    train = trainings.train

    def fails(recipe, **options):
        if options["out"].name == "unet":
            raise RunError("a training that cannot be")
        return train(recipe, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainings, "train", fails)
        first = run(toy, out)
    page = (out / "page.html").read_text("utf-8")
    recorder = Recorder()
    second = run(toy, out, on_progress=recorder)
    return out, first, page, recorder, second


def test_a_failed_training_is_named_and_the_others_go_on(made):
    _, first, page, recorder, second = made
    (message,) = first.missing
    assert "U-Net is missing" in message
    assert "a training that cannot be" in message
    with pytest.raises(WorkError, match=r"not complete:\n.*U-Net is missing"):
        check_complete(first)
    assert set(first.scores["stages"]) == {"fcn32s", "fcn8s"}
    assert "This step has no result" in page
    assert message.split(":")[0] in page
    # the same command trains what is missing, and nothing else
    assert recorder.trainings == ["unet"]
    assert second.missing == ()
    check_complete(second)


def test_pages_in_both_languages_have_the_same_numbers(made):
    out, _, _, _, result = made
    assert [path.name for path in (result.page, *result.translations)] == [
        "page.html", "page.ko.html",
    ]  # fmt: skip
    english, korean = (
        Text(path.read_text("utf-8")) for path in (result.page, *result.translations)
    )
    assert english.values
    assert len(english.numbers) > 20
    assert english.numbers == korean.numbers
    assert english.ids == korean.ids
    assert {*english.ids} >= {"systems", "figure-years", "photos"} | {
        f"{what}-{name}" for name in METHODS for what in ("scheme", "photo", "scores")
    }
    page = result.page.read_text("utf-8")
    assert '<html lang="en">' in page
    assert '<a href="page.ko.html" lang="ko" hreflang="ko">한국어</a>' in page
    page = (out / "page.ko.html").read_text("utf-8")
    assert '<html lang="ko">' in page
    assert '<a href="page.html" lang="en" hreflang="en">English</a>' in page
    assert "How it was made" not in page


def test_scores_and_costs(made):
    out, _, _, _, result = made
    found = json.loads((out / "results.json").read_text("utf-8"))
    stages = found["scores"]["stages"]
    assert [*stages] == list(METHODS)
    for name, one in stages.items():
        costs = one["costs"]
        assert costs["iterations"] == 2
        assert costs["prediction"] > 0
        saved = load_segmenter(out / "runs" / name)
        assert costs["parameters"] > 0
        assert saved.labels.names[0] == "background"
    # the finer FCN has two score layers more: for 4 channels each, of 8 classes, with biases
    finer = stages["fcn8s"]["costs"]["parameters"] - stages["fcn32s"]["costs"]["parameters"]
    assert finer == 2 * (4 * 8 + 8)
    gains = {(gain["of"], gain["to"]): gain for gain in found["scores"]["gains"]}
    assert [*gains] == [("fcn8s", "fcn32s"), ("unet", "fcn8s")]
    for (of, to), gain in gains.items():
        for score, values in (("miou", "scores"), ("boundary_iou", "boundary_iou")):
            key = "miou" if score == "miou" else "mean"
            expected = stages[of][values][key] - stages[to][values][key]
            difference = gain[score]["difference"]
            assert difference["miou"] == pytest.approx(expected)
            assert difference["low"] <= difference["high"]
    assert load_segmenter(out / "pipeline.yaml").labels.names[0] == "background"
    assert result.to_dict()["translations"] == [str(out / "page.ko.html")]


def test_a_system_that_can_label_no_photo_is_named(made, toy, monkeypatch):
    """And the next call, without data, labels the photos again."""
    out = made[0]
    before = (out / "page.ko.html").read_text("utf-8")
    load = history_measures.load_pipeline
    kept = (out / "labels" / "unet" / "000000.png").read_bytes()
    for path in (out / "labels" / "unet").glob("*.png"):
        path.unlink()

    def fails(path, *, stages, **options):
        if "unet" in stages:
            raise RunError("weights that nobody can read")
        return load(path, stages=stages, **options)

    with monkeypatch.context() as patch:
        patch.setattr(history_measures, "load_pipeline", fails)
        result = run(toy, out)
    (message,) = result.missing
    assert message.startswith("unet: no photo could be labelled:")
    assert "weights that nobody can read" in message
    assert set(result.scores["stages"]) == {"fcn32s", "fcn8s"}
    assert result.scores["photos"] == 2
    assert run(toy, out, show_data=False).missing == ()
    assert (out / "labels" / "unet" / "000000.png").read_bytes() == kept
    after = (out / "page.ko.html").read_text("utf-8")
    assert "data:image/jpeg" in before
    assert "data:image/jpeg" not in after
    assert after.count("data:image/png") < before.count("data:image/png")


def test_shares_and_sizes(toy, tmp_path, monkeypatch):
    names = ("fcn16s", "edeconvnet-crf")
    plans, _ = planned(
        monkeypatch, "history", toy, tmp_path / "out", budget="iterations=400", methods=names
    )
    assert {name: plan.recipe.budget.iterations for name, plan in plans.items()} == {
        "fcn16s": 100, "fcn8s": 100, "deconvnet": 200,
    }  # fmt: skip
    assert plans["fcn16s"].recipe.model.name == "fcn16s"
    assert plans["fcn16s"].recipe.augment.crop == (64, 64)
    assert plans["deconvnet"].recipe.augment.crop == (96, 96)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": "papers"}, r"--budget is papers, but a history.*minutes=30"),
        ({"methods": ["fcn8s", "unett"]}, r"methods has no 'unett'.*unet"),
        ({"methods": ["unet"]}, r"--methods is 'unet'; a history has two or more"),
        ({"budget": "iterations=1"}, r"expected at least iterations=2"),
    ],
)
def test_what_cannot_be(options, message, toy, tmp_path):
    given = {"budget": "iterations=9", "methods": ["fcn8s", "unet"], **options}
    with pytest.raises(SettingsError, match=message):
        reproduce("history", data=toy, out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


def test_names_of_systems_as_they_are_typed():
    assert parse_systems(None) == ()
    assert parse_systems("unet, fcn8s,unet") == ("fcn8s", "unet")  # in the order of their years
    with pytest.raises(SettingsError, match="--methods is empty; name two or more of patch-cnn, "):
        parse_systems(" , ")


def test_texts_are_in_both_languages():
    table = history()
    assert set(table.words) == {"en", "ko"}
    english, korean = table.words["en"], table.words["ko"]
    assert set(english) == set(korean)
    for name, text in english.items():
        fields, others = (
            {field for _, field, _, _ in Formatter().parse(one) if field}
            for one in (text, korean[name])
        )
        assert fields == others, name
    names = {name for step in table.steps for text, _ in step.scheme.columns
             for name in text.split("|")}  # fmt: skip
    names |= {name for step in table.steps for *_, name in step.scheme.skips}
    assert set(table.drawings["ko"]) <= names
    for step in table.steps:
        for texts in (step.adds, step.idea, step.source):
            assert set(texts) == {"en", "ko"}
            assert all(texts.values())
            assert re.search("[가-힣]", texts["ko"])
            assert not re.search("[가-힣]", texts["en"])


def test_the_table_of_systems():
    table = history()
    years = [step.year for step in table.steps]
    assert years == sorted(years)
    names = [step.stage for step in table.steps]
    for place, step in enumerate(table.steps):
        assert (step.after in names[:place]) == (place > 0)
        assert set(step.titles) == set(step.parts)
        assert table.runs(step.stage) <= set(table.trainings)
        last = len(step.scheme.columns)
        assert all(0 <= first < to < last for first, to, _ in step.scheme.skips)
        assert all(0 < height <= 1 for _, height in step.scheme.columns)
    for training in table.trainings.values():
        load_recipe(training.recipe, training.set)
    build(PipelineSettings, {"answer": "unet", "stages": table.stages}, "history.yaml")
    assert table.needed(table.choose(["edeconvnet-crf", "unet"])) == ["fcn8s", "deconvnet", "unet"]


def test_stages_that_share_a_network_are_computed_together():
    table = history()
    wanted = ("fcn8s", "unet", "deconvnet", "edeconvnet", "segnet")
    stages = {name: table.stages[name] for name in wanted}
    assert groups_of(stages) == [
        ["unet"], ["fcn8s", "deconvnet", "edeconvnet"], ["segnet"],
    ]  # fmt: skip


def test_a_system_is_compared_with_the_one_before_it():
    table = history()
    known = {step.stage: step for step in table.steps}

    def pairs(*names):
        return pairs_of([known[name] for name in names])

    assert pairs("fcn8s", "deconvnet", "edeconvnet-crf", "segnet") == [
        ("deconvnet", "fcn8s"), ("edeconvnet-crf", "deconvnet"), ("edeconvnet-crf", "edeconvnet"),
        ("segnet", "deconvnet"),
    ]  # fmt: skip
    assert pairs("fcn32s", "fcn8s", "unet") == [("fcn8s", "fcn32s"), ("unet", "fcn8s")]
