"""Data sets on disk as splits of samples: image uint8 (H, W, 3) RGB, labels uint8 (H, W), name."""

from upscore.data.dataset import DataSet, Sample, Split
from upscore.data.detect import open_dataset
from upscore.data.pair import Pair

__all__ = ["DataSet", "Pair", "Sample", "Split", "open_dataset"]
