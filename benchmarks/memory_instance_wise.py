"""Peak memory of full-width DeconvNet over 50 and over 200 proposals of a 500x375 photo.

It has to be below 3 GiB over the weights, and the same for both up to what an allocator's chance
makes of it: if the scores of boxes were kept, 150 more would need another 600 MiB. Each count runs
in a process of its own (Linux), with memory kept as ``upscore predict`` keeps it.

    python benchmarks/memory_instance_wise.py [--counts 50 200] [--width 1.0] [--batch 25]
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from pathlib import Path

LIMIT_MIB = 3 * 1024
SAME = 1.2


def status(field: str) -> float:
    """A size in /proc/self/status (Linux), in MiB."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"this system has no {field} in /proc/self/status")


def measure(count: int, arguments: argparse.Namespace) -> None:
    """One row of the table: MiB of the weights, resident with them, at most, and the boxes."""
    from upscore.core.memory import limit_onednn_cache, tune_malloc

    limit_onednn_cache()  # as the command does, before torch comes in
    import ctypes

    import numpy as np
    import torch

    from upscore.core.images import InputSpec
    from upscore.core.labels import VOC_LABELS
    from upscore.core.runtime import select_runtime
    from upscore.inference.instance_wise import PAPER, InstanceWise
    from upscore.models.factory import create_model
    from upscore.proposals.sliding_window import Grid

    runtime = select_runtime("cpu", arguments.precision)
    torch.manual_seed(0)
    torch.set_default_dtype(runtime.dtype)  # no float32 copy that would hide what comes after
    model = create_model("deconvnet", num_classes=21, width=arguments.width)
    torch.set_default_dtype(torch.float32)
    segmenter = InstanceWise(
        model, VOC_LABELS, InputSpec.named("imagenet"), runtime, Grid(),
        settings=PAPER.model_copy(update={"top": count, "batch": arguments.batch}),
    )  # fmt: skip
    del model
    tensors = [*segmenter.network.model.parameters(), *segmenter.network.model.buffers()]
    weights = sum(tensor.numel() * tensor.element_size() for tensor in tensors) / 2**20
    photo = np.random.default_rng(0).integers(0, 256, (375, 500, 3), dtype=np.uint8)
    found = len(segmenter.boxes(photo))
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    tune_malloc()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # forget the peak so far
    before = status("VmRSS")
    segmenter.predict(photo)
    print(weights, before, status("VmHWM"), found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--counts", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--batch", type=int, default=25)
    parser.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        measure(arguments.one, arguments)
        return
    print("| proposals | weights MiB | resident before MiB | peak MiB | peak over weights MiB |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    over = []
    for count in arguments.counts:
        command = [sys.executable, __file__, *sys.argv[1:], "--one", str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr)
        weights, before, peak, found = (float(part) for part in done.stdout.split())
        over.append(peak - weights)
        print(f"| {found:.0f} | {weights:.0f} | {before:.0f} | {peak:.0f} | {over[-1]:.0f} |",
              flush=True)  # fmt: skip
    below, same = max(over) < LIMIT_MIB, max(over) <= SAME * min(over)
    print(f"\nbelow {LIMIT_MIB} MiB: {'yes' if below else 'NO'}; the same within "
          f"{SAME - 1:.0%}: {'yes' if same else 'NO'}")  # fmt: skip
    if not (below and same):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
