"""Small networks and pictures for the tests of inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from upscore.core.images import InputSpec
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.runtime import Runtime
from upscore.inference.segmenter import ScoreMap, Segmenter
from upscore.inference.whole_image import WholeImage

CPU = Runtime("cpu", "fp32")
PLAIN = InputSpec("rgb", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0))
THREE = Labels.of(["ground", "tree", "sky"])


class ByColor(Segmenter):
    """A segmenter in numpy: the score of class c is channel c of the pixel. Pointwise, so exact."""

    labels = THREE

    def __init__(self) -> None:
        self.sizes: list[tuple[int, ...]] = []

    def scores(self, image: RGBImage) -> ScoreMap:
        self.sizes.append(image.shape[:2])
        return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / 50

    def probabilities(self, image: RGBImage) -> ScoreMap:
        exp = np.exp(self.scores(image))
        return exp / exp.sum(axis=0)

    def predict(self, image: RGBImage) -> LabelMap:
        return self.scores(image).argmax(axis=0).astype(np.uint8)


def random_photo(height: int, width: int, seed: int = 0) -> RGBImage:
    """Smooth random colours, so that resizing does not change everything."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(1, height // 8), max(1, width // 8), 3), dtype=np.uint8)
    big = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(big).copy()


def save_photo(path: Path, image: RGBImage) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def wrap(module: torch.nn.Module, labels: Labels = THREE) -> WholeImage:
    return WholeImage(module, labels, PLAIN, CPU)


def two_halves(height: int, width: int) -> RGBImage:
    """A dark half at the left, a bright one at the right."""
    image = np.full((height, width, 3), 40, dtype=np.uint8)
    image[:, width // 2 :] = 210
    return image


def late_edge(height: int, width: int, *, shift: int = 3) -> ScoreMap:
    """(2, H, W) float32: class 0 left and 1 right of an edge ``shift`` pixels too far right."""
    left = np.where(np.arange(width) < width // 2 + shift, 0.7, 0.3).astype(np.float32)
    return np.broadcast_to(np.stack([left, 1 - left])[:, None], (2, height, width)).copy()


def save_probabilities(path: Path, probabilities: ScoreMap, labels: Labels) -> None:
    """An npz as docs/prediction.md describes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        probabilities=probabilities.astype(np.float16),
        classes=np.array(labels.names),
        colors=np.array(labels.colors, np.uint8),
    )
