"""Training steps of ``quick`` and ``fcn8s-quick`` side by side: crops a second, and their ratio.

Forward, loss and backward of four crops of 256x320; no reading of photos, no optimiser.

    python benchmarks/quick_steps.py [--threads 2]
    ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2 python benchmarks/quick_steps.py --fp32
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from upscore.models.factory import create_model
from upscore.training.loss import cross_entropy_sum, region_loss
from upscore.training.recipe import load_recipe

BATCH, CLASSES = 4, 11


def make_step(name: str, *, bf16: bool) -> Callable[[], None]:
    recipe = load_recipe(name)
    model = create_model(recipe.model.name, num_classes=CLASSES, **recipe.model.options)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.backbone.norms_frozen = recipe.init.freeze_norms
    model.train()
    images = torch.randn(BATCH, 3, 256, 320).to(memory_format=torch.channels_last)
    labels = torch.randint(0, CLASSES, (BATCH, 256, 320))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            scores = model(images)
        loss = cross_entropy_sum(scores, labels) / labels.numel()
        if recipe.loss.region != "none":
            loss = loss + region_loss(scores, labels, settings=recipe.loss)
        loss.backward()  # type: ignore[no-untyped-call]

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--fp32", action="store_true", help="leave out bf16")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for bf16 in (False,) if arguments.fp32 else (False, True):
        steps = {name: make_step(name, bf16=bf16) for name in ("quick", "fcn8s-quick")}
        seconds: dict[str, list[float]] = {name: [] for name in steps}
        for repeat in range(10):  # in turns
            for name, step in steps.items():
                start = time.perf_counter()
                step()
                if repeat > 1:
                    seconds[name].append(time.perf_counter() - start)
        rates = {name: BATCH / statistics.median(values) for name, values in seconds.items()}
        shown = ", ".join(f"{name} {rate:.1f} crops/s" for name, rate in rates.items())
        ratio = rates["quick"] / rates["fcn8s-quick"]
        print(f"{'bf16' if bf16 else 'fp32'}: {shown}; ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
