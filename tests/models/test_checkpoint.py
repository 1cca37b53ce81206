"""Model folders: whole, half-written, damaged, too new, not fitting."""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.model_folder import CONFIG, WEIGHTS
from upscore.errors import NotFoundError, OutputError, RunError, SettingsError
from upscore.models.base import Network
from upscore.models.checkpoint import load_model, save_model
from upscore.models.factory import create_model
from upscore.models.fold import fold_batch_norm
from upscore.models.pretrained import initialise

LABELS = Labels.of(["sky", "<b>road</b>"], [(1, 2, 3), (4, 5, 6)])
SPEC = InputSpec.named("imagenet")


def tiny(**options: Any) -> Network:
    return create_model("fcn8s", num_classes=2, **{"width": 1 / 64, "batch_norm": True, **options})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", tiny(), labels=LABELS, input_spec=SPEC)
    return tmp_path / "model"


def test_the_folder_is_two_files_that_anybody_can_read(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]
    assert (folder / WEIGHTS).stat().st_mode == (folder / CONFIG).stat().st_mode
    config = json.loads((folder / CONFIG).read_text())
    assert config["format_version"] == 1
    assert config["architecture"] == "fcn8s"
    assert config["options"]["width"] == 1 / 64
    assert config["options"]["num_classes"] == 2
    assert config["classes"][1] == {"name": "<b>road</b>", "color": [4, 5, 6]}
    assert config["input_spec"]["channel_order"] == "rgb"
    assert config["num_parameters"] == sum(p.numel() for p in tiny().parameters())
    assert load_file(folder / WEIGHTS).keys() == tiny().state_dict().keys()
    assert load_model(folder).input_spec == SPEC


def test_the_folder_may_be_text(tmp_path: Path) -> None:
    save_model(str(tmp_path / "model"), tiny(), labels=LABELS, input_spec=SPEC)
    assert (tmp_path / "model" / CONFIG).exists()


def test_saving_again_replaces(folder: Path) -> None:
    model = tiny(width=1 / 32)
    save_model(folder, model, labels=LABELS, input_spec=SPEC)
    loaded = load_model(folder).model
    assert torch.equal(loaded.get_parameter("trunk.fc6.conv.weight"),
                       model.get_parameter("trunk.fc6.conv.weight"))  # fmt: skip


def test_training_a_loaded_network_leaves_the_file_alone(folder: Path) -> None:
    before = (folder / WEIGHTS).read_bytes()
    model = load_model(folder).model
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert (folder / WEIGHTS).read_bytes() == before


def test_half_precision_is_saved_as_float32(tmp_path: Path) -> None:
    model = tiny().to(torch.bfloat16)
    save_model(tmp_path, model, labels=LABELS, input_spec=SPEC)
    state = load_model(tmp_path).model.state_dict()
    for key, value in model.state_dict().items():
        assert torch.equal(state[key], value.float() if value.is_floating_point() else value)
    assert state["trunk.fc6.conv.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: nn.Linear(1, 1), "cannot save a Linear"),
        (lambda: create_model("fcn8s", num_classes=3, width=1 / 64), "scores 3 classes, but 2"),
        (lambda: fold_batch_norm(tiny()), "folded for inference"),
    ],
)
def test_what_cannot_be_saved(model: Callable[[], nn.Module], message: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=message):
        save_model(tmp_path / "model", model(), labels=LABELS, input_spec=SPEC)
    assert not (tmp_path / "model").exists()


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        save_model(tmp_path / "file", tiny(), labels=LABELS, input_spec=SPEC)


def test_a_full_disk_leaves_the_old_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (folder / WEIGHTS).read_bytes()

    def full(*_args: object, **_kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OutputError, match=f"cannot write .*{WEIGHTS}: the disk is full"):
        save_model(folder, tiny(), labels=LABELS, input_spec=SPEC)
    assert (folder / WEIGHTS).read_bytes() == before
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, WEIGHTS]


def edit(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps({**config, **changes}))

    return damage


def drop(entry: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        del config[entry]
        (folder / CONFIG).write_text(json.dumps(config))

    return damage


def option(**changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        config["options"].update(changes)
        (folder / CONFIG).write_text(json.dumps(config))

    return damage


def reweigh(change: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        state = load_file(folder / WEIGHTS)
        change(state)
        save_file(state, folder / WEIGHTS)

    return damage


def cut(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def as_folder(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / WEIGHTS).mkdir()


KEY = "trunk.conv1_1.conv.weight"


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda f: (f / CONFIG).unlink(), "half-written, config.json is missing"),
        (lambda f: (f / WEIGHTS).unlink(), "half-written, model.safetensors is missing"),
        (lambda f: (f / CONFIG).write_text("{"), "config.json: damaged, not JSON"),
        (lambda f: (f / CONFIG).write_text("[]"), "expected a JSON object"),
        (lambda f: (f / CONFIG).write_text(""), "; copy the folder again or train again"),
        (as_folder, "model.safetensors: is a folder, and a file of weights is needed; copy the "),
        (edit(format_version=2), "written by a newer upscore"),
        (edit(format_version="1"), "format_version is '1'"),
        (drop("format_version"), "format_version is None"),
        (drop("classes"), "no entry 'classes'"),
        (drop("options"), "no entry 'options'"),
        (edit(options=3), "config.json: "),
        (edit(classes=[{"name": "a"}]), "no entry 'color'"),
        (edit(classes=[{"name": "a", "color": [0, 0, 0]}]), "lists 1 classes"),
        (
            edit(input_spec=InputSpec.named("lite0").grey().to_json()),
            "input_spec has 1 channel, but",
        ),
        (edit(architecture="fcn7s"), "no network 'fcn7s'"),
        (option(wings=2), "unknown setting 'wings'"),
        (option(at_once=True), "belong to different networks"),
        (lambda f: (f / WEIGHTS).write_bytes(b""), "model.safetensors: damaged or truncated"),
        (lambda f: (f / WEIGHTS).write_bytes(b"rubbish" * 9), "damaged or truncated"),
        (cut, "damaged or truncated"),
        (edit(input_spec={"channel_order": "rgb", "mean": ["x"], "std": [1]}), "damaged"),
        (edit(input_spec={"channel_order": "rgb", "mean": [0] * 3, "std": [1, 1, 0]}), "damaged"),
        (lambda f: (f / CONFIG).write_text('{"a": 1, "a": 2}'), "key 'a' is given twice"),
        (lambda f: (f / CONFIG).write_text("[" * 4000), "config.json: damaged, not JSON"),
        (option(num_classes=10**200), "config.json: "),
        (reweigh(lambda s: s[KEY].view(-1)[5].fill_(math.nan)), f"{KEY} holds NaN or infinity"),
        (reweigh(lambda s: s[KEY].view(-1)[5].fill_(-math.inf)), f"{KEY} holds NaN or infinity"),
        (reweigh(lambda s: s.pop(KEY)), f"no weights for {KEY}"),
        (reweigh(lambda s: s.update(extra=torch.ones(1))), "left-over weights extra"),
        (
            reweigh(lambda s: s.update({KEY: torch.ones(2, 3, 3, 3)})),
            f"{KEY} is (2, 3, 3, 3), expected (1, 3, 3, 3)",
        ),
        (reweigh(lambda s: s.update({KEY: s[KEY].double()})), f"{KEY} is torch.float64, expected"),
        *[
            (
                reweigh(lambda s, kind=kind: s.update({KEY: s[KEY].to(kind)})),
                f"{KEY} is {kind}, expected torch.float32; write the file again with tensor.float",
            )
            for kind in (torch.bfloat16, torch.float64)
        ],
        (
            reweigh(lambda s: s.update({KEY: s[KEY].to(torch.float8_e4m3fn)})),
            f"{KEY} holds float8_e4m3fn numbers",
        ),
        (
            reweigh(lambda s: s["trunk.conv1_1.norm.running_var"].fill_(-1)),
            "trunk.conv1_1.norm.running_var holds variances below 0",
        ),
        *[
            (edit(photos={"range": limits}), "photos.range: expected two numbers [black, white]")
            for limits in (
                [5, 1],
                [5, 5],
                "12",
                [1],
                [0, 1, 2],
                [1e308, -1e308],
                [-1e308, 1e308],
                [False, True],
                ["0", "1"],
            )
        ],
        *[
            (edit(photos={"bands": bands}), "photos.bands: expected one or three numbers")
            for bands in ([0, 0, 0], [-1, -2, -3], [], [1, 2], [1.0, 2.0, 3.0], "123", [True])
        ],
        (edit(photos={"rnage": [0, 1]}), "photos: expected range, bands, both or neither, found {"),
        (edit(photos=None), "photos: expected range, bands, both or neither, found None"),
        (reweigh(dict.clear), "no weights for trunk.conv1_1.conv.weight, "),
    ],
)
def test_refusals(damage: Callable[[Path], Any], message: str, folder: Path) -> None:
    damage(folder)
    for read in (load_model, lambda folder: initialise(tiny(), str(folder), input_spec=SPEC)):
        with pytest.raises(RunError) as caught:
            read(folder)
        assert message in str(caught.value)
        assert str(folder) in str(caught.value)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such model folder"):
        load_model(tmp_path / "nowhere")
    with pytest.raises(RunError, match="not a model folder"):
        load_model(tmp_path)
