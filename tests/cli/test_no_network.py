"""No command opens a connection but those that are there for it (`data get`, `hub`)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[2] / "src"

# read by every Python process that has its folder on PYTHONPATH, so by workers too
FORBID = """
import socket, sys

WATCHED = {"socket.connect", "socket.bind", "socket.getaddrinfo", "socket.gethostbyname",
           "socket.gethostbyaddr", "socket.sendto", "socket.sendmsg"}

def forbid(event, arguments):
    if event not in WATCHED:
        return
    if getattr(arguments[0], "family", None) == getattr(socket, "AF_UNIX", -1):
        return  # processes of one program
    with open(TOLD, "a") as file:
        file.write(f"{event} {arguments[1:]} by {sys.argv}\\n")
    raise ConnectionRefusedError(f"{event} is forbidden")

sys.addaudithook(forbid)
"""

RUN = """
import sys
from upscore.cli.main import main

if __name__ == "__main__":
    for line in sys.stdin.read().splitlines():
        main(line.split())
"""


def run(folder: Path, program: str, text: str) -> tuple[int, str, str]:
    """Exit status and error output of a program without network, and what it tried."""
    told = folder / "told"
    (folder / "sitecustomize.py").write_text(f"TOLD = {str(told)!r}\n{FORBID}")
    (folder / "program.py").write_text(program)
    path = os.pathsep.join([str(folder), str(SOURCE)])
    done = subprocess.run(
        [sys.executable, "program.py"], cwd=folder, env=os.environ | {"PYTHONPATH": path},
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr, told.read_text() if told.exists() else ""


def test_the_net_catches(tmp_path: Path) -> None:
    program = "import socket\nsocket.create_connection(('127.0.0.1', 9))"
    status, error, told = run(tmp_path, program, "")
    assert status == 1
    assert "is forbidden" in error
    assert told.startswith("socket.getaddrinfo ")


@pytest.mark.slow
def test_no_command_opens_a_connection(tmp_path: Path) -> None:
    small = "model.options.channels=[8,8,8,8,8] model.options.fc_width=8 augment.crop=[32,32]"
    commands = f"""
        recipes
        data toy --out toy --num 12 --size 32 32
        data check toy
        data stats toy
        train fcn8s-toy --data toy --out run --set {small} budget.iterations=2 data.workers=1
        evaluate run --data toy --out scores
        predict run toy/JPEGImages --out labels --save labels,probabilities
        predict toy/JPEGImages/toy_000000.jpg --out at-once
        refine labels/labels --images toy/JPEGImages --classes 7 --out refined --workers 1
        proposals make --data toy --out boxes.parquet --workers 1
        report run
    """
    status, error, told = run(tmp_path, RUN, commands.strip())
    assert (status, told) == (0, ""), error
    assert (tmp_path / "run/report.html").exists()
