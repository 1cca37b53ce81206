from __future__ import annotations

import base64
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from report.fake_runs import NASTY, make_run, write_log
from upscore.core.labels import CAMVID_LABELS, Labels
from upscore.core.run_folder import RunFolder
from upscore.report import html_helpers as parts
from upscore.report.page import comparison_page, run_page
from upscore.report.pictures import WIDTH, embed
from upscore.report.run_data import read_run

VOID_TAGS = {"meta", "img", "path", "use", "line", "rect", "br", "input", "link"}


class Reader(HTMLParser):
    """Checks that tags nest, and collects text, tags and links."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words: list[str] = []
        self.feed(page)
        assert self.stack == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        given = dict(attrs)
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href")]
        if "id" in given:
            self.ids.append(given["id"])
        assert not [name for name in given if name.startswith("on")]
        if tag not in VOID_TAGS:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID_TAGS:
            self.stack.pop()

    def handle_endtag(self, tag):
        if tag not in VOID_TAGS:
            assert self.stack.pop() == tag

    def handle_data(self, data):
        if self.stack and self.stack[-1] not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_page_shows_what_was_run(run):
    data = read_run(run.path)
    page = Reader(run_page(data))
    scores = data.splits[0].results.scores
    for words in (
        "first run",
        f"{scores.miou:.3f} mIoU on val, 11 classes",
        "6,000 iterations",
        "25.0 min of training",
        "14.3 M parameters",
        "upscore train fcn8s-quick",
        "Some CPU",
        "train 367, val 18",
        "sign_symbol",
        "straße",
        "Worst",
        "Typical",
        "Best",
        "Most frequent mix-ups",
        "best 0.6",
    ):
        assert words in page.text, words
    assert page.tags.count("img") == 4 * 16 + 1
    assert len(set(page.ids)) == len(page.ids)


def test_page_needs_nothing_else(run):
    page = run_page(read_run(run.path))
    reader = Reader(page)
    for link in reader.links:
        assert link.startswith(("data:image/", "#")), link[:80]
    assert "default-src 'none'" in page
    names = {link[1:] for link in reader.links if link.startswith("#")}
    assert names <= set(reader.ids)


@pytest.fixture
def nasty(tmp_path):
    return make_run(tmp_path / '<img src=x onerror="alert(1)"> & {{ 7*7 }}', labels=NASTY, num=6)


def test_names_are_escaped(nasty):
    data = read_run(nasty.path)
    for page in (run_page(data), comparison_page([data, data])):
        reader = Reader(page)
        assert reader.tags.count("script") == 1
        assert "<script>alert(1)</script>" in reader.text
        assert 'a & "b"' in reader.text
        assert "{{ 7*7 }}" in reader.text
        assert "Straße 道路" in reader.text
        assert "street & <b>00" in reader.text
        assert "i" not in reader.tags[reader.tags.index("footer") :]
        assert not [link for link in reader.links if link == "x"]


def test_two_splits_val_first(tmp_path):
    run = make_run(tmp_path / "run", splits=("test", "a b", "val"), num=4)
    page = Reader(run_page(read_run(run.path)))
    order = [page.text.index(f"Scores on {name}") for name in ("val", "test", "a b")]
    assert order == sorted(order)
    assert len(set(page.ids)) == len(page.ids)


def test_run_with_a_log_only(tmp_path):
    run = RunFolder(tmp_path / "early")
    run.path.mkdir()
    run.write_manifest({"data": {"path": "my data"}})
    write_log(run.log, rows=3)
    page = Reader(run_page(read_run(run.path)))
    assert "upscore evaluate" not in page.text  # there is nothing to evaluate
    assert "upscore train" in page.text
    assert "no recipe.yaml" in page.text
    assert page.tags.count("svg") == 1


def test_a_training_that_is_not_finished_says_how_far_it_came(run):
    at = {"iterations": 2, "fraction": 0.2, "finished": False}
    run.update_manifest(progress=at)
    page = Reader(run_page(read_run(run.path))).text
    assert (
        "training not finished, 2 iterations done, 20% of its budget" in page[: page.index("mIoU")]
    )
    assert "To go on with it" in page
    assert "--resume" in page
    run.update_manifest(progress=at | {"finished": True})
    assert "not finished" not in Reader(run_page(read_run(run.path))).text


@pytest.mark.parametrize("text", [None, "", "iteration,loss\n"])
def test_run_without_any_log(run, text):
    run.log.unlink()
    if text is not None:
        run.log.write_text(text)
    page = Reader(run_page(read_run(run.path)))
    assert "log.csv is missing or empty" in page.text
    assert "svg" not in page.tags


def test_missing_and_broken_pictures_are_noted(run):
    folder = run.evaluation / "val" / "examples"
    (folder / "worst-01-photo.png").unlink()
    (folder / "worst-02-error.png").write_bytes(b"broken")
    page = Reader(run_page(read_run(run.path)))
    assert page.text.count("picture is missing") == 2


def test_failures_are_listed(tmp_path):
    from report.fake_runs import make_photos, write_manifest
    from upscore.metrics.evaluate import evaluate
    from upscore.metrics.score_files import write_results

    run = write_manifest(tmp_path / "run", labels=CAMVID_LABELS, width=1)
    split, _ = make_photos(tmp_path / "photos", CAMVID_LABELS, num=13)
    for pair in split.pairs:
        pair.image.unlink()
    found = evaluate(lambda image: image[..., 0], split)
    write_results(found, run.evaluation / "val")
    page = Reader(run_page(read_run(run.path)))
    assert page.text.count("Not scored:") == 10
    assert "3 more images were not scored" in page.text
    assert "No pixel of this split could be scored" in page.text


@pytest.mark.parametrize("num", [1, 200])
def test_few_and_many_classes(tmp_path, num):
    labels = Labels.of([f"class {i}" for i in range(num)])
    run = make_run(tmp_path / "run", labels=labels, num=3)
    page = Reader(run_page(read_run(run.path)))
    assert f"of {num}" in page.text
    assert ("Confusion matrix of 200 classes" in run_page(read_run(run.path))) == (num == 200)


def test_size_is_sane(tmp_path):
    run = make_run(tmp_path / "run", size=(500, 750), num=4)
    assert len(run_page(read_run(run.path))) < 5 * 2**20 * 4 / 16  # noise is the worst case


# comparison


def test_comparison(tmp_path):
    first = make_run(tmp_path / "narrow")
    second = make_run(tmp_path / "wide", seed=2, error=0.5, width=1.0)
    page = comparison_page([read_run(first.path), read_run(second.path)])
    text = Reader(page).text
    assert "Comparison of 2 runs" in text
    assert "model.options.width 0.5 1.0" in text
    assert "optim.lr" not in text  # the same in both
    assert "difference" in text
    assert "The same images from val" in text
    assert page.count('class="best"') >= 4
    narrow = read_run(first.path).splits[0].results.scores.miou
    assert f"{narrow:.3f} mIoU on val: narrow" in text


def test_comparison_with_a_run_that_was_not_evaluated(tmp_path):
    first = make_run(tmp_path / "a", splits=("val", "test"), num=4)
    second = make_run(tmp_path / "b", num=4)
    third = make_run(tmp_path / "c", splits=(), num=4)
    third.log.unlink()
    text = Reader(comparison_page([read_run(r.path) for r in (first, second, third)])).text
    assert "c has not been evaluated. Type: upscore evaluate" in text
    assert "b has no scores on test. Type: upscore evaluate" in text
    assert "(no log)" in text


def test_comparison_of_what_cannot_be_compared(tmp_path):
    first = make_run(tmp_path / "x" / "run", labels=Labels.of(["a", "b"]), num=4)
    second = make_run(tmp_path / "y" / "run", labels=Labels.of(["a", "c"]), num=5)
    text = Reader(comparison_page([read_run(first.path), read_run(second.path)])).text
    assert "The runs' classes differ on val" in text
    assert "different images of val" in text
    assert str(first.path) in text  # both are called run
    assert str(second.path) in text


def test_same_run_twice_and_nothing_to_show(tmp_path):
    run = RunFolder(tmp_path / "empty")
    run.path.mkdir()
    run.write_manifest({})
    data = read_run(run.path)
    text = Reader(comparison_page([data, data])).text
    assert "None of these runs has been evaluated" in text
    assert "None of these runs has logged" in text
    assert "recipes, data and machine are the same" in text
    assert f"{run.path} (2)" in text


# pictures


def decode(uri: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))


def test_label_maps_stay_exact(tmp_path):
    labels = np.random.default_rng(0).integers(0, 11, (40, 1300), dtype=np.uint8)
    picture = Image.fromarray(labels)
    picture.putpalette(CAMVID_LABELS.palette().tobytes())
    picture.save(tmp_path / "map.png")
    found = embed(tmp_path / "map.png")
    assert found is not None
    assert (found.width, found.height) == (WIDTH, 20)
    assert found.uri.startswith("data:image/png")
    colors = {color for _, color in decode(found.uri).convert("RGB").getcolors()}
    assert colors <= set(CAMVID_LABELS.colors)  # no blends


def test_few_colours_stay_exact_and_photos_become_jpeg(tmp_path):
    rng = np.random.default_rng(0)
    flat = np.array([[255, 88, 0], [40, 40, 40]], dtype=np.uint8)[rng.integers(0, 2, (30, 30))]
    Image.fromarray(flat).save(tmp_path / "error.png")
    found = embed(tmp_path / "error.png")
    assert found is not None
    assert np.array_equal(np.asarray(decode(found.uri).convert("RGB")), flat)
    photo = rng.integers(0, 256, (30, 30, 3), dtype=np.uint8)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    found = embed(tmp_path / "photo.png")
    assert found is not None
    assert found.uri.startswith("data:image/jpeg")
    assert embed(tmp_path / "absent.png") is None


# words


def test_words():
    assert parts.duration(None) == parts.NO_VALUE == "\u2013"
    assert [parts.duration(s) for s in (3.2, 75, 3599, 3700, 90000)] == [
        "3 s", "1.2 min", "1 h 00 min", "1 h 02 min", "25 h 00 min",
    ]  # fmt: skip
    assert [parts.millions(n) for n in (12, 1234, 999_999, 14_321_000, 134_000_000, None)] == [
        "12", "1.23 k", "1000 k", "14.3 M", "134 M", "\u2013",
    ]  # fmt: skip
    assert parts.plain([True, None, 1e-5]) == "[yes, \u2013, 1e-05]"
    assert parts.plain({"weight": 3.0, "sxy": [1, 2]}) == "{weight 3.0, sxy [1, 2]}"
    assert re.fullmatch(r"[a-z0-9-]+", parts.anchor(3, '"><script>ä'))
