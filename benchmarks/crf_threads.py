"""Threads of kernels, another commit's against this one's: the same CRF in turns in one process.

    python benchmarks/crf_threads.py COMMIT [--rounds 9]

Prints medians of processor and wall-clock seconds, and the median ratio of pairs. With other work
on the machine the ratios are to be read, and those of one thread, where no thread is started, show
the noise.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
import types
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.crf import SETTINGS, photo, probabilities_for
from upscore.core.jit import threads as present
from upscore.crf import DenseCRF
from upscore.crf.lattice import build, engine

SIZES = ((500, 375), (1000, 750))
NUM_CLASSES = 21
SOURCE = "src/upscore/core/jit/threads.py"


def module_at(commit: str) -> types.ModuleType:
    """The module that runs kernels in threads, as it was at a commit."""
    show = ["git", "-C", str(Path(__file__).parent), "show", f"{commit}:{SOURCE}"]
    code = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    module = types.ModuleType("threads_before")
    sys.modules[module.__name__] = module
    exec(compile(code, SOURCE, "exec"), module.__dict__)
    return module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit")
    parser.add_argument("--rounds", type=int, default=9)
    arguments = parser.parse_args()
    ways = {"before": module_at(arguments.commit).run_parallel, "now": present.run_parallel}
    print("| photo | threads | processor s before | now | wall-clock s before | now ", end="")
    print("| ratio of pairs, processor | wall-clock |\n|---|---|---|---|---|---|---|---|")
    terms = SETTINGS["Gaussian 3/3, bilateral 20/3/5"]
    for size in SIZES:
        image, p = photo(None, size), probabilities_for(size, NUM_CLASSES)
        for threads in (1, 2):
            crf = DenseCRF(*terms, threads=threads)
            want = crf(image, probabilities=p)
            taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
            for number in range(arguments.rounds):
                for name in sorted(ways, reverse=bool(number % 2)):
                    for module in (engine, build):
                        vars(module)["run_parallel"] = ways[name]
                    begin = time.process_time(), time.perf_counter()
                    got = crf(image, probabilities=p)
                    end = time.process_time(), time.perf_counter()
                    taken[name].append((end[0] - begin[0], end[1] - begin[1]))
                    assert np.array_equal(got, want)
            cells = []
            ratios = []
            for clock in (0, 1):
                before, now = ([one[clock] for one in taken[name]] for name in ("before", "now"))
                cells += [f"{statistics.median(before):.3f}", f"{statistics.median(now):.3f}"]
                pairs = [b / a for a, b in zip(before, now, strict=True)]
                ratios.append(f"{statistics.median(pairs):.2f}")
            name = f"{size[0]}x{size[1]}"
            print("|", " | ".join([name, str(threads), *cells, *ratios]), "|", flush=True)


if __name__ == "__main__":
    main()
