"""Fifty mistakes on the command line: seconds, lines, and whether what the message says works.

    python benchmarks/mistakes.py

Each mistake is typed in a process of its own. It must end with status 2 and a message that holds
what to type instead. The corrected command is typed too, where torch cannot be imported: it counts
as accepted if it is done, or if it gets as far as importing torch, which is after all checks of
words and values.
"""

from __future__ import annotations

import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

MISTAKES = (  # typed, what the message holds, corrected
    ("trian --data photos", "upscore train", "train --data photos"),
    ("fit --data photos", "upscore train", "train --data photos"),
    ("val objects --data photos", "upscore evaluate", "evaluate objects --data photos"),
    ("segment a.jpg", "upscore predict", "predict a.jpg"),
    ("check photos", "upscore data check", "data check photos"),
    ("data chek photos", "upscore data check", "data check photos"),
    ("data", "upscore help data", "help data"),
    ("--data photos", "upscore train --data", "train --data photos"),
    ("xyzzy", "upscore --help", "--help"),
    ("train photos", "upscore train --data photos", "train --data photos"),
    ("train", "upscore train quick --data", "train quick --data photos --out r --minutes 12"),
    ("train quik --data photos", "'quick'", "train quick --data photos"),
    ("train --dat photos", "--data", "train --data photos"),
    ("train -data photos", "--data", "train --data photos"),
    ("train --data phtos", "photos", "train --data photos"),
    ("train --data photos --lr 0.1", "--set optim.lr=0.1",
     "train --data photos --set optim.lr=0.1"),
    ("train --data photos --batch-size 8", "--set batch.size=8",
     "train --data photos --set batch.size=8"),
    ("train --data photos --imgsz 320", "--set 'augment.crop=[320,320]'",
     "train --data photos --set 'augment.crop=[320,320]'"),
    ("train --data photos --name r", "--out", "train --data photos --out r"),
    ("train --data photos --gpu 0", "--device cuda", "train --data photos --device cuda"),
    ("train --data photos --device gpu", "'cuda'", "train --data photos --device cuda"),
    ("train --data photos --max-steps 9", "--iterations 9", "train --data photos --iterations 9"),
    ("train --data photos --patience 3", "--set validate.patience=3",
     "train --data photos --set validate.patience=3"),
    ("train --data photos --model unet", "upscore train quick", "train quick --data photos"),
    ("train --data photos --iterations 0", "1 or more", "train --data photos --iterations 1"),
    ("train --data photos --iterations 2.5", "a whole number",
     "train --data photos --iterations 2"),
    ("train --data photos --minutes soon", "a number", "train --data photos --minutes 1"),
    ("train --data photos --iterations 5 --minutes 1", "give one",
     "train --data photos --iterations 5"),
    ("train --data photos --set lr=0.1", "optim.lr", "train --data photos --set optim.lr=0.1"),
    ("train --data photos --set optim.lrr=0.1", "optim.lr",
     "train --data photos --set optim.lr=0.1"),
    ("train --data photos --set batch=8", "batch.size", "train --data photos --set batch.size=8"),
    ("train --data photos --set momentun=0.8", "optim.momentum",
     "train --data photos --set optim.momentum=0.8"),
    ("train --data photos --seed -1", "0 or more", "train --data photos --seed 0"),
    ("evaluate objcts --data photos", "objects", "evaluate objects --data photos"),
    ("evaluate objects --data fotos", "photos", "evaluate objects --data photos"),
    ("evaluate objects --data photos --figures pfd", "'pdf'",
     "evaluate objects --data photos --figures pdf"),
    ("evaluate objects --data photos --tta", "--flip --scales 0.75 1 1.25",
     "evaluate objects --data photos --flip --scales 0.75 1 1.25"),
    ("predict --source a.jpg", "upscore predict RUN PHOTO.jpg", "predict objects a.jpg"),
    ("predict b.jpg", "a.jpg", "predict a.jpg"),
    ("predict a.jpg --model rads", "roads", "predict a.jpg --model roads"),
    ("predict rads a.jpg", "roads", "predict roads a.jpg"),
    ("predict a.jpg --save overlays", "'overlay'", "predict a.jpg --save overlay"),
    ("predict a.jpg --alpha 3", "0 (photo alone) to 1", "predict a.jpg --alpha 1"),
    ("predict a.jpg --tile 100", "--tile 128", "predict a.jpg --tile 128"),
    ("predict a.jpg --crf deconvnett", "'deconvnet'", "predict a.jpg --crf deconvnet"),
    ("predict a.jpg --output o", "--out", "predict a.jpg --out o"),
    ("compare objects --data photos", "two or more", "compare objects roads --data photos"),
    ("refine masks --images photos", "--out", "refine masks --images photos --classes 2 --out o"),
    ("recipes quikc", "'quick'", "recipes quick"),
    ("data check photos --json out.json", "--json > out.json", "data check photos --json"),
)  # fmt: skip

CODE = """
import sys
if {blocked}: sys.modules["torch"] = None
from upscore.cli import main
status = 0
try:
    main({words!r})
except SystemExit as end:
    status = end.code
print("torch" in sys.modules and sys.modules["torch"] is not None, file=sys.stderr)
sys.exit(status)
"""


@dataclass(frozen=True)
class Answer:
    """What a process printed and took."""

    status: int
    message: str
    torch: bool
    seconds: float
    cpu: float

    @property
    def is_accepted(self) -> bool:
        """Whether the words were understood, up to the import of torch."""
        return self.status == 0 or "import of torch halted" in self.message


def children_seconds() -> float:
    """Processor time of all processes that have been started here and have ended."""
    times = os.times()
    return times.children_user + times.children_system


def typed(words: str, folder: Path, *, blocked: bool) -> Answer:
    """The answer to a command, in a process of its own."""
    code = CODE.format(words=shlex.split(words), blocked=blocked)
    before, begin = children_seconds(), time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    seconds, cpu = time.perf_counter() - begin, children_seconds() - before
    message, _, torch = done.stderr.rstrip("\n").rpartition("\n")
    return Answer(done.returncode, message, torch == "True", seconds, cpu)


def main() -> int:
    """Print the table and its summary; 1 where a message does not help."""
    rows, wrong = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for part in ("images", "masks"):
            (folder / "photos" / part).mkdir(parents=True)
        (folder / "masks").mkdir()
        (folder / "a.jpg").touch()
        for words, told, corrected in MISTAKES:
            answer = typed(words, folder, blocked=False)
            works = typed(corrected, folder, blocked=True)
            rows.append((words, answer))
            print(
                f"{answer.seconds:5.2f} s {answer.cpu:5.2f} s CPU "
                f"{len(answer.message.splitlines())} lines  upscore {words}"
            )
            if answer.status != 2 or told not in answer.message:
                wrong.append(f"upscore {words}: {answer.message}")
            elif not works.is_accepted:
                wrong.append(f"upscore {corrected} (corrected): {works.message}")
    answers = [answer for _, answer in rows]
    lines = [len(answer.message.splitlines()) for answer in answers]
    cpu = [answer.cpu for answer in answers]
    print(
        f"\n{len(rows)} mistakes: {sum(answer.torch for answer in answers)} import torch; "
        f"lines: at most {max(lines)}; CPU seconds: median {statistics.median(cpu):.2f}, "
        f"most {max(cpu):.2f}; what to type works in {len(rows) - len(wrong)}"
    )
    print("\n".join(wrong))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
