"""Whole-image inference of full-width FCN-8s on 500x375 photos: ours against the plain way.

The plain way is what a first script does: eager, fp32, NCHW, no_grad, photo by photo, argmax. It is
timed with our geometry (same work), and with the papers' pad of 100 pixels, which is what a port of
the released network does; first under the allocator's defaults, then in turns with ours, while
freed memory is kept as ``upscore predict`` keeps it. All run in one process, and medians are
printed. Then the whole of ``upscore predict`` (decode, network, label map, overlay) is set against
the network's own rate.

    python benchmarks/inference.py [--rounds 7] [--photos 24] [--width 1.0] [--images FOLDER]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from upscore.core.image_files import IMAGE_SUFFIXES
from upscore.core.images import InputSpec, read_image
from upscore.core.labels import VOC_LABELS, RGBImage
from upscore.core.memory import tune_malloc
from upscore.core.runtime import (
    cpu_name,
    describe_machine,
    matrix_rate,
    peak_memory_bytes,
    select_runtime,
)
from upscore.inference.predict_files import predict_files
from upscore.inference.whole_image import WholeImage
from upscore.models.factory import create_model
from upscore.models.im2col_conv import Im2colConv2d

SIZE = (500, 375)  # width, height
SPEC = InputSpec.named("imagenet")


def make_photos(folder: Path, num: int, source: Path | None) -> list[Path]:
    """``num`` JPEG photos of 500x375, from real ones or from smooth noise."""
    real = (
        sorted(p for p in source.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES) if source else []
    )
    rng = np.random.default_rng(0)
    paths = []
    for number in range(num):
        if real:
            picture = Image.open(real[number % len(real)]).convert("RGB")
        else:
            picture = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        paths.append(folder / f"{number:05d}.jpg")
        picture.resize(SIZE, Image.Resampling.BICUBIC).save(paths[-1], quality=92)
    return paths


def plain_way(geometry: str, width: float) -> Callable[[RGBImage], object]:
    model = create_model("fcn8s", num_classes=21, width=width, geometry=geometry)
    for module in model.modules():
        if isinstance(module, Im2colConv2d):
            # nothing but torch's own convolutions
            module.__class__ = nn.Conv2d  # type: ignore[assignment]
    model.eval()
    mean = torch.tensor(SPEC.mean).view(3, 1, 1)
    std = torch.tensor(SPEC.std).view(3, 1, 1)

    def run(image: RGBImage) -> object:
        with torch.no_grad():
            x = torch.from_numpy(image).permute(2, 0, 1).contiguous().float()
            return model(((x - mean) / std)[None])[0].argmax(0).numpy()

    return run


def measure(
    ways: dict[str, Callable[[RGBImage], object]], images: list[RGBImage]
) -> dict[str, list[float]]:
    """Seconds of each way on each photo but the first, which warms up."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number, image in enumerate(images):
        for way, work in ways.items():
            spent = timed(work, image)
            if number:
                seconds[way].append(spent)
    return seconds


def timed(work: Callable[[RGBImage], object], image: RGBImage) -> float:
    begin = time.perf_counter()
    work(image)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--photos", type=int, default=24, help="photos for the whole command")
    parser.add_argument("--width", type=float, default=1.0)
    parser.add_argument("--images", type=Path, help="folder of real photos; default: generated")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    runtime = select_runtime()
    model = create_model("fcn8s", num_classes=21, width=arguments.width, score_init="normal")
    segmenter = WholeImage(model, VOC_LABELS, SPEC, runtime)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "photos").mkdir()
        photos = make_photos(folder / "photos", arguments.photos, arguments.images)
        images = [read_image(photos[i % len(photos)]) for i in range(arguments.rounds + 1)]
        plain = {
            "plain": plain_way("same", arguments.width),
            "plain, pad 100": plain_way("caffe", arguments.width),
        }
        seconds = measure(plain, images)
        tune_malloc()
        kept = {f"{way}, memory kept": work for way, work in plain.items()}
        seconds |= measure({"upscore": segmenter.predict, **kept}, images)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model(torch.zeros(1, 3, SIZE[1], SIZE[0]))
        flop = counter.get_total_flops()
        rate = matrix_rate(runtime)
        plain.clear()
        kept.clear()
        # the network alone before and after the command, as the machine's speed drifts
        alone = [timed(segmenter.predict, image) for image in images]
        summary = predict_files(segmenter, [folder / "photos"], folder / "out")
        alone += [timed(segmenter.predict, image) for image in images]

    medians = {way: statistics.median(values) for way, values in seconds.items()}
    ours = medians["upscore"]
    print(f"\n{cpu_name()}, {torch.get_num_threads()} threads, {runtime.device} "
          f"{runtime.precision}, torch {describe_machine()['versions']['torch']}, "
          f"width {arguments.width:g}\n")  # fmt: skip
    print("| 500x375 photo, one at a time | seconds (median) | spread | photos/s | upscore is |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for way, median in medians.items():
        spread = f"{min(seconds[way]):.3f} to {max(seconds[way]):.3f}"
        print(f"| {way} | {median:.3f} | {spread} | {1 / median:.2f} | {median / ours:.2f} times |")
    print("\n| figure | value |")
    print("| --- | ---: |")
    print(f"| work of one photo (convolutions) | {flop / 1e9:.1f} GFLOP |")
    print(f"| measured {runtime.precision} matrix rate | {rate / 1e9:.0f} GFLOP/s |")
    print(f"| share of it that the network reaches (Winograd's may pass 100 %) "
          f"| {flop / ours / rate:.0%} |")  # fmt: skip
    whole, network = summary.seconds / summary.images, summary.network_seconds / summary.images
    print(f"| whole command, {summary.images} photos | {1 / whole:.2f} photos/s |")
    print(f"| against the network alone | {statistics.mean(alone) / whole:.0%} |")
    print(f"| share of its time that the network worked | {network / whole:.0%} |")
    print(f"| peak memory of this process | {peak_memory_bytes() / 2**20:.0f} MiB |")


if __name__ == "__main__":
    main()
