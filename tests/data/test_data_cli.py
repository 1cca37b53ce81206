"""The four verbs of `upscore data`, called as functions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from upscore.cli import data as verbs
from upscore.cli.console import style
from upscore.errors import NotFoundError, WorkError


@pytest.fixture
def out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    verbs.toy(out=tmp_path / "toy", num=24, size=(64, 80))
    assert "24 photos in" in capsys.readouterr().out
    return tmp_path / "toy"


def test_check(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verbs.check(out)
    text = capsys.readouterr().out
    assert "layout toy, 8 classes, train 18, trainval 24, val 6 pairs" in text
    assert "nothing wrong" in text
    assert style.result["problems"] == []


def test_check_lists_problems_and_fails(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out / "JPEGImages" / "toy_000000.jpg").write_bytes(b"")
    (out / "SegmentationClass" / "toy_000002.png").unlink()
    with pytest.raises(WorkError, match=r"toy: 2 problems") as caught:
        verbs.check(out)
    assert caught.value.exit_code == 1
    text = capsys.readouterr().out
    assert "toy_000000.jpg: is empty" in text
    assert "missing partner" in text
    assert len(style.result["problems"]) == 2


def test_check_of_names_with_brackets(
    tmp_path: Path, write_pair, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "[red]set"
    for i in range(4):
        write_pair(root / "images" / f"{i}.png", root / "masks" / f"{i}.png", (0, 1))
    (root / "images" / "0.png").write_bytes(b"")
    with pytest.raises(WorkError):
        verbs.check(root)
    assert "[red]set" in capsys.readouterr().out


def test_stats(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verbs.stats(out, figure=out.parent / "figure.png")
    text = capsys.readouterr().out
    assert "triangle" in text
    assert "instance masks" in text
    assert set(style.result["splits"]) == {
        "train",
        "trainval",
        "val",
    }
    assert (out.parent / "figure.png").stat().st_size > 10_000


def test_get_needs_the_file(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="--from names the archive of voc2012"):
        verbs.get("voc2012", to=tmp_path, from_=tmp_path / "voc.tar")


def test_imports_nothing_heavy() -> None:
    code = (
        "import sys, upscore.cli.data; print(sorted({'numpy', 'torch', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
