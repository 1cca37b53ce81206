from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src"


def run(code: str, **env: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE), **env},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


SHOW = (
    "import os; from upscore.core.shape_cache import bound_shape_caches; bound_shape_caches(); "
    "print(os.environ.get('ONEDNN_PRIMITIVE_CACHE_CAPACITY'), os.environ.get('LRU_CACHE_CAPACITY'))"
)


def test_set_before_torch():
    assert run(SHOW) == "64 64"


def test_the_users_setting_is_kept():
    assert run(SHOW, LRU_CACHE_CAPACITY="9") == "64 9"


def test_too_late_after_torch():
    """It would do nothing, so nothing is changed."""
    assert run("import sys; sys.modules['torch'] = sys; " + SHOW) == "None None"
