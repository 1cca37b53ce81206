"""Pipes and sockets among the files of a data set and elsewhere: named, never waited for."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.cli.main import main

NOT_A_FILE = "not a file"

pytestmark = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four photos with masks, lists, and classes."""
    mask = np.zeros((40, 40), dtype=np.uint8)
    mask[:9] = 1
    for folder in ("images", "masks"):
        (tmp_path / "data" / folder).mkdir(parents=True)
    for place in range(4):
        photo = np.full((40, 40, 3), 40 * place, dtype=np.uint8)
        Image.fromarray(photo).save(tmp_path / f"data/images/{place}.png")
        Image.fromarray(mask).save(tmp_path / f"data/masks/{place}.png")
    (tmp_path / "data/train.txt").write_text("0\n1\n")
    (tmp_path / "data/val.txt").write_text("2\n3\n")
    (tmp_path / "data/classes.txt").write_text("ground\ntree\n")
    return tmp_path / "data"


def run(*arguments: str | Path) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def text(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    return captured.out + captured.err


@pytest.mark.parametrize("name", ["images/0.png", "masks/0.png", "train.txt"])
@pytest.mark.parametrize("verb", ["check", "stats", "train"])
def test_of_a_data_set(
    data: Path, name: str, verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if verb == "stats" and name.startswith("images"):
        pytest.skip("reads masks alone")
    (data / name).unlink()
    os.mkfifo(data / name)
    given = ["data", verb, data] if verb != "train" else []
    given = given or ["train", "fcn8s-quick", "--data", data, "--out", tmp_path / "run",
                      "--set", "device=cpu"]  # fmt: skip
    assert run(*given) in (1, 2)
    assert NOT_A_FILE in text(capsys)
    assert not (tmp_path / "run").exists()


def test_a_socket(
    data: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (data / "masks/0.png").unlink()
    monkeypatch.chdir(data / "masks")  # names of sockets are short
    with socket.socket(socket.AF_UNIX) as there:
        there.bind("0.png")
        assert run("data", "check", data) == 1
    assert NOT_A_FILE in text(capsys)


@pytest.mark.parametrize(
    "command",
    [
        "data check PIPE",
        "data check PIPE.yaml",
        "predict MODEL PIPE --out OUT",
        "predict MODEL PIPE.jpg --out OUT",
        "predict PIPE.yaml DATA/images/0.png --out OUT",
        "train PIPE.yaml --data DATA --out OUT",
        "refine PIPE.npz --images DATA/images --out OUT",
        "proposals make --data DATA --source file --file PIPE.parquet --out OUT/b.parquet",
        "evaluate PIPE.yaml --data DATA",
    ],
)
def test_in_place_of_an_argument(
    data: Path, tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"DATA": data, "OUT": tmp_path / "out", "PIPE": tmp_path / "pipe", "MODEL": "roads"}
    for name, place in places.items():
        command = command.replace(name, str(place))
    for suffix in ("", ".yaml", ".jpg", ".npz", ".parquet"):
        os.mkfifo(tmp_path / f"pipe{suffix}")
    assert run(*command.split()) in (1, 2)
    assert NOT_A_FILE in text(capsys)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_in_a_model(
    data: Path, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from upscore.core.model_folder import builtin_networks

    model = tmp_path / "model"
    shutil.copytree(builtin_networks()["roads"], model)
    (model / name).unlink()
    os.mkfifo(model / name)
    assert run("predict", model, data / "images/0.png", "--out", tmp_path / "out") == 2
    assert NOT_A_FILE in text(capsys)
