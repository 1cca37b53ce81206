"""Kill a job before each of its writes (or some), one after another, and go on with it each time.

A process of its own, started with OMP_NUM_THREADS=1: it forks after torch is imported and warm,
which is safe without threads and saves seconds for each kill.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir"}


def kill_before(number: int, out: Path) -> None:
    """From now on: end this process at once, before its ``number``-th write below ``out``."""
    seen, killed = 0, os.getpid()

    def look(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in CHANGES or (event == "open" and arguments[2] & WRITES):
            path = str(arguments[0])
            is_new = event != "os.mkdir" or not os.path.isdir(path)  # noqa: PTH112 - no events
            if path.startswith(str(out)) and is_new:
                seen += 1
                if seen == number and os.getpid() == killed:  # not one that it forked
                    os.kill(killed, signal.SIGKILL)

    sys.addaudithook(look)


def in_child(work: Callable[[], object]) -> int:
    """The exit status of a forked process that does this; minus the signal that killed it."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def killed_everywhere(job: Callable[[Path], object], folder: Path, every: int) -> Iterator[Path]:
    """Outputs of the job (which writes what it is given): killed once, gone on with, one a write.

    Args:
        folder: for outputs.
        every: 1 for each write, 2 for every second one, and so on.
    """
    number, status = 1 - every, -signal.SIGKILL
    while status == -signal.SIGKILL:
        number += every
        out = folder / "killed" / str(number)

        def killed(number: int = number, out: Path = out) -> None:
            kill_before(number, out)
            job(out)

        status = in_child(killed)
        assert status in (0, -signal.SIGKILL), f"write {number}: ended with {status}"
        if status:
            again = in_child(lambda out=out: job(out))  # type: ignore[misc]
            assert again == 0, f"killed before write {number}: cannot be gone on with"
            yield out
            shutil.rmtree(folder / "killed")


def training(data: Path, *recipe_and_settings: str) -> Callable[[Path], None]:
    """A job that trains, or finds that it has."""
    from training.conftest import validation_takes
    from upscore.errors import RunError
    from upscore.training.recipe import load_recipe
    from upscore.training.setup import train

    recipe = load_recipe(recipe_and_settings[0], recipe_and_settings[1:])

    def job(out: Path) -> None:
        try:
            train(recipe, data=data, out=out, resume=True, make_validate=validation_takes(0.0))
        except RunError as error:
            if "this training is finished" not in str(error):
                raise

    return job


def main() -> None:
    """``kill_writes.py EVERY DATA FOLDER RECIPE SETTING ...``: each equals the undisturbed one."""
    every, data, folder, *recipe_and_settings = sys.argv[1:]
    sys.modules["torch.utils.tensorboard"] = None  # type: ignore[assignment]  # writes in a thread
    from training.run_files import assert_same_folder

    job = training(Path(data), *recipe_and_settings)
    whole = Path(folder) / "whole"
    job(whole)
    count = 0
    for out in killed_everywhere(job, Path(folder), int(every)):
        assert_same_folder(whole, out)
        count += 1
    print(count)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    main()
