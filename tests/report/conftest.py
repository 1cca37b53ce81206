from __future__ import annotations

from pathlib import Path

import pytest

from report.fake_runs import make_run
from upscore.core.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A whole run folder of CamVid's classes."""
    return make_run(tmp_path / "first run")
