"""``upscore sweep``: with trainings that only pretend, and once with real ones."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from upscore.cli.main import main
from upscore.core.lock import claim
from upscore.core.progress import Progress
from upscore.data.toy import make_toy
from upscore.report.sweep_tables import Spread, SweptRun, group_table, grouped, shown
from upscore.workflows import sweep as workflow
from upscore.workflows.sweep_grid import SweepGrid
from waiting import HANG_S, wait_until

TINY = "model.options={width: 0.02, fc_width: 4}"
PRETEND = """
import json, sys
from pathlib import Path

given = sys.argv[1:]
out = Path(given[given.index("--out") + 1])
settings = dict(text.split("=", 1) for text in given[given.index("--set") + 1 :])
out.mkdir(parents=True, exist_ok=True)
with (out / "calls").open("a") as stream:
    stream.write(json.dumps(given) + chr(10))
sweep = out.parent
if (sweep.parent / "wait").exists():
    sys.stdin.read()  # until the sweep lets go
    (out / "saved").touch()
    sys.exit(130)
print(json.dumps({"progress": 0.5, "text": "iteration 1"}))
lr = float(settings["optim.lr"])
if lr == 0.5 and not (sweep.parent / "mended").exists():
    print(json.dumps({"error": "the loss is not finite\\nat iteration 3"}))
    sys.exit(1)
score = lr + int(settings["seed"]) / 10
(out / "log.csv").write_text(
    f"iteration,seconds,loss,val_miou\\n1,2,1.0,{score}\\n2,4,,{score / 2}\\n"
)
(out / "done").touch()
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("data") / "toy", num=4, size=(40, 48))


@pytest.fixture
def pretend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Trainings that end at once; returns the folder for the sweep."""
    script = tmp_path / "pretend.py"
    script.write_text(PRETEND)
    out = tmp_path / "ü sweep"

    def statuses(_out: Path, grid: SweepGrid, _data: object) -> dict[str, str]:
        return {p.name: "finished" if (out / p.name / "done").exists() else "new"
                for p in grid.configs}  # fmt: skip

    monkeypatch.setattr(workflow, "TRAIN", (sys.executable, str(script), "train"))
    monkeypatch.setattr(workflow, "_run_statuses", statuses)
    return out


def run(toy: Path, out: Path, *assignments: str, more: tuple[str, ...] = ()) -> int:
    given = assignments or ("optim.lr=0.25,0.5", "seed=0,1,2")
    try:
        main(["sweep", "fcn8s-quick", "--data", str(toy), "--out", str(out), *more,
              "--set", TINY, "--set", *given])  # fmt: skip
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def calls(out: Path) -> dict[str, int]:
    return {path.parent.name: len(path.read_text().splitlines()) for path in out.glob("*/calls")}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.mark.parametrize("processes", ["1", "3"])
def test_failed_ones_are_listed_at_the_end_and_tried_again(
    toy: Path, pretend: Path, capsys: pytest.CaptureFixture[str], processes: str
) -> None:
    assert run(toy, pretend, more=("--processes", processes)) == 1
    shown = capsys.readouterr()
    text = " ".join(shown.err.split())
    assert "3 of 6 trainings failed; all others are done: lr=0.5_seed=0: the loss is not" in text
    assert "lr=0.25_seed=1: 50% iteration 1" in text
    content = json.loads((pretend / "sweep.json").read_text("utf-8"))
    assert [item["status"] for item in content["runs"]] == ["finished"] * 3 + ["failed"] * 3
    assert content["runs"][5]["message"] == "the loss is not finite at iteration 3"
    assert content["runs"][1]["best"] == pytest.approx(0.35)
    assert content["runs"][1]["last"] == pytest.approx(0.175)
    assert content["runs"][1]["seconds"] == 4
    good, bad = content["groups"]
    assert good["settings"] == {"optim.lr": 0.25}
    assert good["best"]["mean"] == pytest.approx(0.35)
    assert good["best"]["deviation"] == pytest.approx(0.1)
    assert (bad["runs"], bad["of"], bad["best"]["mean"]) == (0, 3, None)
    assert "not finite" in (pretend / "logs" / "lr=0.5_seed=0.txt").read_text("utf-8")
    first, second = table(pretend / "sweep.csv")
    assert float(first["last_miou"]) == pytest.approx(0.175)
    assert (second["optim.lr"], second["runs"], second["of"]) == ("0.5", "0", "3")
    assert len(table(pretend / "runs.csv")) == 6
    markdown = (pretend / "sweep.md").read_text("utf-8")
    assert "| 0.25 | 3 | 0.3500 | 0.1000 | 0.1750 | 0.0500 | 4 |" in markdown
    assert "- lr=0.5_seed=2: the loss is not finite" in markdown

    (pretend.parent / "mended").touch()
    assert run(toy, pretend, "optim.lr=0.25,0.5", "seed=0,1,2,3") == 0, "a seed more"
    shown = capsys.readouterr()
    assert "8 trainings, 3 of them finished before" in shown.out
    assert calls(pretend) == {
        f"lr={lr}_seed={seed}": 2 if lr == "0.5" and seed < 3 else 1
        for lr in ("0.25", "0.5") for seed in range(4)
    }  # fmt: skip
    assert "Highest mean of the last mIoU: 0.3250 with optim.lr=0.5" in shown.out
    assert run(toy, pretend, "optim.lr=0.25,0.5", "seed=0,1,2,3") == 0
    assert sum(calls(pretend).values()) == 11, "nothing left to do"


def test_what_each_training_is_begun_with(toy: Path, pretend: Path) -> None:
    run(toy, pretend, "optim.lr=0.25,0.125", "seed=4,5")
    given = json.loads((pretend / "lr=0.125_seed=4" / "calls").read_text())
    assert given == ["train", "fcn8s-quick", "--data", str(toy), "--out",
                     str(pretend / "lr=0.125_seed=4"), "--resume", "--set", TINY,
                     "optim.lr=0.125", "seed=4"]  # fmt: skip


def test_from_python(toy: Path, pretend: Path) -> None:
    events: list[Progress] = []
    result = workflow.sweep(
        "fcn8s-quick", data=toy, out=pretend, assignments=[TINY, "optim.lr=0.25,0.5", "seed=0,1"],
        processes=2, on_progress=events.append,
    )  # fmt: skip
    written = json.loads((pretend / "sweep.json").read_text("utf-8"))
    content = json.loads(json.dumps(result.to_dict()))
    assert content["runs"] == written["runs"]
    assert content["groups"] == written["groups"]
    assert content["folder"] == str(pretend)
    assert [run.name for run in result.failed] == ["lr=0.5_seed=0", "lr=0.5_seed=1"]
    assert [event.done for event in events if not event.notices] == [0, 1, 2, 3, 4]
    assert {event.total for event in events} == {4}
    lines = {notice.text for event in events for notice in event.notices}
    assert lines == {f"{run.name}: 50% iteration 1" for run in result.runs}


def test_another_sweep_in_the_same_folder(
    toy: Path, pretend: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(toy, pretend, "optim.lr=0.25,0.125", "seed=0,1")
    before = (pretend / "sweep.json").read_bytes()
    assert run(toy, pretend, "optim.lr=0.25,0.125", "seed=0,1", "log_every=3") == 2
    assert "log_every is null in the run, 3 now" in " ".join(capsys.readouterr().err.split())
    assert run(toy, pretend, "optim.lr=0.25,0.125", "seed=0") == 2
    assert (pretend / "sweep.json").read_bytes() == before


def test_stopped_by_a_person(
    toy: Path, pretend: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (pretend.parent / "wait").touch()

    def interrupted(_futures: object) -> Iterator[object]:
        wait_until(lambda: calls(pretend))
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr(workflow, "as_completed", interrupted)
    assert run(toy, pretend) == 130
    assert "To continue, run the same command" in " ".join(capsys.readouterr().err.split())
    assert calls(pretend) == {"lr=0.25_seed=0": 1}, "the others were not begun"
    assert (pretend / "lr=0.25_seed=0" / "saved").exists(), "it had the time to save"
    content = json.loads((pretend / "sweep.json").read_text("utf-8"))
    assert {item["status"] for item in content["runs"]} == {"unfinished"}


def test_a_process_ends_with_the_one_that_holds_it() -> None:
    code = (
        "import threading; from upscore.workflows.train_process import end_with_input\n"
        "threading.Thread(target=end_with_input, daemon=True).start(); "
        f"threading.Event().wait({HANG_S})"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    with child:
        assert child.stdin is not None
        child.stdin.write(b"not the end")
        child.stdin.flush()
        child.stdin.close()
        assert child.wait(timeout=HANG_S) == -signal.SIGTERM


@pytest.mark.parametrize(
    ("error", "lines", "code", "message"),
    [
        ("a.jpg: bad\n  give another", ["5% x"], 2, "a.jpg: bad give another"),
        (None, ["5% x", "Killed", ""], 3, "exit status 3: Killed"),
        (None, [], 1, "exit status 1"),
        (None, ["5% x"], -9, "ended by SIGKILL, probably out of memory"),
        (None, [], -15, "ended by SIGTERM"),
    ],
)
def test_why_a_training_failed(
    error: str | None, lines: list[str], code: int, message: str
) -> None:
    assert workflow.failure_reason(error, lines, code) == message


def test_means_and_deviations() -> None:
    assert Spread.of([]) == Spread(None, None)
    assert Spread.of([0.5, None]) == Spread(0.5, None)
    assert Spread.of([1.0, 2.0, 4.0]).deviation == pytest.approx(1.5275252)
    runs = [
        SweptRun("a", {"crop": [32, 32], "seed": 0}, "finished", 0.5, 0.4, 10.0),
        SweptRun("b", {"crop": [32, 32], "seed": 1}, "failed", message="no"),
        SweptRun("c", {"crop": None, "seed": 0}, "finished", None, None, 3.6),
    ]
    rows = group_table(grouped(runs)).rows
    assert rows[0] == ("[32, 32]", "1 of 2", 0.5, None, 0.4, None, 10)
    assert rows[1] == ("null", "1", None, None, None, None, 4)
    only_seeds = grouped([SweptRun("a", {"seed": s}, "finished", s / 4, 0.0, 1.0) for s in (1, 2)])
    assert [(group.settings, group.best.mean) for group in only_seeds] == [({}, 0.375)]
    assert [shown(value) for value in (True, 1e-5, "x")] == ["true", "1e-05", "x"]


@pytest.mark.slow
def test_real_trainings(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sweep"
    given = (TINY, "budget.iterations=2", "augment.crop=[32,32]", "batch.size=1", "device=cpu")
    command = ["sweep", "fcn8s-quick", "--data", str(toy), "--out", str(out), "--set", "seed=0,1",
               *given]  # fmt: skip
    train = ["train", "fcn8s-quick", "--data", str(toy), "--out", str(out / "seed=0"), "--set",
             *given]  # fmt: skip
    main([*command])
    first = json.loads((out / "sweep.json").read_text("utf-8"))
    assert [item["status"] for item in first["runs"]] == ["finished"] * 2
    assert first["groups"][0]["runs"] == 2
    assert all(item["seconds"] > 0 for item in first["runs"])
    manifest = json.loads((out / "seed=1" / "manifest.json").read_text("utf-8"))
    assert manifest["command"].startswith("upscore train fcn8s-quick --data")
    written = (out / "seed=1" / "log.csv").read_bytes()
    capsys.readouterr()
    main(command)
    assert "2 of them finished before" in capsys.readouterr().out
    assert (out / "seed=1" / "log.csv").read_bytes() == written
    with pytest.raises(SystemExit):
        main([*train, "--resume"])
    assert "is finished" in capsys.readouterr().err


def test_two_sweeps_in_one_folder(
    toy: Path, pretend: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with claim(pretend, "a sweep"):
        assert run(toy, pretend) == 2
    assert "is used by a sweep on" in capsys.readouterr().err
    assert not pretend.exists()
