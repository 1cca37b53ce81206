"""What tests share: where the real photos are, small pictures, one thread for small models."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photos, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("UPSCORE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real photos at {folder} (set UPSCORE_DATA)")
    return folder
