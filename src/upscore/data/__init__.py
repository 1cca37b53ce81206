"""Data sets on disk as splits of samples: image uint8 (H, W, 3) RGB, labels uint8 (H, W), name."""

from upscore.data.dataset import DataSet, Pair, Sample, Split
from upscore.data.detect import open_dataset

__all__ = ["DataSet", "Pair", "Sample", "Split", "open_dataset"]
