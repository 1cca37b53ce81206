"""Milliseconds that the boundary and object scores take an image, on one core.

Maps of 500x375 pixels with 21 classes: truths of round regions with void outlines, predictions of
the same regions with frayed and shifted edges. With --data, the masks of a data set instead, each
beside the same mask shifted by four pixels. CPU time, the median over the images, after a first one
that compiles. The last column is the slowest image.

    python benchmarks/boundary.py [--images 30] [--height 375] [--width 500] [--classes 21]
        [--data PATH] [--split val]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from upscore.core.labels import VOID, LabelMap
from upscore.core.regions import connected_regions
from upscore.data import open_dataset
from upscore.metrics.boundary import BoundaryF, BoundaryIoU
from upscore.metrics.confusion import Confusion
from upscore.metrics.object_size import COCO_SIZES, THINNESS, ObjectSizes
from upscore.metrics.trimap import Trimap

Pair = tuple[LabelMap, LabelMap]
Update = Callable[[LabelMap, LabelMap], object]
BOUND = 15.0
"""Milliseconds that each of the boundary and object scores may take (500x375)."""


def drawn(height: int, width: int, classes: int, seed: int) -> Pair:
    """A truth of a dozen discs on background, and what a fair network would make of it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((height, width))
    truth = np.zeros((height, width), np.uint8)
    said = np.zeros((height, width), np.uint8)
    for _ in range(12):
        y, x = rng.uniform(0, height), rng.uniform(0, width)
        radius = rng.uniform(0.03, 0.3) * height
        label = int(rng.integers(1, classes))
        distance = np.hypot(rows - y, columns - x)
        truth[distance < radius + 5] = VOID
        truth[distance < radius] = label
        fray = 4 * np.sin(np.arctan2(rows - y, columns - x) * 9) + rng.normal(0, 1, truth.shape)
        said[distance < radius + 2 + fray] = label if rng.random() < 0.8 else 0
    return truth, said


def shifted(truth: LabelMap) -> Pair:
    """A mask beside itself four pixels further right, void filled with class 0."""
    said = np.roll(np.where(truth == VOID, 0, truth).astype(np.uint8), 4, axis=1)
    return truth, said


def milliseconds(update: Update, pairs: list[Pair]) -> list[float]:
    update(*pairs[0])
    taken = []
    for truth, said in pairs:
        begin = time.process_time()
        update(truth, said)
        taken.append(1000 * (time.process_time() - begin))
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--height", type=int, default=375)
    parser.add_argument("--width", type=int, default=500)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--split", default="val")
    options = parser.parse_args()
    classes = options.classes
    if options.data:
        split = open_dataset(options.data).split(options.split)
        classes = len(split.labels)
        pairs = [shifted(split.read_labels(i)) for i in range(min(options.images, len(split)))]
    else:
        size = options.height, options.width
        pairs = [drawn(*size, classes, seed) for seed in range(options.images)]
    height, width = pairs[0][0].shape
    scores: dict[str, tuple[Update, bool]] = {
        "confusion matrix": (Confusion(classes).update, False),
        "trimap, 40 widths": (Trimap(classes).update, True),
        "boundary IoU": (BoundaryIoU(classes).update, True),
        "boundary F": (BoundaryF(classes).update, True),
        "object sizes": (ObjectSizes(classes, bins=COCO_SIZES).update, True),
        "thinness": (ObjectSizes(classes, bins=THINNESS).update, True),
        "connected regions": (lambda truth, _: connected_regions(truth), False),
    }
    print(f"{len(pairs)} images, the first of {width}x{height}, {classes} classes")
    print(f"{'score':<20}{'ms':>8}{'bound':>8}{'slowest':>10}")
    for name, (update, bounded) in scores.items():
        taken = milliseconds(update, pairs)
        bound = f"{BOUND:.0f}" if bounded else ""
        print(f"{name:<20}{np.median(taken):>8.1f}{bound:>8}{max(taken):>10.1f}")


if __name__ == "__main__":
    main()
