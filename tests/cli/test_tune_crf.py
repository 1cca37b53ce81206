"""``upscore tune-crf`` from folder to files, with a small network on small generated photos."""

from __future__ import annotations

import csv
import re
import shlex
import subprocess
import sys

import pytest

from evaluation.small_world import make_data, make_network
from upscore.cli.main import main
from upscore.cli.tune_crf import results_table
from upscore.core.images import read_image
from upscore.crf.search import NO_CRF, Trial, read_history
from upscore.crf.settings import CRFSettings, crf_settings, load_crf
from upscore.data import open_dataset
from upscore.inference.load import load_segmenter
from upscore.metrics.confusion import Confusion
from upscore.workflows import tune_crf as workflow
from upscore.workflows.tune_crf import TuneResult


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "my data", sides=(20, 30), one=True)


@pytest.fixture
def run(tmp_path):
    return make_network(tmp_path / "run")


def tune(run, data, *more, status=0):
    words = ["tune-crf", str(run), "--data", str(data), "--trials", "3", "--sampler", "random"]
    if status == 0:
        main([*words, *more])
        return
    with pytest.raises(SystemExit) as stop:
        main([*words, *more])
    assert stop.value.code == status


def flat(text):
    """Without line breaks and colours: a message may be wrapped anywhere."""
    return re.sub(r"\s+", " ", re.sub(r"\x1b\[[0-9;]*m", "", text))


def test_everything_is_written(run, data, capsys):
    tune(run, data)
    folder = run / "crf-tuning"
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.yaml", "trials.csv", "trials.json", "tuning.png",
    ]  # fmt: skip
    trials, about = read_history(folder / "trials.json")
    assert [t.name for t in trials] == [
        NO_CRF, "deconvnet", "released", "deeplab", *["random"] * 3,
    ]  # fmt: skip
    assert about["--split"] == "val"
    assert sorted(about["--images"]) == [f"p{i}" for i in range(6)]
    assert about["the network's options"]["tile"] == 1024
    best = max(trials[1:], key=lambda t: t.score)
    assert load_crf(folder / "best.yaml") == best.settings
    text = (folder / "best.yaml").read_text(encoding="utf-8")
    assert text.startswith("# Settings of a dense CRF")
    assert f"mIoU {best.score:.4f}; without a CRF {trials[0].score:.4f}" in text
    assert f"did not see: {best.held_out:.4f}" in text
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["miou_searched"]) for row in rows] == [t.score for t in trials]
    assert rows[0]["bilateral.sxy"] == ""
    assert rows[3]["bilateral.sxy"] == "50.0"
    assert read_image(folder / "tuning.png").shape[0] > 300
    captured = capsys.readouterr()
    shown = captured.out
    for trial in trials:
        assert f"{trial.score:.4f}" in shown
        assert f"{trial.held_out:.4f}" in shown
    assert "held out: mIoU on 3 other images" in flat(shown)
    assert "released*" in shown
    assert "not normalised symmetrically" in flat(shown)
    assert f"Next: upscore evaluate {run} --data {shlex.quote(str(data))} --crf {folder}" in shown
    assert "trial   1" in captured.err


def test_no_crf_scores_what_the_network_scores(run, data):
    tune(run, data, "--images", "4", "--precision", "fp32")
    trials, about = read_history(run / "crf-tuning" / "trials.json")
    split = open_dataset(data).split("val")
    segmenter = load_segmenter(run, precision="fp32")
    by_name = {pair.name: i for i, pair in enumerate(split.pairs)}
    for half, score in ((0, trials[0].score), (1, trials[0].held_out)):
        confusion = Confusion(3)
        for name in about["--images"][half::2]:
            sample = split.read(by_name[name])
            confusion.update(sample.labels, segmenter.predict(sample.image))
        assert confusion.scores().miou == pytest.approx(score, abs=1e-3)


def test_best_is_what_evaluate_takes(run, data, capsys):
    tune(run, data)
    capsys.readouterr()
    main(["evaluate", str(run), "--data", str(data),
          "--crf", str(run / "crf-tuning" / "best.yaml")])  # fmt: skip
    assert "mIoU" in capsys.readouterr().out


def test_other_order_of_the_same_classes(tmp_path, data):
    tune(make_network(tmp_path / "a"), data)
    turned = make_network(tmp_path / "b", names=("car", "ground", "[red]tree[/red]"))
    tune(turned, data)
    first, _ = read_history(tmp_path / "a" / "crf-tuning" / "trials.json")
    second, _ = read_history(turned / "crf-tuning" / "trials.json")
    assert [t.settings for t in first] == [t.settings for t in second]
    assert first[0].score != second[0].score  # the same network under other names


def test_start_from_a_file(run, data, tmp_path, capsys):
    mine = tmp_path / "mine.yaml"
    mine.write_text("bilateral: {sxy: 9, srgb: 7, weight: 2}\niterations: 2\n")
    tune(run, data, "--start", str(mine), "--out", str(tmp_path / "out"), "--split", "val")
    trials, _ = read_history(tmp_path / "out" / "trials.json")
    assert len(trials) == 8
    assert trials[4].name == str(mine)
    assert trials[4].settings == load_crf(mine)
    for trial in trials[5:]:
        assert trial.settings.gaussian is None
        assert trial.settings.iterations == 2
    assert not (run / "crf-tuning").exists()
    captured = capsys.readouterr()
    assert re.search(r"^ +4 +mine\.yaml +9/7/2 ", captured.out, re.MULTILINE)
    assert f"{mine} (9/7/2)" in captured.err


def test_iterations(run, data):
    tune(run, data, "--iterations", "3")
    trials, _ = read_history(run / "crf-tuning" / "trials.json")
    assert [t.settings.iterations for t in trials[1:]] == [10, 10, 10, 3, 3, 3, 3]
    assert trials[4].name == "deconvnet, 3 iterations"


def test_ctrl_c_saves_and_says_how_to_go_on(run, data, monkeypatch, capsys):
    whole = run / "whole"
    tune(run, data, "--out", str(whole))
    write = workflow.write_history

    def press(path, trials, *, about):
        write(path, trials, about=about)
        if len(trials) == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(workflow, "write_history", press)
    capsys.readouterr()
    tune(run, data, status=130)
    folder = run / "crf-tuning"
    assert sorted(path.name for path in folder.iterdir()) == [
        "best.yaml", "trials.csv", "trials.json", "tuning.png",
    ]  # fmt: skip
    message = flat(capsys.readouterr().err)
    assert f"stopped after 5 of 7 trials; the results are in {folder}" in message
    assert "To continue, run the same command with --resume" in message
    assert "was not measured" in (folder / "best.yaml").read_text("utf-8")
    load_crf(folder / "best.yaml")
    monkeypatch.undo()
    tune(run, data, "--resume")
    rows = [
        [(t.settings, t.score, t.held_out) for t in read_history(place / "trials.json")[0]]
        for place in (folder, whole)
    ]
    assert rows[0] == rows[1]


def test_ctrl_c_before_any_trial(run, data, monkeypatch, capsys):
    def press(*_args, **_more):
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(workflow, "search", press)
    tune(run, data, status=130)
    assert "stopped after 0 of 7 trials; nothing was tried so far" in flat(capsys.readouterr().err)
    assert not (run / "crf-tuning").exists()


def test_bad_files_are_listed_last(run, data, capsys):
    (data.parent / "images" / "p1.png").write_bytes(b"broken")
    tune(run, data, status=1)
    captured = capsys.readouterr()
    assert re.search(r"1 of 6 images could not be used.*p1\.png", flat(captured.err))
    assert "mIoU" in captured.out
    assert (run / "crf-tuning" / "best.yaml").exists()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--trials", "0"], "--trials is 0; allowed: 1 or more"),
        (["--minutes", "0"], "--minutes is 0; allowed: over 0"),
        (["--images", "1"], "--images is 1; allowed: 2 or more"),
        (["--iterations", "0"], "--iterations is 0; allowed: 1 or more"),
        (["--seed", "-1"], "--seed is -1; allowed: 0 or more"),
        (["--split", "one"], "split 'one' has 1 image; tuning needs 2 or more"),
        (["--split", "tset"], "no split 'tset'"),
        (["--start", "deconvent"], "did you mean 'deconvnet'?"),
        (["--start", "none.yaml"], "none.yaml: no such file"),
        (["--data", "none"], "none"),
    ],
)
def test_wrong_arguments(run, data, capsys, more, message):
    tune(run, data, *more, status=2)
    assert message in flat(capsys.readouterr().err)
    assert not (run / "crf-tuning").exists()


def test_unknown_sampler(run, data, capsys):
    tune(run, data, "--sampler", "grid", status=2)
    message = flat(capsys.readouterr().err)
    assert "--sampler is 'grid'; allowed: " in message


def test_optuna_that_is_not_installed(run, data, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)  # makes the import fail
    tune(run, data, status=2)
    assert 'pip install "upscore[tune]"' in flat(capsys.readouterr().err)
    assert not (run / "crf-tuning").exists()


def test_other_classes(tmp_path, data, capsys):
    run = make_network(tmp_path / "run", names=("ground", "tree", "car", "bus"))
    tune(run, data, status=2)
    assert ": tree, bus" in flat(capsys.readouterr().err)


def test_a_second_search_wants_resume_or_another_folder(run, data, capsys):
    tune(run, data)
    tune(run, data, status=2)
    assert "--resume" in capsys.readouterr().err
    tune(run, data, "--resume", "--seed", "1", status=2)
    assert "other values of --images, --seed" in flat(capsys.readouterr().err)


def test_a_file_in_the_way(run, data, tmp_path, capsys):
    (tmp_path / "taken").write_text("mine")
    tune(run, data, "--out", str(tmp_path / "taken"), status=1)
    assert "a file stands where a folder is needed" in flat(capsys.readouterr().err)


def test_table_of_lists_and_missing_terms(tmp_path):
    from rich.console import Console

    strange = CRFSettings.model_validate(
        {"bilateral": {"sxy": [20, 30], "srgb": [3, 4, 5], "weight": 5}}
    )
    trials = (
        Trial(0, NO_CRF, None, 0.5, 0.0, 0.4),
        Trial(1, "[bold]dir/mine.yaml", strange, 0.6, 4.0, 0.3),
        Trial(2, "deconvnet", crf_settings("deconvnet"), 0.4, 4.0),
    )
    result = TuneResult(trials, 3, 8, 7, trials, (-0.2, 0.0), (), tmp_path)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(results_table(result).screen())
    text = capture.get()
    assert "mine.yaml" in text
    assert "20,30/3,4,5/5" in text
    assert "0.50" in text  # seconds an image


def test_help_imports_nothing_heavy():
    heavy = ("torch", "numba", "numpy", "matplotlib", "pydantic", "optuna")
    code = (
        "import sys\nfrom upscore.cli import main\n"
        "try: main(['tune-crf', '--help'])\nexcept SystemExit: pass\n"
        f"print([m for m in {heavy!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "--sampler {tpe,random}" in done.stdout
