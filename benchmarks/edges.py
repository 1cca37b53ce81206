"""Seconds of the edge detectors for one photo, beside the floor that a matrix product sets.

    python benchmarks/edges.py

The floor is the multiplications of the network over the rate of a large matrix product in the same
precision; convolutions of 16 channels at full size cannot reach it, for they move more than they
multiply.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from upscore.core.runtime import matrix_rate, select_runtime
from upscore.edges.maps import edge_orientation
from upscore.edges.network import EdgeNetwork
from upscore.proposals import GradientEdges, LearnedEdges


def flops(height: int, width: int) -> float:
    """Floating point operations of the network for one photo, convolutions alone."""
    total = 0

    def count(module: nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, nn.Conv2d)
        total += 2 * module.weight[0].numel() * output.numel()

    network = EdgeNetwork().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    with torch.inference_mode():
        network(torch.zeros(1, 3, height, width))
    return float(total)


def seconds(work: Callable[[], object], rounds: int) -> tuple[float, float]:
    """Least and median of ``rounds`` calls, after one that does not count."""
    work()
    times = []
    for _ in range(rounds):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times), sorted(times)[rounds // 2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=481)
    parser.add_argument("--height", type=int, default=321)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    size = (options.height, options.width)
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    runtime = select_runtime()
    rate = matrix_rate(runtime)
    print(f"{options.width}x{options.height}, {runtime.precision}, {rate / 1e12:.2f} TFLOP/s")
    print("| edges | least s | median s | GFLOP | floor s |\n|---|---|---|---|---|")
    for scales in ((1.0,), (1.0, 0.5), LearnedEdges().scales, (1.5, 0.5)):
        edges = LearnedEdges(scales=scales)
        least, median = seconds(lambda edges=edges: edges(image), options.rounds)  # type: ignore[misc]
        work = sum(flops(round(size[0] * s), round(size[1] * s)) for s in scales)
        print(f"| learned {scales} | {least:.3f} | {median:.3f} | {work / 1e9:.1f} "
              f"| {work / rate:.3f} |")  # fmt: skip
    gradient = GradientEdges()
    strength, _ = gradient(image)
    for name, call in (
        ("gradient", lambda: gradient(image)),
        ("orientation alone", lambda: edge_orientation(strength)),
    ):
        least, median = seconds(call, options.rounds)
        print(f"| {name} | {least:.3f} | {median:.3f} | | |")


if __name__ == "__main__":
    main()
