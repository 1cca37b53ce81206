"""Forms of DeconvNet's pooling with switches and unpooling: time, memory of switches, exactness.

Each form does the five pools and five unpoolings of one DeconvNet (no convolutions) on features as
a ReLU leaves them, so that many windows tie. "exact" compares with loops over windows in which the
first maximum wins. Forms are timed in turns in one process; medians are printed. With --gradients
the backward pass is timed too (forms that write in place have none). On a machine that is busy with
other work, --cpu-time and OMP_NUM_THREADS=1 compare what one thread spends instead of the clock.

    python benchmarks/unpooling.py [--batch 8] [--rounds 7] [--width 1.0] [--precision fp32|bf16]
                                   [--device cpu] [--gradients] [--cpu-time]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from upscore.core.memory import tune_malloc
from upscore.core.runtime import cpu_name
from upscore.models.unpooling import SwitchPool, Unpool
from upscore.models.vgg import CHANNELS, scaled


@dataclass(frozen=True)
class Form:
    pool: Callable[[Tensor], tuple[Tensor, Any]]
    unpool: Callable[[Tensor, Any], Tensor]
    differentiable: bool = True


def quarters(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Views of the top left, top right, bottom left, bottom right elements of all windows."""
    return x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]


def scatter(y: Tensor, switches: Any) -> Tensor:
    height, width = switches.size
    flat = y.new_zeros(*y.shape[:2], height * width)
    out: Tensor = flat.scatter(2, switches.positions.flatten(2), y.flatten(2))
    return out.view(*y.shape[:2], height, width)


def plain(y: Tensor, switches: Any) -> Tensor:
    return F.max_unpool2d(y, switches.positions, [2, 2], output_size=list(switches.size))


def code_pool(x: Tensor) -> tuple[Tensor, Tensor]:
    """Which of the four was the first maximum, 0 to 3 in uint8, in plain comparisons."""
    a, b, c, d = quarters(x)
    above, below = torch.maximum(a, b), torch.maximum(c, d)
    code = torch.where(below > above, (d > c).byte() + 2, (b > a).byte())
    return torch.maximum(above, below), code


def code_unpool(y: Tensor, code: Tensor) -> Tensor:
    """One pass: windows as two more axes, channels last."""
    n, c, h, w = y.shape
    numbers = torch.arange(4, dtype=torch.uint8, device=y.device).view(2, 1, 2, 1)
    values = y.permute(0, 2, 3, 1)[:, :, None, :, None]
    there = code.permute(0, 2, 3, 1)[:, :, None, :, None] == numbers
    zero = torch.zeros((), dtype=y.dtype, device=y.device)
    out = torch.where(there, values, zero)
    return out.reshape(n, 2 * h, 2 * w, c).permute(0, 3, 1, 2)


def code_write(y: Tensor, code: Tensor) -> Tensor:
    n, c, h, w = y.shape
    out = y.new_empty(n, 2 * h, 2 * w, c).permute(0, 3, 1, 2)
    for number, part in enumerate(quarters(out)):
        torch.mul(y, code == number, out=part)
    return out


def mask_pool(x: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Four masks, one-hot over the window: the first that equals the maximum."""
    pooled = F.max_pool2d(x, 2)
    masks: list[Tensor] = []
    free = torch.ones_like(pooled, dtype=torch.bool)
    for part in quarters(x):
        masks.append((part == pooled) & free)
        free = free & ~masks[-1]
    return pooled, masks


def mask_unpool(y: Tensor, masks: list[Tensor]) -> Tensor:
    rows = [torch.stack([y * masks[i], y * masks[i + 1]], dim=-1) for i in (0, 2)]
    return torch.stack([row.flatten(-2) for row in rows], dim=-2).flatten(-3, -2)


def equality_pool(x: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    pooled = F.max_pool2d(x, 2)
    return pooled, (x, pooled)


def equality_unpool(y: Tensor, kept: tuple[Tensor, Tensor]) -> Tensor:
    """Wherever the value before the pool equals the maximum: several of a window where they tie."""
    x, pooled = kept
    equal = x == F.interpolate(pooled, scale_factor=2.0, mode="nearest")
    return F.interpolate(y, scale_factor=2.0, mode="nearest") * equal


ours = SwitchPool()
FORMS = {
    "positions (ours)": Form(ours, Unpool()),
    "positions, max_unpool2d": Form(ours, plain),
    "positions, scatter": Form(ours, scatter),
    "codes, one where": Form(code_pool, code_unpool),
    "codes, four writes": Form(code_pool, code_write, differentiable=False),
    "one-hot masks": Form(mask_pool, mask_unpool),
    "equality": Form(equality_pool, equality_unpool),
}


def there_and_back(form: Form, maps: list[Tensor], values: list[Tensor]) -> list[Tensor]:
    kept = [form.pool(x)[1] for x in maps]
    return [form.unpool(y, where) for y, where in zip(values, kept, strict=True)]


def is_exact(form: Form, dtype: torch.dtype) -> bool:
    """Against a loop over windows, on few different values."""
    x = torch.randint(-2, 3, (2, 16, 6, 8)).clamp(min=0).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.randint(1, 100, (2, 16, 3, 4)).to(dtype).contiguous(memory_format=torch.channels_last)
    want = torch.zeros_like(x)
    for n, c, i, j in torch.cartesian_prod(*(torch.arange(k) for k in y.shape)).tolist():
        window = x[n, c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].flatten().tolist()
        first = window.index(max(window))
        want[n, c, 2 * i + first // 2, 2 * j + first % 2] = y[n, c, i, j]
    return torch.equal(form.unpool(y, form.pool(x)[1]), want)


def num_bytes(kept: Any) -> int:
    if isinstance(kept, Tensor):
        return kept.numel() * kept.element_size()
    return sum(num_bytes(part) for part in kept if isinstance(part, Tensor))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="bf16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--gradients", action="store_true")
    parser.add_argument("--cpu-time", action="store_true")
    arguments = parser.parse_args()
    clock = time.process_time if arguments.cpu_time else time.perf_counter
    tune_malloc()
    torch.manual_seed(0)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[arguments.precision]
    maps: list[Tensor] = []
    values: list[Tensor] = []
    for level, channels in enumerate(CHANNELS):
        shape = (arguments.batch, scaled(channels, arguments.width), 224 >> level, 224 >> level)
        half = (*shape[:2], shape[2] // 2, shape[3] // 2)
        for store, size in ((maps, shape), (values, half)):
            x = torch.randn(size).relu().to(arguments.device, dtype)
            store.append(x.contiguous(memory_format=torch.channels_last))

    def forward(form: Form) -> None:
        with torch.inference_mode():
            there_and_back(form, maps, values)

    def backward(form: Form) -> None:
        inputs = [y.detach().requires_grad_() for y in values]
        outputs = there_and_back(form, maps, inputs)
        torch.autograd.backward(outputs, [x.detach() for x in outputs])

    def timed(work: Callable[[Form], None], form: Form) -> float:
        begin = clock()
        work(form)
        if arguments.device != "cpu":
            torch.cuda.synchronize()
        return clock() - begin

    work = backward if arguments.gradients else forward
    forms = {n: f for n, f in FORMS.items() if f.differentiable or not arguments.gradients}
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(arguments.rounds + 1):
        for name, form in forms.items():
            spent = timed(work, form)
            if turn:  # the first warms up
                seconds[name].append(spent)
    first = statistics.median(next(iter(seconds.values())))
    machine = cpu_name() if arguments.device == "cpu" else torch.cuda.get_device_name()
    print(f"\n{machine}, {torch.get_num_threads()} threads, {arguments.precision}, "
          f"{arguments.batch} inputs of 224x224, width {arguments.width:g}, "
          f"{'with' if arguments.gradients else 'without'} gradients, "
          f"{'CPU time' if arguments.cpu_time else 'clock'}\n")  # fmt: skip
    print("| form | ms an input (median) | against ours | switches, MiB an input | exact |")
    print("| --- | ---: | ---: | ---: | --- |")
    for name, form in forms.items():
        median = statistics.median(seconds[name])
        kept = sum(num_bytes(form.pool(x)[1]) for x in maps) / arguments.batch / 2**20
        exact = "yes" if is_exact(form, dtype) else "no: ties"
        print(f"| {name} | {1000 * median / arguments.batch:.2f} | {median / first:.1f} times "
              f"| {kept:.1f} | {exact} |")  # fmt: skip


if __name__ == "__main__":
    main()
