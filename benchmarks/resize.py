"""What the two ways of resizing of ``conv-vgg-bilinear`` differ by, for photos of given sizes.

Of a size, the pixels by which ``size`` moves the far edge of the photo (the map's coordinates are
carried up by both ways), and the share of labels that differ: of a network that is right (each
element of the map scores a class by its part of the 32x32 pixels below; true masks, resized to the
size), and of random scores, the worst case (21 classes, 20 seeds).

    python benchmarks/resize.py [--data PATH] [--split val] [--sizes 375x500 61x97 384x512]
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from upscore.core.labels import VOID, LabelMap
from upscore.data import open_dataset
from upscore.models.conv_vgg_bilinear import ConvVGGBilinear
from upscore.models.factory import create_model

STRIDE = 32


def resized(scores: Tensor, height: int, width: int, resize: str) -> Tensor:
    """Scores (1, C, h, w) as the network resizes them to (1, C, height, width)."""
    classes = scores.shape[1]
    model = create_model("conv-vgg-bilinear", num_classes=classes, width=1 / 64, resize=resize)
    assert isinstance(model, ConvVGGBilinear)
    model.fc8.register_forward_hook(lambda *_: scores)
    with torch.no_grad():
        found: Tensor = model.eval()(torch.zeros(1, 3, height, width))
    return found


def far_edge(height: int, width: int) -> tuple[float, float]:
    """Pixels by which ``size`` draws in what lies at the bottom and at the right edge."""
    moved = []
    rows, columns = -(-height // STRIDE), -(-width // STRIDE)
    for axis, (side, elements) in enumerate(((height, rows), (width, columns))):
        middles = (torch.arange(elements, dtype=torch.float32) + 0.5) * STRIDE - 0.5
        ramp = middles.view((-1, 1) if axis == 0 else (1, -1)).expand(rows, columns)
        found = resized(ramp[None, None], height, width, "size")[0, 0]
        line = found[:, 0] if axis == 0 else found[0]
        # within the outer half element the rim is repeated; the slope of the middle goes on
        inner = STRIDE * side // (2 * STRIDE * elements) + 1
        slope = (line[side - 1 - inner] - line[inner]) / (side - 1 - 2 * inner)
        edge = line[inner] + slope * (side - 0.5 - inner) + 0.5
        moved.append(float(edge) - side)
    return moved[0], moved[1]


def right_scores(mask: LabelMap, height: int, width: int, classes: int) -> Tensor:
    """(1, C, h, w): the part of each 32x32 pixels that each class has."""
    picture = Image.fromarray(mask).resize((width, height), Image.Resampling.NEAREST)
    labels = torch.from_numpy(np.asarray(picture).astype(np.int64))
    one_hot = F.one_hot(torch.where(labels == VOID, classes, labels), classes + 1)
    planes = one_hot[..., :classes].permute(2, 0, 1)[None].float()
    return F.avg_pool2d(planes, STRIDE, ceil_mode=True)


def differing(scores: Tensor, height: int, width: int) -> float:
    ways = [resized(scores, height, width, how).argmax(1) for how in ("size", "scale_factor")]
    return float((ways[0] != ways[1]).float().mean())


def main() -> None:
    data = Path(os.environ.get("UPSCORE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, default=data / "voc-sample")
    parser.add_argument("--split", default="val")
    parser.add_argument("--sizes", nargs="+", default=["375x500", "61x97", "384x512"])
    arguments = parser.parse_args()

    dataset = open_dataset(arguments.data)
    split, classes = dataset.split(arguments.split), len(dataset.labels)
    masks = [split.read_labels(index) for index in range(len(split))]
    print(f"| size | far edge moved, px | labels, right scores ({len(masks)} masks) | random |")
    print("|---|---|---|---|")
    for size in arguments.sizes:
        height, width = (int(side) for side in size.split("x"))
        down, right = far_edge(height, width)
        true = [
            differing(right_scores(mask, height, width, classes), height, width) for mask in masks
        ]
        shape = 1, 21, -(-height // STRIDE), -(-width // STRIDE)
        random = [
            differing(torch.randn(shape, generator=torch.Generator().manual_seed(s)), height, width)
            for s in range(20)
        ]
        print(
            f"| {size} | {down:.1f}, {right:.1f} | {np.mean(true):.1%} | {np.mean(random):.1%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
