"""A training goes on with the data that it began with; one training uses a run folder."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.conftest import validation_takes
from upscore.core.lock import LOCK
from upscore.core.stop_signals import exit_status
from upscore.errors import RunError, SettingsError
from upscore.models.checkpoint import load_model
from upscore.training.trainer import Outcome, Status

Run = Callable[..., Outcome]

HEAD = "image: images/*.png\nmask: masks/*.png\nsplits: {train: train.txt, val: val.txt}\n"


@pytest.fixture
def begun(tmp_path: Path, run_tiny: Run) -> tuple[Path, Path]:
    """A data set, and a run on it that was stopped after one step."""
    (tmp_path / "images").mkdir()
    for number in range(4):
        image = np.random.default_rng(number).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"f{number}.png")
    draw(tmp_path, 20)
    (tmp_path / "dataset.yaml").write_text(
        HEAD + "classes: [crop, weed]\nmasks: {0: crop, 1: weed}\n"
    )
    (tmp_path / "train.txt").write_text("f0\nf1\nf2\n")
    (tmp_path / "val.txt").write_text("f3\n")
    data, out = tmp_path / "dataset.yaml", tmp_path / "run"
    train(run_tiny, data, out, stop_at=1)
    return data, out


def draw(folder: Path, rows: int) -> None:
    (folder / "masks").mkdir(exist_ok=True)
    for number in range(4):
        mask = np.zeros((40, 40), np.uint8)
        mask[:rows] = 1
        Image.fromarray(mask).save(folder / "masks" / f"f{number}.png", format="BMP")


def train(run_tiny: Run, data: Path, out: Path, *, stop_at: int = -1, **options: bool) -> Outcome:
    def press(status: Status) -> None:
        if status.iteration == stop_at:
            os.kill(os.getpid(), signal.SIGTERM)

    return run_tiny(
        out, "budget.iterations=2", "validate.every=1", data=data, resume=True, show=press,
        make_validate=validation_takes(0.0), **options,
    )  # fmt: skip


def test_classes_whose_meaning_was_swapped(begun: tuple[Path, Path], run_tiny: Run) -> None:
    data, out = begun
    data.write_text(HEAD + "classes: [weed, crop]\nmasks: {0: weed, 1: crop}\n")
    with pytest.raises(RunError, match=r"class 0 is crop in the run, weed now; .*--changed-data"):
        train(run_tiny, data, out)
    assert not train(run_tiny, data, out, changed_data=True).interrupted
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["data"]["classes"] == ["weed", "crop"]
    for folder in (out / "model", out / "state" / "last"):
        assert load_model(folder).labels.names == ("weed", "crop")


def test_more_classes(begun: tuple[Path, Path], run_tiny: Run) -> None:
    data, out = begun
    data.write_text(HEAD + "classes: [crop, weed, soil]\nmasks: {0: crop, 1: weed, 2: soil}\n")
    message = (
        r"2 classes in the run \(crop, weed\), 3 now \(crop, weed, soil\).*"
        r"The network cannot take other classes: .* init\.weights="
    )
    for changed_data in (False, True):
        with pytest.raises(RunError, match=message):
            train(run_tiny, data, out, changed_data=changed_data)


def test_redrawn_masks(begun: tuple[Path, Path], run_tiny: Run) -> None:
    data, out = begun
    draw(data.parent, 12)
    found = r"3 masks of split 'train' with other content \(f0, f1, f2\); 1 mask of split 'val'"
    with pytest.raises(RunError, match=found):
        train(run_tiny, data, out)
    assert not train(run_tiny, data, out, changed_data=True).interrupted


def test_a_run_of_an_older_upscore(begun: tuple[Path, Path], run_tiny: Run) -> None:
    data, out = begun
    (out / "state" / "data.json").unlink()
    data.write_text(HEAD + "classes: [weed, crop]\nmasks: {0: weed, 1: crop}\n")
    with pytest.raises(RunError, match=r"classes crop, weed; .* in the run, .* \(weed, crop; "):
        train(run_tiny, data, out)
    data.write_text(HEAD + "classes: [crop, weed]\nmasks: {0: crop, 1: weed}\n")
    assert not train(run_tiny, data, out).interrupted


def test_a_second_training_is_refused(begun: tuple[Path, Path], run_tiny: Run) -> None:
    data, out = begun
    refused: list[str] = []

    def again(_: Status) -> None:
        with pytest.raises(SettingsError, match=rf"is used by a training .*{os.getpid()}") as error:
            train(run_tiny, data, out)
        refused.append(str(error.value))

    run_tiny(
        out, "budget.iterations=2", "validate.every=1", data=data, resume=True, show=again,
        make_validate=validation_takes(0.0),
    )  # fmt: skip
    assert len(refused) == 2
    assert not (out / LOCK).exists()


def test_the_rate_after_resuming_is_that_of_this_session(
    begun: tuple[Path, Path], run_tiny: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = begun
    monkeypatch.setattr("upscore.training.state.Clock.seconds", 7.0)
    seen: list[tuple[int, float]] = []
    run_tiny(
        out, "budget.iterations=2", "validate.every=1", data=data, resume=True,
        make_validate=validation_takes(0.0),
        show=lambda status: seen.append((status.iteration, status.images_per_second)),
    )  # fmt: skip
    assert seen == [(1, 0.0), (2, 0.0)]  # no time has passed, so no rate is known


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="no SIGHUP there")
def test_the_end_of_a_terminal_saves(begun: tuple[Path, Path], run_tiny: Run) -> None:
    data, out = begun
    assert exit_status() == 128 + signal.SIGTERM  # which stopped the beginning

    def close(status: Status) -> None:
        if status.iteration == 2:
            os.kill(os.getpid(), signal.SIGHUP)

    outcome = run_tiny(
        out, "budget.iterations=2", "validate.every=1", data=data, resume=True, show=close,
        make_validate=validation_takes(0.0),
    )  # fmt: skip
    assert outcome.iteration == 2
    assert exit_status() == 128 + signal.SIGHUP
