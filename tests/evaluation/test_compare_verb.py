"""``upscore compare`` on a small data set with small networks, from folders to files."""

from __future__ import annotations

import json

import numpy as np
import pytest

from evaluation.small_world import make_data, make_network
from upscore.cli import compare as verb
from upscore.cli.segmenter_options import SegmenterOptions
from upscore.core.images import read_image
from upscore.data import open_dataset
from upscore.errors import RunError, SettingsError, WorkError
from upscore.inference.load import load_segmenter
from upscore.metrics.confusion import Confusion
from upscore.workflows import compare as workflow

CPU = SegmenterOptions(device="cpu", precision="fp32", tile=0)


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", one=True)


@pytest.fixture
def runs(tmp_path):
    return [make_network(tmp_path / name, seed=seed) for name, seed in (("first", 3), ("[b]", 4))]


def words(runs):
    return tuple(map(str, runs))


def test_in_processes_of_their_own(runs, data, tmp_path, capsys):
    """The real thing, once."""
    verb.compare(words(runs), data=data, split="one", out=tmp_path / "out", options=CPU)
    content = json.loads((tmp_path / "out" / "compare.json").read_text("utf-8"))
    sample = open_dataset(data).split("one").read(0)
    for run, item in zip(runs, content["contenders"], strict=True):
        expected = Confusion(3)
        segmenter = load_segmenter(run, device="cpu", precision="fp32", tile=0)
        expected.update(sample.labels, segmenter.predict(sample.image))
        assert item["confusion"] == expected.to_json()
        assert item["name"] == run.name
        assert item["seconds_an_image"] > 0
        assert item["peak_memory_mib"] > 50
    shown = capsys.readouterr().out
    assert "first" in shown
    assert "cannot be told apart" in shown  # one image has no spread


@pytest.mark.usefixtures("compare_here")
def test_everything_is_written(runs, data, tmp_path, capsys):
    out = tmp_path / "out"
    (out / "differences").mkdir(parents=True)
    (out / "differences" / "99-old.png").write_bytes(b"of an earlier comparison")
    (out / "differences" / "mine.txt").write_text("keep")
    verb.compare(words(runs), data=data, out=out, pictures=2, sizes="relative", figures="png,svg",
                 options=CPU)  # fmt: skip
    page = (out / "page.html").read_text("utf-8")
    assert " against " in page
    assert "too few to say which is better" in page
    assert page.count("<svg") == 3
    assert (out / "trimap.svg").exists()
    assert r"\midrule" in (out / "contenders.tex").read_text("utf-8")
    content = json.loads((out / "compare.json").read_text("utf-8"))
    listed = [item["picture"] for item in content["most_different"]]
    assert len(listed) == 2
    for name in (*listed, "per_class.png", "trimap.png", "sizes.png"):
        assert min(read_image(out / name).shape[:2]) > 60
    found = {path.name for path in (out / "differences").iterdir()}
    assert found == {"mine.txt", *(name.split("/")[1] for name in listed)}
    assert content["about"]["data"]["fingerprint"] == open_dataset(data).fingerprint()
    assert [item["options"]["tile"] for item in content["about"]["contenders"]] == [0, 0]
    shown = capsys.readouterr().out
    for text in ("[b]", "95 % interval", "[red]tree[/red]", "share of the image", str(out)):
        assert text in shown
    assert f"{content['contenders'][1]['difference']['miou']:+.4f}" in shown


@pytest.mark.usefixtures("compare_here")
def test_without_out_nothing_is_written(runs, data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    verb.compare(words(runs), data=data, options=CPU)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("compare_here")
def test_other_order_of_the_same_classes(runs, data, tmp_path):
    turned = make_network(tmp_path / "turned", names=("car", "ground", "[red]tree[/red]"))
    verb.compare(words([runs[0], turned]), data=data, out=tmp_path / "out", options=CPU)
    content = json.loads((tmp_path / "out" / "compare.json").read_text("utf-8"))
    first, second = (np.array(item["confusion"]) for item in content["contenders"])
    np.testing.assert_array_equal(second[:, [2, 0, 1]], first)


def test_other_classes_are_refused_before_anything_is_opened(runs, data, tmp_path, monkeypatch):
    monkeypatch.setattr(workflow, "in_processes", lambda *_, **__: pytest.fail("opened"))
    other = make_network(tmp_path / "other", names=("car", "ground", "cow"))
    with pytest.raises(RunError, match=r"class names differ: .*other: cow.* Use a data set with"):
        verb.compare(words([runs[0], other]), data=data, options=CPU)


@pytest.mark.usefixtures("compare_here")
def test_bad_photos_are_reported_last(runs, data, tmp_path):
    (data.parent / "images" / "p1.png").write_bytes(b"broken")
    with pytest.raises(WorkError, match=r"1 of 6 images are left out for all(.|\n)*p1\.png"):
        verb.compare(words(runs), data=data, out=tmp_path / "out", options=CPU)
    content = json.loads((tmp_path / "out" / "compare.json").read_text("utf-8"))
    assert len(content["images"]) == 5
    assert [failure["name"] for failure in content["failures"]] == ["p1"]


@pytest.mark.usefixtures("compare_here")
def test_a_pipeline_and_its_stages(runs, data, tmp_path, capsys):
    path = tmp_path / "two.yaml"
    path.write_text(
        "answer: both\nstages:\n"
        "  one: {whole_image: {run: first, tile: 0}}\n"
        "  other: {whole_image: {run: '[b]', tile: 0}}\n"
        "  both: {ensemble: {of: [one, other], combine: mean}}\n"
    )
    contenders = (str(runs[0]), f"{path}:one", str(path))
    verb.compare(contenders, data=data, out=tmp_path / "out", options=CPU)
    content = json.loads((tmp_path / "out" / "compare.json").read_text("utf-8"))
    assert [item["name"] for item in content["contenders"]] == ["first", "one", "two"]
    of_run, of_stage, of_both = (item["confusion"] for item in content["contenders"])
    assert of_run == of_stage != of_both
    assert "one and first cannot be told apart" in capsys.readouterr().out


def test_a_process_that_dies(runs, data, monkeypatch):
    def dies(work, items, *, if_died, **_more):
        for item in items:
            yield item, work(item)
            if isinstance(item, int):
                raise WorkError(f"a process died; {if_died}")

    monkeypatch.setattr("upscore.workflows.compare.in_processes", dies)
    with pytest.raises(WorkError, match=r"died; it segmented with first; try a smaller --tile"):
        verb.compare(words(runs), data=data, options=CPU)


@pytest.mark.usefixtures("compare_here")
def test_wrong_arguments(runs, data, tmp_path):
    first, second = words(runs)
    with pytest.raises(SettingsError, match="found 1; type"):
        verb.compare((first,), data=data)
    with pytest.raises(SettingsError, match="found 0"):
        verb.compare((), data=data)
    with pytest.raises(SettingsError, match="pictures is -1"):
        verb.compare((first, second), data=data, pictures=-1)
    with pytest.raises(SettingsError, match="seed is -1"):
        verb.compare((first, second), data=data, seed=-1)
    with pytest.raises(SettingsError, match="no split 'tset'"):
        verb.compare((first, second), data=data, split="tset")
    with pytest.raises(FileNotFoundError, match="no such run folder"):
        verb.compare((first, str(tmp_path / "none")), data=data, options=CPU)
    with pytest.raises(FileNotFoundError):
        verb.compare((first, f"{first}:stage"), data=data, options=CPU)
    manifest = f"{first}/manifest.json:stage"
    with pytest.raises(SettingsError, match="only pipeline files have stages"):
        verb.compare((first, manifest), data=data, options=CPU)


def test_other_classes_are_refused_before_any_work(runs, data, tmp_path, monkeypatch):
    def only_open(work, items, **_more):
        for item in items:
            assert not isinstance(item, int)
            yield item, work(item)

    monkeypatch.setattr("upscore.workflows.compare.in_processes", only_open)
    bus = make_network(tmp_path / "bus", names=("ground", "tree", "car", "bus"))
    with pytest.raises(RunError, match=r"only in .*: tree, bus"):
        verb.compare(words([runs[0], bus]), data=data, options=CPU)
