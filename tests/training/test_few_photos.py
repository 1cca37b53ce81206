"""Few photos, few or many classes, odd photos: the recipe ``quick`` without a setting for them."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from training.conftest import TINY
from training.run_files import assert_same_run, rows, weights
from upscore.core.images import InputSpec
from upscore.core.settings import build
from upscore.data import open_dataset
from upscore.data.drawn_splits import draw_validation
from upscore.data.masks import read_stored_mask
from upscore.errors import DataError, RunError, SettingsError
from upscore.models.checkpoint import load_model
from upscore.models.factory import create_model
from upscore.models.pretrained import initialise
from upscore.training.batchnorm import require_several_values, trained_norms
from upscore.training.optim import make_optimizers
from upscore.training.recipe import Recipe, load_recipe
from upscore.training.settings import OptimSettings
from upscore.training.setup import check_training, train
from upscore.training.trainer import Outcome, Status, Validation
from upscore.workflows.evaluate import evaluate
from upscore.workflows.options import SegmenterOptions
from upscore.workflows.train import make_validate

SMALL = (
    "augment.crop=[64, 64]",
    "budget.iterations=2",
    "precision=fp32",
    "threads=1",
    "log_every=1",
    "init.head.crops=4",
)
FP32 = SegmenterOptions(precision="fp32")


def make_photos(
    root: Path, num: int, classes: int, *, mode: str = "RGB", shown: int | None = None
) -> Path:
    """Photos of 80x72 in which the first ``shown`` classes occur, without a list of val."""
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    names = [f"{index:02}" for index in range(num)]
    for name in names:
        photo = Image.fromarray(rng.integers(0, 256, (72, 80, 4), dtype=np.uint8)).convert("RGBA")
        if mode == "I;16":
            photo = Image.fromarray(rng.integers(0, 65536, (72, 80)).astype(np.uint16))
        elif mode != "RGBA":
            photo = photo.convert(mode)
        photo.save(root / "images" / f"{name}.png")
        mask = np.arange(72 * 80).reshape(72, 80) // 32 % (shown or classes)
        Image.fromarray(mask.astype(np.uint8)).save(root / "masks" / f"{name}.png")
    (root / "classes.txt").write_text("\n".join(f"class {index}" for index in range(classes)))
    (root / "train.txt").write_text("\n".join(names))
    return root


def run_quick(
    data: Path, out: Path, *assignments: str, recipe: str = "quick", **options: Any
) -> Outcome:
    return train(
        load_recipe(recipe, [*SMALL, *assignments]),
        data=data,
        out=out,
        resume=options.pop("resume", False),
        make_validate=options.pop("validate", make_validate),
        **options,
    )


@pytest.mark.parametrize(
    ("num", "classes", "mode"),
    [
        *((num, 2, "RGB") for num in (2, 3, 5, 40)), (5, 150, "RGB"),
        (5, 2, "L"), (5, 2, "RGBA"), (5, 2, "I;16"),
    ],
)  # fmt: skip
def test_sensible_without_a_setting(
    num: int, classes: int, mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, out = make_photos(tmp_path / "data", num, classes, mode=mode), tmp_path / "run"
    with caplog.at_level("INFO", logger="upscore"):
        outcome = run_quick(data, out)
    assert outcome.iteration == 2
    assert outcome.best is not None
    drawn = "8 photos" if num == 40 else "1 photo"
    assert f"{drawn} of split 'train', drawn by name, will validate and " in caplog.text
    rest = num - int(drawn.split()[0])
    train_photos = f"{rest} photo{'s' * (rest > 1)}"
    assert f"will validate and {train_photos} will train" in caplog.text
    assert f"{train_photos}, {drawn.split()[0]} more held out for validation; 2 it" in caplog.text
    recorded = json.loads((out / "manifest.json").read_text())["data"]
    assert recorded["drawn_validation"] == draw_validation([f"{i:02}" for i in range(num)])
    assert (recorded["val_split"], recorded["num_trained_and_validated"]) == ("val", 0)
    # evaluation scores the very photos, and gets the score of the training
    result = evaluate(out, data=data, options=FP32)
    assert [image.name for image in result.main.images] == recorded["drawn_validation"]
    assert result.miou == pytest.approx(outcome.best, abs=1e-6)


def test_resuming_and_evaluating_keep_the_drawn_photos(tmp_path: Path) -> None:
    data = make_photos(tmp_path / "data", 11, 2)
    run_quick(data, tmp_path / "whole")

    def press(status: Status) -> None:
        if status.iteration == 1:
            os.kill(os.getpid(), signal.SIGINT)

    out = tmp_path / "run"
    assert run_quick(data, out, show=press).interrupted
    (data / "train.txt").write_text("\n".join(f"{i:02}" for i in reversed(range(11))))
    names = json.loads((out / "manifest.json").read_text())["data"]["drawn_validation"]
    assert len(names) == 2
    with pytest.raises(RunError, match="another data set"):  # other order, other samples
        run_quick(data, out, resume=True)
    (data / "train.txt").write_text("\n".join(f"{i:02}" for i in range(11)))
    assert not run_quick(data, out, resume=True).interrupted
    assert_same_run(out, tmp_path / "whole")
    # further photos: the drawn ones would be others, those of the run are scored
    for folder in ("images", "masks"):
        for index in range(11, 60):
            (data / folder / f"{index}.png").write_bytes((data / folder / "00.png").read_bytes())
    (data / "train.txt").write_text("\n".join(f"{i:02}" for i in range(60)))
    assert {pair.name for pair in open_dataset(data).split("val").pairs} != set(names)
    assert {image.name for image in evaluate(out, data=data).main.images} == set(names)


def test_classes_that_never_occur(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make_photos(tmp_path / "data", 5, 6, shown=4)
    (held_out,) = draw_validation([f"{i:02}" for i in range(5)])
    mask = np.zeros((72, 80), np.uint8)
    mask[:9] = 4  # in the photo that validates only
    Image.fromarray(mask).save(data / "masks" / f"{held_out}.png")
    with caplog.at_level("INFO", logger="upscore"):
        assert run_quick(data, tmp_path / "run").iteration == 2
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        "classes class 4, class 5 are in no photo of split 'train', so the network cannot learn "
        "them",
        "classes class 1, class 2, class 3 are in no photo of split 'val', which validates: IoU 0 "
        "if predicted there, otherwise left out of the mean; to score every class, list the photos "
        "of each split yourself (see docs/data.md)",
        "split 'val' has 1 photo, and with fewer than 10 the validation score varies by chance",
    ]


def test_a_single_photo(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data = make_photos(tmp_path / "data", 1, 2)
    with pytest.raises(DataError, match=r"one photo .* with --set data\.val_split=train"):
        run_quick(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    # what the message says
    with caplog.at_level("INFO", logger="upscore"):
        assert run_quick(data, tmp_path / "run", "data.val_split=train").best is not None
    assert "split 'train' both trains and validates" in caplog.text


@pytest.mark.parametrize("kind", ["images", "masks"])
@pytest.mark.parametrize("validates", [False, True])
def test_a_damaged_file_is_found_before_the_folder_is_made(
    tmp_path: Path, kind: str, *, validates: bool
) -> None:
    data = make_photos(tmp_path / "data", 5, 2)
    name = next(f"{i:02}" for i in range(5) if (f"{i:02}" in drawn_of(5)) == validates)
    path = data / kind / f"{name}.png"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"{kind}.{name}\.png: damaged or truncated"):
        run_quick(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def drawn_of(num: int) -> list[str]:
    return draw_validation([f"{i:02}" for i in range(num)])


def repaint(data: Path, values: dict[int, int]) -> None:
    for path in (data / "masks").glob("*.png"):
        mask = np.asarray(Image.open(path))
        changed = np.vectorize(lambda value: values.get(value, value))(mask)
        Image.fromarray(changed.astype(np.uint8)).save(path)


@pytest.mark.parametrize(
    ("classes", "values", "message"),
    [
        (["cat"], {1: 255}, r"split 'train' show only 'cat' \(255 is void"),
        (["rest", "cat"], {1: 255}, r"so there is one class in them\. .*dataset\.yaml"),
        (["rest", "cat"], {0: 255, 1: 255}, r"show no class \(255 is void"),
        (["cat"], {}, r"masks/\d+\.png: mask value outside the table: 1 "),
    ],
)
def test_nothing_to_tell_apart(
    tmp_path: Path, classes: list[str], values: dict[int, int], message: str
) -> None:
    data = make_photos(tmp_path / "data", 5, 2)
    (data / "classes.txt").write_text("\n".join(classes))
    repaint(data, values)
    with pytest.raises(DataError, match=message):
        run_quick(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_one_class_against_the_rest(tmp_path: Path) -> None:
    """Masks of 0 and 255 without a list of classes."""
    data = make_photos(tmp_path / "data", 5, 2)
    (data / "classes.txt").unlink()
    repaint(data, {1: 255})
    run_quick(data, tmp_path / "run")
    assert load_model(tmp_path / "run" / "model").labels.names == ("background", "foreground")


def test_each_mask_is_read_once_before_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begin(*_args: Any, **_options: Any) -> None:
        raise InterruptedError

    reads: Counter[str] = Counter()

    def read(path: Path, **options: Any) -> Any:
        reads[path.stem] += 1
        return read_stored_mask(path, **options)

    data = make_photos(tmp_path / "data", 40, 3, shown=2)  # all are read to find the third class
    monkeypatch.setattr("upscore.data.dataset.read_stored_mask", read)
    monkeypatch.setattr("upscore.training.setup.Sampler", begin)
    with pytest.raises(InterruptedError):
        run_quick(data, tmp_path / "run")
    assert reads == {f"{index:02}": 1 for index in range(40)}


def pretrained() -> dict[str, torch.Tensor]:
    """Weights of quick's network before the training; those outside of the backbone are random."""
    start = create_model("fpn", num_classes=2, backbone="lite0", finest=2)
    initialise(start, "lite0", input_spec=InputSpec.named("lite0"))
    return start.state_dict()


def test_frozen_layers_keep_their_weights_through_resuming(tmp_path: Path) -> None:
    data = make_photos(tmp_path / "data", 5, 2)
    options = ("init.freeze=s8", "init.freeze_norms=false", "budget.iterations=3", "save_every=1")
    run_quick(data, tmp_path / "whole", *options)

    def press(status: Status) -> None:
        if status.iteration == 1:
            os.kill(os.getpid(), signal.SIGINT)

    assert run_quick(data, tmp_path / "run", *options, show=press).interrupted
    run_quick(data, tmp_path / "run", *options, resume=True)
    assert_same_run(tmp_path / "run", tmp_path / "whole")
    start = pretrained()
    frozen = tuple(f"trunk.blocks.{index}." for index in range(5))
    for key, value in weights(tmp_path / "whole").items():
        if key.startswith(("trunk.stem.", *frozen)):
            assert torch.equal(value, start[key]), key
        elif key.startswith("trunk.") and key.endswith(("conv.weight", "running_var")):
            assert not torch.equal(value, start[key]), key


def test_stages_that_freeze_less_and_less(tmp_path: Path) -> None:
    data, out = make_photos(tmp_path / "data", 5, 2), tmp_path / "run"
    recipe = load_recipe("quick", SMALL)
    parts = [
        {"name": "head", "share": 0.5, "set": {"init.freeze": "all"}},
        {"name": "whole", "share": 0.5, "set": {"init.freeze": None}},
    ]
    content = {**recipe.model_dump(mode="json", by_alias=True), "stages": parts}
    staged = build(Recipe, content, "test")
    train(staged, data=data, out=out, resume=False, make_validate=make_validate)
    start, head, whole = pretrained(), weights(out / "stages" / "head"), weights(out)
    key = "trunk.blocks.5.depthwise.conv.weight"
    assert torch.equal(head[key], start[key])
    assert not torch.equal(whole[key], start[key])
    assert not torch.equal(head["score.weight"], start["score.weight"])


@pytest.mark.parametrize("optimiser", ["muon", "adamw", "sgd"])
def test_the_whole_backbone_frozen(tmp_path: Path, optimiser: str) -> None:
    data = make_photos(tmp_path / "data", 5, 2)
    run_quick(
        data, tmp_path / "run", "init.freeze=all", f"optim.name={optimiser}", "batch.size=1",
        "statistics.batches=1",
    )  # fmt: skip
    start, after = pretrained(), weights(tmp_path / "run")
    trunk = [key for key in after if key.startswith("trunk.")]
    assert all(torch.equal(after[key], start[key]) for key in trunk)
    assert not torch.equal(after["score.weight"], start["score.weight"])
    assert not torch.equal(after["smooth.s4.norm.running_mean"], torch.zeros(64))


@pytest.mark.parametrize(
    ("recipe", "assignments", "message"),
    [
        ("quick", ["init.freeze=s33"], r"init\.freeze: no stage 's33'; did you mean"),
        ("quick", ["init.freeze=s8", "init.weights=none"],
         r"random layers would never learn; name weights \(lite0, lite0-fp32, a file"),
        ("quick", ["init.weights=none"], r"init\.freeze_norms is true, but .*freeze_norms=false$"),
        ("quick", ["model.options.in_channels=4"], "in_channels is 4, but every photo is read as"),
    ],
)  # fmt: skip
def test_what_cannot_be_trained(
    tmp_path: Path, recipe: str, assignments: list[str], message: str
) -> None:
    data = make_photos(tmp_path / "data", 5, 2)
    with pytest.raises(SettingsError, match=message):
        run_quick(data, tmp_path / "run", *assignments, recipe=recipe)
    assert not (tmp_path / "run").exists()
    with pytest.raises(SettingsError, match=message):
        check_training(load_recipe(recipe, [*SMALL, *assignments]), open_dataset(data), data)


def test_networks_without_a_backbone_and_nothing_to_learn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from upscore.models.base import Network, NetworkOptions
    from upscore.training import setup

    def bare(_name: str, *, num_classes: int, **_options: Any) -> Network:
        model = Network(NetworkOptions(num_classes=num_classes))
        model.architecture = "plain"
        return model

    data = make_photos(tmp_path / "data", 5, 2)
    monkeypatch.setattr(setup, "create_model", bare)
    for setting in ("freeze", "freeze_norms"):
        value = "s4" if setting == "freeze" else "true"
        chosen = ["init.weights=none", "init.freeze_norms=false", f"init.{setting}={value}"]
        with pytest.raises(SettingsError, match=rf"init\.{setting} is set, but plain has no back"):
            run_quick(data, tmp_path / "run", *chosen)
    model = create_model("fpn", num_classes=2, backbone="lite0").requires_grad_(False)
    for name in ("muon", "adam"):
        with pytest.raises(SettingsError, match="every layer of the network is frozen"):
            make_optimizers(model, OptimSettings(name=name))


def scored(values: Sequence[float | None]) -> Any:
    """A validation that gives these scores one after another, the first two before training."""

    def make(*_given: object) -> Any:
        left = list(values)

        def validate(_network: nn.Module, limit: int | None) -> Validation:
            score = 0.5 if limit == 2 else left.pop(0)
            return Validation(score, score, 0.0, 2)

        return validate

    return make


PATIENT = (*TINY, "validate.every=1", "validate.images=1", "validate.patience=2")


def test_patience_ends_early_with_the_best(
    tmp_path: Path, toy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def go(out: Path, scores: Sequence[float | None], *more: str, **options: Any) -> Outcome:
        recipe = load_recipe("fcn8s-quick", [*PATIENT, *more])
        return train(
            recipe, data=toy, out=out, resume=options.pop("resume", False),
            make_validate=scored(scores), **options,
        )  # fmt: skip

    out = tmp_path / "run"
    with caplog.at_level("INFO", logger="upscore"):
        outcome = go(out, [0.1, 0.3, 0.2, 0.3, 0.9, 0.9])
    assert (outcome.iteration, outcome.best, outcome.best_iteration) == (4, 0.3, 2)
    assert not outcome.interrupted
    assert "2 validations without a better score (validate.patience): the training" in caplog.text
    assert [row["val_miou"] for row in rows(out) if row["val_miou"]] == ["0.1", "0.3", "0.2", "0.3"]
    with pytest.raises(RunError, match="this training is finished"):
        go(out, [], resume=True)
    # the budget is used as before where scores go on rising, or without patience
    assert go(tmp_path / "rising", [0.1, 0.1, 0.2, 0.2, 0.3, 0.3]).iteration == 6
    whole = go(tmp_path / "off", [0.5, 0, 0, 0, 0, 0], "validate.patience=null")
    assert (whole.iteration, whole.best_iteration) == (6, 1)
    # nothing valid to score is no better score
    assert go(tmp_path / "void", [None, None]).iteration == 2

    def press(status: Status) -> None:
        if status.iteration == 3:
            os.kill(os.getpid(), signal.SIGINT)

    parts = tmp_path / "parts"
    assert go(parts, [0.1, 0.3, 0.2], show=press).interrupted
    assert go(parts, [0.3, 0.9], resume=True).iteration == 4
    assert_same_run(parts, out)
    state = load_model(parts / "model").model.state_dict()
    kept = go(tmp_path / "two", [0.1, 0.3], "budget.iterations=2", "validate.patience=9")
    assert kept.best_iteration == 2
    assert state.keys() == load_model(tmp_path / "two" / "model").model.state_dict().keys()


def test_statistics_are_measured_before_an_early_end(tmp_path: Path, toy: Path) -> None:
    recipe = load_recipe("fcn8s-quick", [*PATIENT, "statistics.batches=1", "statistics.size=2"])
    outcome = train(
        recipe, data=toy, out=tmp_path / "run", resume=False,
        make_validate=scored([0.3, 0.2, 0.2, 0.8]),
    )  # fmt: skip
    assert (outcome.iteration, outcome.best, outcome.best_iteration) == (3, 0.8, 3)


def test_batch_norm_of_one_element_is_refused_before_the_training(
    tmp_path: Path,
) -> None:
    lonely = ["batch.size=1", "augment.crop=[32, 32]", "init.freeze_norms=false"]
    data = make_photos(tmp_path / "data", 5, 2)
    wanted = r"batch\.size is 1, and of a sample of 32x32 the batch norm trunk\.blocks\.\d+\..*set"
    with pytest.raises(SettingsError, match=wanted):
        run_quick(data, tmp_path / "run", *lonely)
    # the head's own norms cannot be frozen, so this is not advised
    with pytest.raises(SettingsError, match=r"batch norm lateral\.s32\.norm sees .* larger size$"):
        run_quick(data, tmp_path / "run", *lonely, "init.freeze_norms=true")
    assert not (tmp_path / "run").exists()
    # what the message says to set; torch agrees
    for one in ("batch.size=2", "augment.crop=[33, 33]"):
        run_quick(data, tmp_path / one, *lonely, one, "init.freeze_norms=false")


def test_a_small_photo_that_batch_norm_cannot_learn_from(tmp_path: Path) -> None:
    """Photos of any size, one a batch: known only when it is drawn."""
    data = make_photos(tmp_path / "data", 5, 2)
    for path in data.rglob("*.png"):
        Image.open(path).resize((32, 24), Image.Resampling.NEAREST).save(path)
    lonely = ["batch.size=1", "augment.crop=null", "init.freeze_norms=false", "init.head.crops=0"]
    wanted = "one element of a batch of 1 of 24x32, .* set batch.size to 2 or more and augment.crop"
    with pytest.raises(SettingsError, match=wanted):
        run_quick(data, tmp_path / "run", *lonely, "augment.scale=[1, 1]")


@pytest.mark.parametrize(
    ("name", "options"),
    [("fpn", {"backbone": "lite0"}), ("deconvnet", {"width": 0.0625}),
     ("fcn8s", {"width": 0.0625, "fc_width": 8, "batch_norm": True})],
)  # fmt: skip
def test_the_check_agrees_with_torch_and_changes_nothing(
    name: str, options: dict[str, Any]
) -> None:
    """Sizes around those at which torch itself fails in the first step."""
    seen = set()
    for side in (31, 32, 33, 64, 224, 256):
        torch.manual_seed(0)
        model = create_model(name, num_classes=2, **options)
        before = {key: value.clone() for key, value in model.state_dict().items()}
        random = torch.get_rng_state()
        refused = False
        try:
            require_several_values(model, batch=1, size=(side, side))
        except SettingsError:
            refused = True
        assert torch.equal(torch.get_rng_state(), random)
        assert all(torch.equal(v, before[key]) for key, v in model.state_dict().items())
        assert all(module.training for module in model.modules())
        assert all(norm.track_running_stats for norm in trained_norms(model))
        failed = False
        try:
            model(torch.rand(1, 3, side, side))
        except ValueError as error:
            failed = "more than 1 value per channel" in str(error)
        assert refused == failed, side
        seen.add(refused)
    assert seen == {True, False}
    require_several_values(model, batch=2, size=(16, 16))
    require_several_values(model, batch=1, size=None)


def test_a_network_for_grey_photos(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    data, out = make_photos(tmp_path / "data", 5, 2), tmp_path / "run"
    with caplog.at_level("INFO", logger="upscore"):
        outcome = run_quick(data, out, "model.options.in_channels=1")
    assert "lite0: its weights need RGB, this network takes 1 channel" in caplog.text
    assert load_model(out / "model").input_spec.mean == (127.0,)
    assert evaluate(out, data=data, options=FP32).miou == pytest.approx(outcome.best, abs=1e-6)
