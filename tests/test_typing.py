"""The public API is typed as seen from outside: mypy --strict on a program that uses it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CLIENT = """
from pathlib import Path

import upscore
from upscore.metrics import Confusion

trained = upscore.train("fcn8s-quick", data="photos", out=Path("run"), assignments=["seed=1"])
reveal_type(trained.best)
reveal_type(upscore.evaluate("run", data="photos").miou)
reveal_type(upscore.load("run").segment("photo.jpg").labels)
reveal_type(upscore.open_dataset("photos").split("train"))
reveal_type(upscore.create_model("fcn8s", num_classes=2))
reveal_type(Confusion(2).scores().miou)
upscore.train(3)  # type: ignore[call-arg, arg-type]
"""
SEEN = (
    "float | None",
    "float | None",
    "numpy.ndarray[",
    "upscore.data.dataset.Split",
    "upscore.models.base.Network",
    "float | None",
)


@pytest.mark.slow
def test_a_typed_program(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "client.py").write_text(CLIENT)
    (tmp_path / "mypy.ini").write_text("[mypy]\nstrict = true\n")
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "client.py"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    notes = [line.partition("Revealed type is ")[2] for line in done.stdout.splitlines()]
    revealed = [note.strip('"') for note in notes if note]
    assert len(revealed) == len(SEEN), done.stdout + done.stderr
    for found, expected in zip(revealed, SEEN, strict=True):
        assert expected in found, done.stdout
    assert done.returncode == 0, done.stdout
