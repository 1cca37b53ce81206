"""DeconvNet's deconvolutions: torch's own, and the forms that upscore runs instead.

3x3 of stride 1 as ``nn.ConvTranspose2d`` and as the convolution that it is (inference), and
fc6_deconv, 7x7 on a 1x1 map and on a larger one, as ``nn.ConvTranspose2d`` and as a matrix product.
Channels last, forward only, in turns in one process; medians are printed.

    python benchmarks/deconvolution.py [--batch 4] [--rounds 5] [--width 1.0]
                                       [--precision fp32|bf16] [--cpu-time]
"""

from __future__ import annotations

import argparse
import statistics
import time

import torch
from torch import Tensor, nn

from upscore.core.memory import tune_malloc
from upscore.core.runtime import cpu_name
from upscore.models.deconvolution import Im2colConvTranspose2d, as_convolution
from upscore.models.vgg import scaled

LAYERS = {
    "deconv5_1": (512, 512, 14, 14),
    "deconv4_3": (512, 256, 28, 28),
    "deconv3_3": (256, 128, 56, 56),
    "deconv2_2": (128, 64, 112, 112),
    "deconv1_1": (64, 64, 224, 224),
}
"""Name -> channels in and out, height, width."""

BOTTLENECKS = {
    "fc6_deconv, 224x224": (4096, 512, 1, 1),
    "fc6_deconv, 375x500": (4096, 512, 6, 10),
}


def pair(
    layer: tuple[int, int, int, int], *, width: float, bottleneck: bool
) -> tuple[nn.Module, nn.Module]:
    """torch's form and ours, of the same weights."""
    before, after = (scaled(count, width) for count in layer[:2])
    if not bottleneck:
        plain = nn.ConvTranspose2d(before, after, 3, padding=1)
        return plain, as_convolution(plain)
    plain = nn.ConvTranspose2d(before, after, 7)
    ours = Im2colConvTranspose2d(before, after, 7)
    ours.load_state_dict(plain.state_dict())
    return plain, ours


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--cpu-time", action="store_true")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    tune_malloc()
    torch.manual_seed(0)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[arguments.precision]
    print(f"\n{cpu_name()}, {torch.get_num_threads()} threads, {arguments.precision}, batch "
          f"{arguments.batch}, width {arguments.width:g}, "
          f"{'CPU time' if arguments.cpu_time else 'clock'}\n")  # fmt: skip
    print("| layer | ConvTranspose2d, ms | ours, ms | times as fast | largest difference |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, layer in {**LAYERS, **BOTTLENECKS}.items():
        forms = pair(layer, width=arguments.width, bottleneck=name in BOTTLENECKS)
        for form in forms:
            form.to(dtype=dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        x = torch.randn(arguments.batch, scaled(layer[0], arguments.width), *layer[2:]).to(dtype)
        x = x.contiguous(memory_format=torch.channels_last)
        seconds: tuple[list[float], list[float]] = ([], [])
        outputs: list[Tensor] = []
        with torch.inference_mode():
            for turn in range(arguments.rounds + 1):
                outputs = []
                for form, spent in zip(forms, seconds, strict=True):
                    begin = clock()
                    outputs.append(form(x))
                    if turn:  # the first warms up
                        spent.append(clock() - begin)
        plain, ours = (1000 * statistics.median(spent) for spent in seconds)
        scale = float(outputs[0].float().abs().max())
        difference = float((outputs[0].float() - outputs[1].float()).abs().max()) / scale
        print(f"| {name} | {plain:.1f} | {ours:.1f} | {plain / ours:.2f} | {difference:.1e} |")


if __name__ == "__main__":
    main()
