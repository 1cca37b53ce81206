"""The patch classifier slid over a photo, and the same weights in one pass: time, sums, equality.

Both give the same scores (the largest difference is printed). They are timed in turns in one
process; medians are printed. "operations" are those of convolutions as torch counts them, which do
not depend on the machine. On a machine that is busy with other work, --cpu-time and
OMP_NUM_THREADS=1 compare what one thread spends instead of the clock.

    python benchmarks/patch_cnn.py [--size 240 320] [--batch 64] [--rounds 5] [--cpu-time]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from upscore.core.memory import tune_malloc
from upscore.core.runtime import cpu_name
from upscore.models.factory import create_model
from upscore.models.fold import fold_batch_norm
from upscore.models.patch_cnn import PATCH, STRIDE, PatchCNN


def count(run: Callable[[], Tensor]) -> int:
    """Multiplications and additions of one call."""
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, nargs=2, default=(240, 320), help="height and width")
    parser.add_argument("--batch", type=int, default=64, help="patches at once")
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cpu-time", action="store_true")
    args = parser.parse_args()
    tune_malloc()
    torch.manual_seed(0)
    network = create_model("patch-cnn", num_classes=args.classes, score_init="he").eval()
    model = fold_batch_norm(network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert isinstance(model, PatchCNN)
    image = torch.randn(1, 3, *args.size).to(memory_format=torch.channels_last)
    forms: dict[str, Callable[[], Tensor]] = {
        "slid, patch by patch": lambda: model.slide(image, batch=args.batch),
        "one pass": lambda: model(image),
    }
    clock = time.process_time if args.cpu_time else time.perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    scores: dict[str, Tensor] = {}
    for turn in range(args.rounds + 1):  # the first one warms up
        for name, run in forms.items():
            begin = clock()
            scores[name] = run()
            if turn:
                seconds[name].append(clock() - begin)
    slid, whole = scores.values()
    height, width = (-(-(side - 1) // STRIDE) + 1 for side in args.size)
    print(
        f"{cpu_name()}, {torch.get_num_threads()} threads, fp32; photo of {args.size[0]}x"
        f"{args.size[1]}: {height * width:,} patches of {PATCH}x{PATCH}, {args.batch} at once"
    )
    print(
        f"largest difference of scores {(slid - whole).abs().max():.1e}, of {slid.abs().max():.1f}"
    )
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    operations = {name: count(run) for name, run in forms.items()}
    first, last = forms
    for name in forms:
        print(f"{name:22} {medians[name]:8.3f} s {operations[name] / 1e9:9.1f} G operations")
    print(
        f"{'ratio':22} {medians[first] / medians[last]:8.1f}   "
        f"{operations[first] / operations[last]:9.1f}"
    )


if __name__ == "__main__":
    main()
