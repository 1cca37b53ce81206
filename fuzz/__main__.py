"""Damages files of every format and reads them: ``python -m fuzz --minutes 5``.

Each input follows from a format and a seed. What was not refused cleanly is kept in build/fuzz, and
``python -m fuzz --seed FORMAT:NUMBER`` reads that input again.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from pathlib import Path

from fuzz.formats import FORMATS
from fuzz.judge import good_file, judge, mutated

BATCH = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="fuzz", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="over all formats")
    parser.add_argument("--inputs", type=int, help="of each format, in place of minutes")
    parser.add_argument("--formats", nargs="+", choices=list(FORMATS), default=list(FORMATS))
    parser.add_argument("--seed", help="one input again: FORMAT:NUMBER; or the first NUMBER of all")
    parser.add_argument("--keep", type=Path, default=Path("build/fuzz"), help="what failed")
    options = parser.parse_args()
    name, _, number = (options.seed or "0").rpartition(":")
    begin, first, tried, faults = time.monotonic(), int(number), 0, 0
    if name:
        _keep(options.keep, name, first)
        options.formats, options.inputs = [name], 1
    size = options.inputs or BATCH
    for start in itertools.count(first, size):
        for fault in judge((name, start + i) for name in options.formats for i in range(size)):
            tried += 1
            if fault is not None:
                faults += 1
                _keep(options.keep, fault.format, fault.seed)
                print(f"SEED={fault.format}:{fault.seed}\n{fault.what.rstrip()}\n", flush=True)
            if options.inputs is None and time.monotonic() > begin + 60 * options.minutes:
                break
        else:
            if options.inputs is None:
                continue
        break
    print(f"{tried} inputs, {faults} of them not read and not refused cleanly")
    return 1 if faults else 0


def _keep(folder: Path, name: str, seed: int) -> None:
    with good_file(name) as path:
        folder.mkdir(parents=True, exist_ok=True)
        kept = folder / f"{name}-{seed}-{path.name}"
        kept.write_bytes(mutated(name, seed, path.read_bytes()))


if __name__ == "__main__":
    sys.exit(main())
