"""Python code in a new process, where nothing has been imported yet."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "src"


def run_python(code: str, **env: str) -> str:
    """What ``code`` prints, stripped; fails where it does. ``env`` is its whole environment."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONPATH": str(SOURCE), **env},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()
