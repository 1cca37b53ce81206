"""mIoU of `fcn8s-quick` over minutes and samples, and its ablations, each from random weights.

Every row is one `upscore train` into FOLDER/NAME; rows that are finished are read, not run again.

    python benchmarks/quick_recipe.py --data ../shared/data/camvid --folder runs/camvid \
        --minutes 5 12 25 50
    python benchmarks/quick_recipe.py ... --minutes 3 --set optim.name=adamw
"""

from __future__ import annotations

import argparse
import csv
import re
import subprocess
import sys
from pathlib import Path


def train(data: Path, out: Path, settings: list[str]) -> None:
    """One training to its end, gone on with if it was stopped."""
    if out.exists() and last_score(out) is not None:
        return
    command = [sys.executable, "-m", "upscore", "train", "fcn8s-quick", "--data", str(data)]
    subprocess.run([*command, "--out", str(out), "--resume", "--set", *settings], check=True)


def last_score(run: Path) -> dict[str, str] | None:
    """The row of log.csv that holds the validation at the end of the budget."""
    log = run / "log.csv"
    if not log.exists():
        return None
    with log.open(newline="", encoding="utf-8") as stream:
        rows = [row for row in csv.DictReader(stream) if row["val_miou"]]
    return rows[-1] if rows and float(rows[-1]["fraction"]) == 1.0 else None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--minutes", type=float, nargs="+", default=[5, 12, 25, 50])
    parser.add_argument("--set", nargs="*", default=[], help="an ablation: changed settings")
    options = parser.parse_args()
    print("| minutes | changed | iterations | samples | seconds | val mIoU | peak memory MiB |")
    print("|---|---|---|---|---|---|---|")
    for minutes in options.minutes:
        name = re.sub(r"[^a-zA-Z0-9.=-]+", "_", "-".join([f"{minutes:g}min", *options.set]))
        train(options.data, options.folder / name, [f"budget.minutes={minutes:g}", *options.set])
        row = last_score(options.folder / name)
        assert row is not None
        print(
            f"| {minutes:g} | {' '.join(options.set) or '-'} | {row['iteration']} | "
            f"{row['images']} | {float(row['seconds']):.0f} | {float(row['val_miou']):.4f} | "
            f"{row['memory_mib']} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
