"""Training throughput of full-width FCN-8s, 320x320 crops: ours against the plain way, one process.

The plain way is what a first script does: eager, fp32, NCHW, torch's DataLoader with its defaults.
It is timed with our geometry (same work), and with the papers' pad of 100 pixels, which is what a
port of the released network does; first under the allocator's defaults, then in rounds that
alternate with ours, while freed memory is kept as ``upscore train`` keeps it. Medians are printed,
and the FLOPs that are counted are set against a measured matrix product.

    python benchmarks/training.py [--rounds 5] [--batch 2] [--width 1.0]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from upscore.core.images import InputSpec
from upscore.core.memory import tune_malloc
from upscore.core.runtime import cpu_name, matrix_rate, peak_memory_bytes, select_runtime
from upscore.data import Split, open_dataset
from upscore.data.toy import make_toy
from upscore.data.transforms import Augment
from upscore.models.base import Network
from upscore.models.factory import create_model
from upscore.models.im2col_conv import Im2colConv2d
from upscore.training.loss import cross_entropy_sum
from upscore.training.optim import make_optimizers
from upscore.training.sample_order import random_order
from upscore.training.sample_stream import Sampler
from upscore.training.settings import OptimSettings

CROP = (320, 320)
SPEC = InputSpec.named("imagenet")


class PlainDataset(Dataset[tuple[Tensor, Tensor]]):
    """What a first script writes: read, augment, normalise, one sample at a time."""

    def __init__(self, split: Split) -> None:
        self.split, self.augment = split, Augment(crop=CROP, flip=0.5)

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        sample = self.augment(self.split.read(index), np.random.default_rng())
        image = torch.from_numpy(sample.image).permute(2, 0, 1).contiguous()
        return SPEC.apply(image[None])[0], torch.from_numpy(sample.labels).long()


def plain_model(name: str, **options: Any) -> Network:
    """The network of the catalogue with nothing but torch's own convolutions."""
    model = create_model(name, **options)
    for module in model.modules():
        if isinstance(module, Im2colConv2d):
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
    return model


def plain_step(split: Split, batch: int, width: float, geometry: str) -> Callable[[], None]:
    model = plain_model("fcn8s", num_classes=21, width=width, geometry=geometry).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-5)
    criterion = nn.CrossEntropyLoss(ignore_index=255)

    def stream() -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from DataLoader(PlainDataset(split), batch_size=batch, shuffle=True)

    batches = stream()

    def step() -> None:
        images, labels = next(batches)
        optimizer.zero_grad()
        torch.autograd.backward(criterion(model(images), labels))
        optimizer.step()

    return step


def our_step(split: Split, batch: int, width: float) -> tuple[Callable[[], None], nn.Module]:
    runtime = select_runtime()
    model = create_model("fcn8s", num_classes=21, width=width).train()
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    (optimizer,) = make_optimizers(model, OptimSettings(name="adam", lr=1e-5))
    augment = Augment(crop=CROP, flip=0.5)
    steps = Sampler(split, augment, random_order(len(split)), seed=0, batch=batch).steps(0)

    def step() -> None:
        part = next(steps)[0]
        optimizer.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=runtime.precision == "bf16"):
            scores = model(SPEC.apply(part.images))
        valid = int((part.labels != 255).sum())
        torch.autograd.backward(cross_entropy_sum(scores, part.labels) / max(1, valid))
        optimizer.step()

    return step, model


def measure(ways: dict[str, Callable[[], None]], rounds: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, step in ways.items():
            start = time.perf_counter()
            step()
            if number:  # the first round warms up
                times[name].append(time.perf_counter() - start)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--width", type=float, default=1.0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        make_toy(Path(folder), num=20, seed=0)
        split = open_dataset(Path(folder)).split("train")
        ours, model = our_step(split, options.batch, options.width)
        plain = {
            "plain": plain_step(split, options.batch, options.width, "same"),
            "plain, pad 100": plain_step(split, options.batch, options.width, "caffe"),
        }
        times = measure(plain, options.rounds)
        tune_malloc()
        kept = {f"{name}, memory kept": step for name, step in plain.items()}
        times |= measure({"ours": ours, **kept}, options.rounds)

    runtime = select_runtime()
    images = torch.randn(options.batch, 3, *CROP).contiguous(memory_format=torch.channels_last)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images)
    forward_flops = counter.get_total_flops()
    model.eval()
    with (
        torch.no_grad(),
        torch.autocast("cpu", dtype=torch.bfloat16, enabled=runtime.precision == "bf16"),
    ):
        model(images)
        start = time.perf_counter()
        model(images)
        forward = time.perf_counter() - start
    rate = matrix_rate(runtime)
    median = {name: statistics.median(values) for name, values in times.items()}
    print(
        f"{cpu_name()}, {torch.get_num_threads()} threads, torch {torch.__version__}, precision "
        f"{runtime.precision}, batch {options.batch}, width {options.width}"
    )
    print("\n| way | s/step | images/s | ours is faster by |\n|---|---|---|---|")
    for name, seconds in median.items():
        print(f"| {name} | {seconds:.2f} | {options.batch / seconds:.2f} | "
              f"{seconds / median['ours']:.2f} |")  # fmt: skip
    step_flops = 3 * forward_flops  # backward: once for the input, once for the weights
    print(f"\nmatrix product {runtime.precision}: {rate / 1e12:.3f} TFLOP/s; forward reaches "
          f"{forward_flops / forward / rate:.0%} of it, the whole step "
          f"{step_flops / median['ours'] / rate:.0%}")  # fmt: skip
    print(f"peak memory {peak_memory_bytes() >> 20} MiB (all three ways in one process)")


if __name__ == "__main__":
    main()
