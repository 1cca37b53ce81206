"""CPU milliseconds of Lite0's depthwise convolutions: torch's backward pass and ours.

One thread, batches of four, the sizes of crops of 256x320, channels last.

    python benchmarks/depthwise.py
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from upscore.models.depthwise import depthwise_conv

LAYERS = [
    (32, 128, 160, 3, 1),
    (96, 129, 161, 3, 2),
    (144, 64, 80, 3, 1),
    (144, 67, 83, 5, 2),
    (240, 32, 40, 5, 1),
    (480, 16, 20, 5, 1),
    (672, 19, 23, 5, 2),
    (1152, 8, 10, 5, 1),
]
"""Channels, height and width (padded for stride 2), kernel, stride."""


def milliseconds(work: Callable[[], Any], repeats: int = 5) -> float:
    work()
    start = time.process_time()
    for _ in range(repeats):
        work()
    return (time.process_time() - start) / repeats * 1e3


def main() -> None:
    torch.set_num_threads(1)
    print("channels  size     kernel stride  type      torch   ours (forward and backward, ms)")
    for channels, height, width, kernel, stride in LAYERS:
        padding = kernel // 2 if stride == 1 else 0
        for dtype in (torch.float32, torch.bfloat16):
            x = torch.randn(4, channels, height, width, dtype=dtype)
            x = x.to(memory_format=torch.channels_last).requires_grad_()
            weight = torch.randn(channels, 1, kernel, kernel, dtype=dtype, requires_grad=True)
            back = torch.randn_like(F.conv2d(x, weight, None, stride, padding, groups=channels))

            def plain() -> Any:
                out = F.conv2d(x, weight, None, stride, padding, groups=channels)  # noqa: B023
                return torch.autograd.grad(out, (x, weight), back)  # noqa: B023

            def ours() -> Any:
                out = depthwise_conv(x, weight, None, stride=stride)  # noqa: B023
                return torch.autograd.grad(out, (x, weight), back)  # noqa: B023

            print(
                f"{channels:8}  {height}x{width:<5} {kernel:6} {stride:6}  {str(dtype)[6:]:9}"
                f"{milliseconds(plain):6.1f} {milliseconds(ours):6.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
