"""Resident memory while ``upscore predict`` labels 2,000 photos: it must not grow.

python benchmarks/memory_predict.py [--photos 2000] [--every 200] [--width 0.125]
"""

from __future__ import annotations

import argparse
import gc
import tempfile
from pathlib import Path

from upscore.core.memory import limit_onednn_cache, tune_malloc


def resident_mib() -> float:
    """Resident size of this process now (Linux)."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise SystemExit("this system has no /proc/self/status to read the resident size from")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--every", type=int, default=200)
    parser.add_argument("--width", type=float, default=0.125)
    arguments = parser.parse_args()
    limit_onednn_cache()  # as the command does, before torch comes in
    tune_malloc()
    import numpy as np
    import torch
    from PIL import Image

    from upscore.core.images import InputSpec
    from upscore.core.labels import VOC_LABELS
    from upscore.core.runtime import peak_memory_bytes, select_runtime
    from upscore.inference.predict_files import predict_files
    from upscore.inference.whole_image import WholeImage
    from upscore.models.factory import create_model

    torch.manual_seed(0)
    model = create_model("fcn8s", num_classes=21, width=arguments.width, score_init="normal")
    segmenter = WholeImage(model, VOC_LABELS, InputSpec.named("imagenet"), select_runtime())
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as name:
        photos = Path(name) / "photos"
        photos.mkdir()
        for number in range(arguments.photos):
            # sizes differ, as people's photos do: what is cached per size would show as growth
            size = int(rng.integers(96, 161)), int(rng.integers(96, 161))
            noise = Image.fromarray(rng.integers(0, 256, (12, 12, 3), dtype=np.uint8))
            noise.resize(size).save(photos / f"{number:05d}.jpg")
        readings: list[float] = []
        print("| photos | resident MiB |\n| ---: | ---: |")

        def watch(done: int, _: int) -> None:
            if done and done % arguments.every == 0:
                gc.collect()
                readings.append(resident_mib())
                print(f"| {done} | {readings[-1]:.1f} |", flush=True)

        summary = predict_files(segmenter, [photos], Path(name) / "out", progress=watch)
    print(
        f"\n{summary.images} photos in {summary.seconds:.0f} s; from the first reading to the "
        f"last {readings[-1] - readings[0]:+.1f} MiB; "
        f"peak {peak_memory_bytes() / 2**20:.0f} MiB"
    )


if __name__ == "__main__":
    main()
