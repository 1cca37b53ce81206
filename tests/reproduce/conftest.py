from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from reproduce.support import run
from upscore.data.toy import make_toy


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_toy(tmp_path_factory.mktemp("reproduce") / "toy", num=8, seed=1, size=(48, 64))


@pytest.fixture(scope="session")
def report_once(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole fcn-report, made once; copy it before changing it."""
    out = tmp_path_factory.mktemp("report") / "out"
    run("fcn-report", toy, out)
    return out


@pytest.fixture
def report(report_once: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(report_once, tmp_path / "out"))
