"""A split of a data set as a ``torch.utils.data.Dataset``, for training loops of your own."""

from __future__ import annotations

from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from upscore.core.images import InputSpec
from upscore.data.dataset import Sample, Split
from upscore.data.stats import class_frequencies
from upscore.data.transforms import Augment, cut_mix


class Item(TypedDict):
    """One sample: image float32 (3, H, W), mask int64 (H, W) with 255 void, and its name."""

    image: Tensor
    mask: Tensor
    name: str


class TorchDataset(Dataset[Item]):
    """Samples of a split, augmented and prepared as a network's input.

    Args:
        split: of a data set, as ``upscore.open_dataset(PATH).split("train")``.
        augment: as in recipes, or None. Batches need samples of one size: set ``crop`` or
            ``resize``, or use a batch size of 1. ``rare`` reads all masks once, here; ``mix`` takes
            any other sample of the split.
        input_spec: ``imagenet`` (RGB, mean and deviation of ImageNet), ``caffe`` (BGR, mean only),
            or a specification of your own.
        seed: augmentation is a function of (seed, epoch, index).

    Raises:
        SettingsError: an unknown ``input_spec``.
        DataError: a mask that cannot be read, with ``augment.rare``.

    Example:
        >>> from torch.utils.data import DataLoader
        >>> from upscore.data.transforms import Augment
        >>> split = upscore.open_dataset(toy).split("train")
        >>> items = upscore.TorchDataset(split, augment=Augment(crop=(32, 48), flip=0.5))
        >>> batch = next(iter(DataLoader(items, batch_size=2, shuffle=True)))
        >>> batch["image"].shape, batch["mask"].shape
        (torch.Size([2, 3, 32, 48]), torch.Size([2, 32, 48]))
    """

    def __init__(
        self,
        split: Split,
        *,
        augment: Augment | None = None,
        input_spec: str | InputSpec = "imagenet",
        seed: int = 0,
    ) -> None:
        self.split, self.augment, self.seed = split, augment, seed
        self.input_spec = InputSpec.named(input_spec) if isinstance(input_spec, str) else input_spec
        self.epoch = 0
        rare = augment is not None and augment.rare
        self.class_pixels = class_frequencies(split)[0] if rare else None

    def __repr__(self) -> str:
        return f"<TorchDataset: {len(self)} photos of split {self.split.name}>"

    def set_epoch(self, epoch: int) -> None:
        """Draw other augmentations in the next epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.split)

    def __getitem__(self, index: int) -> Item:
        """Read sample ``index``.

        Raises:
            IndexError: out of range.
            DataError: unreadable, or a mask that does not fit its photo.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"index {index} of {len(self)} samples")
        rng = np.random.default_rng([self.seed, self.epoch, index])
        sample = self._read(index, rng)
        if self.augment is not None and self.augment.mix and rng.random() < self.augment.mix:
            sample = cut_mix(sample, self._read(int(rng.integers(len(self))), rng), rng)
        pixels = torch.from_numpy(_writable(sample.image)).permute(2, 0, 1)
        return {
            "image": self.input_spec.apply(pixels[None])[0].contiguous(),
            "mask": torch.from_numpy(_writable(sample.labels)).long(),
            "name": sample.name,
        }

    def _read(self, index: int, rng: np.random.Generator) -> Sample:
        sample = self.split.read(index)
        return sample if self.augment is None else self.augment(sample, rng, self.class_pixels)


def _writable(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Torch warns of others."""
    return np.require(array, requirements=["C", "W"])
