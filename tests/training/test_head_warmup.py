"""The head learns first on stored features: what changes, what it brings, where it is refused."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from training.conftest import TINY
from training.run_files import assert_same_run
from upscore.cli.main import main
from upscore.core.images import InputSpec
from upscore.core.labels import VOID
from upscore.core.progress import Progress
from upscore.data import open_dataset
from upscore.errors import SettingsError, WorkError
from upscore.models.factory import create_model
from upscore.models.fpn import FPN
from upscore.models.pretrained import initialise
from upscore.training import head_warmup, setup
from upscore.training.head_warmup import BATCH, warm_up_head
from upscore.training.recipe import load_recipe
from upscore.training.sample_order import random_order
from upscore.training.sample_stream import Sampler
from upscore.training.settings import HeadSettings
from upscore.training.setup import _head_settings, train
from upscore.training.state import load_state
from upscore.training.trainer import Status
from upscore.workflows.train import make_validate
from upscore.workflows.train import train as workflow

SPEC = InputSpec.named("lite0")
CPU = torch.device("cpu")
QUICK = ("augment.crop=[64,64]", "budget.iterations=2", "precision=fp32", "threads=1")


def sampler(data: Path) -> Sampler:
    split = open_dataset(data).split("train")
    recipe = load_recipe("quick", ["augment.crop=[64,96]"])
    return Sampler(split, recipe.augment, random_order(len(split)), seed=0, batch=4, workers=1)


def network(classes: int) -> FPN:
    torch.manual_seed(0)
    model = create_model("fpn", num_classes=classes, backbone="lite0", pyramid=16, context=32)
    initialise(model, "lite0", input_spec=SPEC)
    assert isinstance(model, FPN)
    return model


def coarse_loss(model: FPN, source: Sampler) -> float:
    """Cross-entropy of the whole network's scores at the last pixel of each element."""
    batch = next(source.steps(0))[0]
    model.eval()
    with torch.no_grad():
        scores = model(SPEC.apply(batch.images))
    stride = model.coarse_stride
    picked = (..., slice(stride - 1, None, stride), slice(stride - 1, None, stride))
    return float(F.cross_entropy(scores[picked], batch.labels[picked], ignore_index=VOID))


def warm_up(model: FPN, source: Sampler, **settings: int) -> None:
    chosen = HeadSettings(**settings)
    warm_up_head(model, source, chosen, input_spec=SPEC, class_weights=None, device=CPU)


def test_only_the_head_learns_and_the_whole_network_scores_better(toy: Path) -> None:
    source = sampler(toy)
    model = network(len(open_dataset(toy).labels))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    loss = coarse_loss(model, source)
    warm_up(model, source, crops=8, passes=40)
    changed = {key for key, value in model.state_dict().items() if not value.equal(before[key])}
    assert not [key for key in changed if key.startswith("trunk.")]
    assert {"score.weight", "lateral.s16.conv.weight", "lateral.s32.conv.weight"} <= changed
    assert not [key for key in changed if ".s8." in key or ".s4." in key]
    assert coarse_loss(model, source) < 0.6 * loss
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_loss_that_is_not_finite_ends_it(toy: Path) -> None:
    model = network(len(open_dataset(toy).labels))
    with torch.no_grad():
        model.backbone.first_block.conv.weight.fill_(torch.nan)
    with pytest.raises(WorkError, match=r"loss is not finite .* --set init\.head\.crops=0"):
        warm_up(model, sampler(toy), crops=4, passes=1)


def test_the_same_seed_gives_the_same_head(toy: Path) -> None:
    states = []
    for _ in range(2):
        model = network(len(open_dataset(toy).labels))
        warm_up(model, sampler(toy), crops=8, passes=2)
        states.append(model.state_dict())
    assert all(value.equal(states[1][key]) for key, value in states[0].items())


def test_in_a_training_which_is_resumed_without_it(
    toy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = load_recipe("quick", [*QUICK, "init.head.crops=8", "init.head.passes=2"])

    def press(status: Status) -> None:
        if status.iteration == 1:
            os.kill(os.getpid(), signal.SIGINT)

    with caplog.at_level("INFO", logger="upscore"):
        train(recipe, data=toy, out=tmp_path / "whole", resume=False, make_validate=make_validate)
        assert "learned on the features of 8 crops, 2 times each" in caplog.text
        out = tmp_path / "run"
        stopped = train(
            recipe, data=toy, out=out, resume=False, make_validate=make_validate, show=press
        )
        assert stopped.interrupted
        caplog.clear()
        train(recipe, data=toy, out=out, resume=True, make_validate=make_validate)
        assert "learned on the features" not in caplog.text
    assert_same_run(out, tmp_path / "whole")


@pytest.mark.parametrize(
    ("budget", "crops"), [("iterations=100", 400), ("iterations=3", BATCH), ("minutes=1", 640)]
)
def test_it_sees_no_more_crops_than_the_training(budget: str, crops: int) -> None:
    recipe = load_recipe("quick", [f"budget.{budget}"])
    assert recipe.init.head.crops == 640
    assert _head_settings(recipe).crops == crops


def test_it_shows_its_progress_and_its_seconds_are_reported(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([100.0, 1100.0])
    monkeypatch.setattr(head_warmup, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    events: list[Progress] = []
    changes = [*QUICK, "init.head.crops=8", "init.head.passes=2"]
    result = workflow(
        "quick", data=toy, out=tmp_path / "run", assignments=changes, on_progress=events.append
    )
    assert result.seconds > 1000
    features = [event for event in events if event.stage == "computing features for the head"]
    assert (features[0].done, features[-1].done, features[-1].total) == (0, 8, 8)
    learning = [event for event in events if event.stage == "training the head"]
    assert [event.done for event in learning] == [0, 1, 2]
    assert events.index(features[-1]) < events.index(learning[0])
    seconds = float((tmp_path / "run" / "log.csv").read_text().splitlines()[-1].split(",")[2])
    assert 1000 < seconds <= result.seconds
    position, _ = load_state(tmp_path / "run" / "state" / "resume.pt")
    assert position.prepared == 1000
    assert position.seconds < 1000  # of the budget


@pytest.mark.skipif(sys.platform == "win32", reason="no such signals there")
def test_stopped_meanwhile_it_says_what_to_type_and_the_same_command_starts_again(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_given: object, **_named: object) -> float:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0.0

    command = ["train", "quick", "--data", str(toy), "--out", str(tmp_path / "run"), "--set"]
    command += [*QUICK, "init.head.crops=8", "init.head.passes=1"]
    with monkeypatch.context() as patched:
        patched.setattr(setup, "warm_up_head", stop)
        with pytest.raises(SystemExit) as stopped:
            main(command)
    assert stopped.value.code == 128 + signal.SIGTERM
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == (
        "upscore: interrupted before the first step; to start it again, run the same command"
    )
    assert (tmp_path / "run" / "recipe.yaml").exists()
    main(command)
    assert "Trained 2 iterations" in capsys.readouterr().out


@pytest.mark.parametrize(
    "changes", [("init.weights=none", "init.freeze_norms=false"), ("init.head.crops=0",)]
)
def test_none_from_random_weights_or_without_crops(
    changes: tuple[str, ...], toy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = load_recipe("quick", [*QUICK, "init.head.crops=8", *changes])
    with caplog.at_level("INFO", logger="upscore"):
        train(recipe, data=toy, out=tmp_path / "run", resume=False, make_validate=make_validate)
    assert "learned on the features" not in caplog.text


def test_no_step_has_a_single_crop(toy: Path) -> None:
    """Of 32x32 pixels its coarsest map has one element, on which torch's batch norm fails."""
    source = replace(sampler(toy), augment=load_recipe("quick", ["augment.crop=[32,32]"]).augment)
    model = network(len(open_dataset(toy).labels))
    seen: list[int] = []
    model.lateral["s32"].register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    warm_up(model, replace(source, batch=1), crops=17, passes=2)
    assert seen == [9, 8, 9, 8]


def test_labels_are_those_of_the_middle_for_other_backbones(toy: Path) -> None:
    torch.manual_seed(0)
    options = {"width": 0.125, "pyramid": 16, "context": 32, "finest": 16}
    model = create_model("fpn", num_classes=len(open_dataset(toy).labels), **options)
    assert isinstance(model, FPN)
    source = sampler(toy)
    batch = next(source.steps(0))[0]
    warm_up(model, source, crops=4, passes=150)
    model.eval()
    with torch.no_grad():
        features = model.backbone(SPEC.apply(batch.images), model.coarse_levels)
        found = model.coarse_scores(features).argmax(1)
    right = {
        first: float((found == batch.labels[:, first::16, first::16]).float().mean())
        for first in (0, 8, 15)
    }
    assert max(right, key=lambda first: right[first]) == 8, right


def test_crops_of_different_sizes_are_refused(toy: Path, tmp_path: Path) -> None:
    recipe = load_recipe("quick", ["augment.crop=null", "batch.size=1", "init.head.crops=8"])
    with pytest.raises(SettingsError, match="of different sizes cannot be stored together"):
        train(recipe, data=toy, out=tmp_path / "run", resume=False, make_validate=make_validate)


def test_networks_without_such_a_head_are_refused(toy: Path, tmp_path: Path) -> None:
    recipe = load_recipe("fcn8s-quick", [*TINY, "init.head.crops=8"])
    with pytest.raises(SettingsError, match="but fcn2s has no head that can be warmed up"):
        train(recipe, data=toy, out=tmp_path / "run", resume=False, make_validate=make_validate)
    assert not (tmp_path / "run").exists()
