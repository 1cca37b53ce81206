"""Write requirements.lock: every package of ``upscore[all]`` with its version and its hashes.

``make lock`` runs it. Versions are those of constraints.txt; the file covers the systems and Python
versions of pyproject.toml. On Linux torch is installed first, as its builds for CPUs and for each
kind of GPU are other files than PyPI's, so the CUDA libraries of PyPI's build are left out.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements.lock"

HEADER = """\
# Every package of upscore[all] for Linux, macOS and Windows, with hashes. Made by `make lock` from
# pyproject.toml and constraints.txt. How to install it: docs/quickstart.md. Without the CUDA
# libraries of torch, which is installed first on Linux.
"""

CUDA = ("cuda-", "nvidia-", "triton")
"""How the names of packages begin that only torch's build for NVIDIA GPUs needs."""


def without_cuda(listed: str) -> str:
    """The entries of a list, a line and its indented ones each, that are not of :data:`CUDA`."""
    entries = re.findall(r"^\S.*\n(?:[ \t].*\n)*", listed, re.MULTILINE)
    return "".join(entry for entry in entries if not entry.startswith(CUDA))


def main() -> None:
    """Resolve with uv, and replace the file."""
    command = [
        sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--extra", "all",
        "--constraint", "constraints.txt", "--universal", "--python-version", "3.11",
        "--generate-hashes", "--no-header", "--no-annotate", "--quiet",
    ]  # fmt: skip
    listed = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    text = HEADER + without_cuda(listed)
    if "://" in text:
        raise SystemExit("the list names an address; none may be in the repository")
    temporary = LOCK.with_suffix(".temporary")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(LOCK)


if __name__ == "__main__":
    main()
