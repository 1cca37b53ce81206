"""``fcn-report`` from folder to page, tiny."""

from __future__ import annotations

import csv
import json
import math
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from reproduce.support import Recorder, planned, run
from upscore.core.images import read_image, write_label_map
from upscore.core.labels import VOC_LABELS, VOID
from upscore.data import open_dataset
from upscore.data.toy import make_toy
from upscore.errors import InterruptedWorkError, NotFoundError, SettingsError, WorkError
from upscore.inference.load import load_segmenter
from upscore.metrics.confusion import Confusion
from upscore.reproduce import fcn_report, fcn_trainings
from upscore.reproduce import run as room
from upscore.reproduce.run import check_complete
from upscore.training import trainer as loop

NAMES = ["exp1", "exp2", "exp3", "conv-vgg-bilinear"]


def content(out):
    return json.loads((out / "results.json").read_text("utf-8"))


def test_everything_is_there(report, toy):
    for name in NAMES:
        assert (report / "runs" / name / "model" / "model.safetensors").exists()
    found = content(report)
    names = ["table1-settings", "table2-scores", "changes", "early-losses", "classes"]
    assert [table["name"] for table in found["tables"]] == names
    assert [table["number"] for table in found["tables"]] == [f"Table {n}" for n in range(1, 6)]
    assert [figure["number"] for figure in found["figures"]] == ["Figure 1", "Figure 2", "Figure 3"]
    for table in found["tables"]:
        rows = list(csv.reader((report / "tables" / f"{table['name']}.csv").open(encoding="utf-8")))
        assert rows[0] == table["header"]
        assert len(rows) == len(table["rows"]) + 1
        text = (report / "tables" / f"{table['name']}.md").read_text("utf-8")
        assert text.startswith(f"**{table['number']}.**")
    for figure in found["figures"]:
        png, svg = (report / path for path in figure["files"])
        assert min(read_image(png).shape[:2]) > 60
        assert svg.read_text("utf-8").rstrip().endswith("</svg>")
    manifest = found["manifest"]
    assert manifest["data"]["fingerprint"] == open_dataset(toy).fingerprint()
    assert set(manifest["recipes"]) == set(NAMES)
    assert manifest["recipes"]["exp2"]["optim"]["weight_decay"] == 1e-5
    assert manifest["machine"]["versions"]["torch"]
    assert len(found["checks"]) == 9


def measured_miou(model, toy):
    """Of a network, by its own confusion matrix."""
    split = open_dataset(toy).split("val")
    expected = Confusion(len(split.labels))
    segmenter = load_segmenter(model, device="cpu", precision="fp32")
    for place in range(len(split)):
        sample = split.read(place)
        expected.update(sample.labels, segmenter.predict(sample.image))
    return expected.scores().miou


def say_always(model, label):
    """Make the score layers of a saved network say one class, whatever it sees."""
    weights = load_file(model / "model.safetensors")
    for key, value in weights.items():
        if key.startswith("scores.") and key.endswith(".bias"):
            value[label] = 100.0
    save_file(weights, model / "model.safetensors")


def test_numbers_are_those_of_final_and_best_weights(report, toy):
    run_folder = report / "runs" / "exp3"
    say_always(run_folder / "state" / "last", 0)
    say_always(run_folder / "model", 3)
    run("fcn-report", toy, report)
    final = measured_miou(run_folder / "state" / "last", toy)
    best = measured_miou(run_folder, toy)
    assert final != best
    table = content(report)["tables"][1]
    row = dict(
        zip(table["header"], next(r for r in table["rows"] if r[0] == "Exp. 3"), strict=True)
    )
    assert row["mIoU, report"] == 0.5591
    assert row["mIoU, final weights"] == pytest.approx(final)
    assert row["mIoU, best weights"] == pytest.approx(best)


def test_all_experiments_have_the_same_number_of_validations(report):
    table = content(report)["tables"][1]
    column = table["header"].index("validations")
    in_logs = []
    for name in NAMES:
        with (report / "runs" / name / "log.csv").open(newline="") as stream:
            in_logs.append(sum(bool(row["val_miou"]) for row in csv.DictReader(stream)))
    assert [row[column] for row in table["rows"]] == in_logs
    assert len(set(in_logs)) == 1


def test_the_page_begins_with_its_budget(report):
    page = (report / "page.html").read_text("utf-8")
    begin = (
        '</h1>\n<p class="lead budget">Budget: budget.iterations=4 for each of 4 trainings, which'
    )
    assert f"{begin} were 16 iterations and 32 samples in " in page


def test_the_loss_starts_at_that_of_equal_scores(report, toy):
    """Eight classes: ln 8, by the log and on the page."""
    num = len(open_dataset(toy).labels)
    for name in NAMES:
        with (report / "runs" / name / "log.csv").open(newline="") as stream:
            first = next(csv.DictReader(stream))
        assert first["iteration"] == "1"
        assert float(first["loss"]) == pytest.approx(math.log(num), abs=1e-5)
    (table,) = [t for t in content(report)["tables"] if t["name"] == "early-losses"]
    assert [row[1] for row in table["rows"]] == [3.12, 3.05, None]
    assert [row[3] for row in table["rows"]] == [1.30, 1.32, None]
    assert [row[2] for row in table["rows"]] == pytest.approx([math.log(num)] * 3, abs=1e-5)
    (check,) = [c for c in content(report)["checks"] if c["sentence"].startswith("The loss starts")]
    assert check["agrees"] is True


def test_the_clock_counts_only_where_it_ended_trainings(report):
    """The budget is in minutes, but --set gave each training iterations."""
    (check,) = [c for c in content(report)["checks"] if "slows the first descent" in c["sentence"]]
    assert "by the clock" not in check["found"]


def test_a_weighted_loss_has_no_expected_start(toy, tmp_path):
    run("fcn-report", toy, tmp_path / "out", assignments=["loss.class_weights=median_frequency"])
    found = content(tmp_path / "out")["checks"]
    (check,) = [c for c in found if c["sentence"].startswith("The loss starts")]
    assert check["agrees"] is None


def test_a_plan_of_before_a_setting_came_is_gone_on_with(report, toy):
    path = report / "plan.json"
    plan = json.loads(path.read_text("utf-8"))
    for recipe in plan["recipes"].values():
        del recipe["statistics"]  # which has its default
    path.write_text(json.dumps(plan), "utf-8")
    run("fcn-report", toy, report)
    plan["recipes"]["exp1"]["seed"] = 5
    path.write_text(json.dumps(plan), "utf-8")
    with pytest.raises(
        SettingsError, match=r"other values of recipes \(exp1\.seed is 5 in the run, 0 now\)"
    ):
        run("fcn-report", toy, report)


def test_page_is_whole(report):
    page = (report / "page.html").read_text("utf-8")
    assert len(page) < 15_000_000
    assert not re.search(r"https?:", re.sub(r'xmlns(:xlink)?="[^"]*"', "", page))
    for text in ("Table 2.", "Figure 3.", "0.5591", "conv-vgg-bilinear", "weight_decay"):
        assert text in page
    assert page.count("<svg") == 1
    assert page.count('class="zoom"') == 1 + 2 * 5 + 2 * 2 * 3  # chart, figure 2, figure 3


def test_a_rerun_does_nothing_again(report, toy):
    recorder = Recorder()
    before = {path: path.stat().st_mtime_ns for path in (report / "labels").rglob("*.png")}
    scores = (report / "measurements" / "scores.json").stat().st_mtime_ns
    made = run("fcn-report", toy, report, on_progress=recorder)
    assert recorder.trainings == []
    assert {path: path.stat().st_mtime_ns for path in (report / "labels").rglob("*.png")} == before
    assert (report / "measurements" / "scores.json").stat().st_mtime_ns == scores
    assert made.missing == ()
    check_complete(made)


def test_killed_and_gone_on_with(toy, tmp_path, monkeypatch, report):
    """Stopped in the second training: the first is kept, the numbers are the same in the end."""
    step = loop.Training._step
    count = iter(range(100))

    def stopped(training, batches):
        if next(count) == 6:
            training._stop.wanted = True
        return step(training, batches)

    monkeypatch.setattr(loop.Training, "_step", stopped)
    out = tmp_path / "stopped"
    with pytest.raises(InterruptedWorkError, match=r"stopped in Exp. 2 .*same command"):
        run("fcn-report", toy, out)
    recorder = Recorder()
    run("fcn-report", toy, out, on_progress=recorder)
    assert recorder.trainings == NAMES[1:]
    ours, whole = content(out)["scores"], content(report)["scores"]
    for one, other in zip(ours["contenders"], whole["contenders"], strict=True):
        assert one["confusion"] == other["confusion"]


def test_other_settings_are_refused(report, toy):
    with pytest.raises(SettingsError, match=r"recipes \(exp1\.seed is 0 .*; .* and 1 more\)"):
        run("fcn-report", toy, report, assignments=["seed=1"])
    with pytest.raises(SettingsError, match=r"values of budget \(minutes=1, now minutes=2\)"):
        run("fcn-report", toy, report, budget="minutes=2")


def test_a_training_that_fails(toy, tmp_path, monkeypatch):
    """The others go on, the page says what is missing, and the next call tries again."""
    good = fcn_trainings.trainings

    def one_bad(context):
        plans = good(context)
        bad = plans[1].recipe.model_copy(
            update={"init": plans[1].recipe.init.model_copy(update={"weights": "none/here"})}
        )
        return [replace(plan, recipe=bad) if plan.name == "exp2" else plan for plan in plans]

    source = room.Source(one_bad, lambda _context: None, fcn_report.document)
    monkeypatch.setattr(room, "SOURCES", {"fcn-report": source})
    made = run("fcn-report", toy, tmp_path / "out")
    with pytest.raises(WorkError, match=r"not complete(.|\n)*Exp. 2 is missing"):
        check_complete(made)
    assert "Exp. 2 is missing" in (tmp_path / "out" / "page.html").read_text("utf-8")
    rows = content(tmp_path / "out")["tables"][1]["rows"]
    column = content(tmp_path / "out")["tables"][1]["header"].index("mIoU, final weights")
    assert [row[column] is None for row in rows] == [False, True, False, False]
    verdicts = [check["agrees"] for check in content(tmp_path / "out")["checks"]]
    assert verdicts[0] is None


def test_out_of_memory_in_one_training_does_not_stop_the_others(toy, tmp_path, monkeypatch):
    step = loop.Training._step

    def fail_in_exp2(training, batches):
        if training.run.path.name == "exp2":
            raise RuntimeError("CUDA out of memory")
        return step(training, batches)

    monkeypatch.setattr(loop.Training, "_step", fail_in_exp2)
    made = run("fcn-report", toy, tmp_path / "out")
    (missing,) = made.missing
    assert re.search("Exp. 2 is missing: .*exp2: not enough memory to train it .*; .*size", missing)
    assert (tmp_path / "out" / "runs" / "conv-vgg-bilinear" / "model").is_dir()
    json.dumps(made.to_dict())


def test_no_command_is_recorded_outside_the_command_line(report, toy, monkeypatch):
    """pytest is no upscore command, so the page must not name one."""
    page = (report / "page.html").read_text("utf-8")
    assert content(report)["manifest"]["command"] is None
    assert "upscore -" not in page
    assert ">command<" not in page
    monkeypatch.setattr("sys.argv", ["/usr/bin/upscore", "reproduce", "fcn-report", "--out", "a b"])
    run("fcn-report", toy, report)
    page = (report / "page.html").read_text("utf-8")
    assert "upscore reproduce fcn-report --out &#39;a b&#39;" in page
    assert ">command<" in page


def test_photo_and_class_that_are_asked_for(report, toy):
    split = open_dataset(toy).split("val")
    name = split.pairs[1].name
    run("fcn-report", toy, report, photo=name)
    page = (report / "page.html").read_text("utf-8")
    figure3 = page[page.index('id="figure3-plain-and-fcn8s"') :]
    assert name in figure3
    assert split.pairs[0].name not in figure3[: figure3.index("</section>")]
    with pytest.raises(SettingsError, match="no class 'unicorn'"):
        run("fcn-report", toy, report, class_name="unicorn")
    with pytest.raises(SettingsError, match="--photo is 'none'"):
        run("fcn-report", toy, report, photo="none")


def test_pictures_of_the_data_can_be_left_out(report, toy):
    with_data = (report / "page.html").read_text("utf-8")
    run("fcn-report", toy, report, show_data=False)
    page = (report / "page.html").read_text("utf-8")
    assert ">photo<" in with_data
    assert ">photo<" not in page
    assert ">truth<" not in page
    assert "left out of its figures" in page
    assert page.count("<img ") == with_data.count("<img ") - 2 * with_data.count(">photo<")
    assert content(report)["tables"][1]["rows"][0][2] is not None


def test_photo_without_a_labelled_pixel(toy, tmp_path):
    data = shutil.copytree(toy, tmp_path / "toy")
    pair = open_dataset(data).split("val").pairs[0]
    write_label_map(data / "SegmentationClass" / pair.mask.name, np.full((48, 64), VOID, np.uint8),
                    VOC_LABELS)  # fmt: skip
    with pytest.raises(SettingsError, match="of which no pixel has a class"):
        run("fcn-report", data, tmp_path / "out", photo=pair.name)
    assert not (tmp_path / "out").exists()


def test_data_that_cannot_be_used(toy, tmp_path):
    with pytest.raises(SettingsError, match="no split 'dev'; there are train"):
        run("fcn-report", toy, tmp_path / "out", split="dev")
    with pytest.raises(NotFoundError):
        run("fcn-report", toy / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_folder_of_something_else(toy, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    with pytest.raises(SettingsError, match="holds no reproduction"):
        run("fcn-report", toy, tmp_path / "out")


@pytest.mark.parametrize("budget", ["minutes=4", "iterations=1004", "papers"])
def test_recipes_of_the_report(budget, toy, tmp_path, monkeypatch):
    """Without training them: lr, decay and length stand to each other as in its Table 1."""
    plans, _ = planned(monkeypatch, "fcn-report", toy, tmp_path / "out", budget=budget)
    by_name = {name: plan.recipe for name, plan in plans.items()}
    assert list(by_name) == NAMES
    decays = [by_name[name].optim.weight_decay for name in NAMES]
    assert decays == [1e-6, 1e-5, 1e-6, 1e-6]
    assert len({recipe.optim.lr for recipe in by_name.values()}) == 1
    assert all(recipe.optim.name == "adam" for recipe in by_name.values())
    if budget == "papers":
        assert [by_name[name].budget.iterations for name in NAMES] == [20000, 20000, 40000, 20000]
        assert by_name["exp1"].init.weights == "vgg16"
        return
    assert by_name["exp1"].augment.crop == (64, 64)
    if budget == "minutes=4":
        assert [by_name[name].budget.minutes for name in NAMES] == [0.8, 0.8, 1.6, 0.8]
    else:
        assert [by_name[name].budget.iterations for name in NAMES] == [200, 200, 400, 200]


def test_one_class(tmp_path):
    folder = make_toy(tmp_path / "toy", num=4, size=(48, 64))
    (tmp_path / "dataset.yaml").write_text(
        "image: toy/JPEGImages/*.jpg\nmask: toy/SegmentationClass/*.png\nmasks: indices\n"
        "splits: {train: toy/ImageSets/Segmentation/train.txt, "
        "val: toy/ImageSets/Segmentation/val.txt}\nclasses:\n  - name: thing\n"
    )
    assert folder.exists()
    with pytest.raises(ValueError, match=r"has one class, 'thing'"):
        run("fcn-report", tmp_path / "dataset.yaml", tmp_path / "out")
