from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from report.fake_runs import make_run
from upscore.core.run_folder import RunFolder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return make_run(tmp_path_factory.mktemp("made") / "first run")


@pytest.fixture
def run(made_once: RunFolder, tmp_path: Path) -> RunFolder:
    """A whole run folder of CamVid's classes, the test's own copy."""
    return RunFolder(Path(shutil.copytree(made_once.path, tmp_path / "first run")))
