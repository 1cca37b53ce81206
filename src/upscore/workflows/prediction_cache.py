"""Cache of a network's predictions on disk, to refine and score them many times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.files import atomic_path
from upscore.core.labels import RGBImage
from upscore.core.parallel.prefetch import prefetch
from upscore.crf.validation import MIN_PROBABILITY
from upscore.data.dataset import Sample
from upscore.metrics.confusion import Matrix, count

Probabilities = npt.NDArray[np.float32]
"""(C, H, W) float32 in [0, 1] that sum to 1 over the classes."""

Energies = npt.NDArray[np.float32]
"""(C, H, W) float32, -log(probabilities)."""

Refine = Callable[[RGBImage, Energies], Probabilities]
"""A photo and its energies -> refined probabilities of the same shape."""

OnFailure = Callable[[int, Exception], None]
"""The place of an image that could not be refined, and why."""


def _raise(_place: int, error: Exception) -> None:
    raise error


class StoredPredictions:
    """Photos, their true labels and a network's probabilities on disk, a file for each image.

    Memory holds two or three images, whatever their number. Probabilities are stored as float16
    energies -log(p), which keep three digits of the smallest ones; the smallest float16 is 6e-8.
    The network's own labels are stored too, so that rounding does not affect its score.

    Args:
        folder: an empty folder; the caller removes it.
        table: (C,) uint8, from the network's class index to the data set's (``match_classes``).
    """

    def __init__(self, folder: Path, table: npt.NDArray[np.uint8]) -> None:
        self.folder = folder
        self.table = table
        self.names: list[str] = []

    def __len__(self) -> int:
        return len(self.names)

    def add(self, sample: Sample, probabilities: Probabilities) -> None:
        """Store one image; its index is the number of images before it. Raises OutputError."""
        energies = -np.log(np.maximum(probabilities, MIN_PROBABILITY))
        with atomic_path(self._path(len(self))) as temporary, temporary.open("wb") as stream:
            np.savez(
                stream,
                photo=sample.image,
                truth=sample.labels,
                labels=probabilities.argmax(axis=0).astype(np.uint8),
                energies=energies.astype(np.float16),
            )
        self.names.append(sample.name)

    def matrices(
        self, places: Sequence[int], refine: Refine | None, failed: OnFailure = _raise
    ) -> Iterator[Matrix]:
        """The confusion matrix (C, C) of each image in ``places``, in the data set's classes.

        Args:
            refine: applied to each image; None scores the network's own labels.
            failed: called with an image that cannot be refined. Its unrefined labels are scored,
                so that all settings are compared on the same images.
        """
        names = ("truth", "labels") if refine is None else ("truth", "labels", "photo", "energies")

        def read(place: int) -> dict[str, Any]:
            with np.load(self._path(place)) as stored:
                return {name: stored[name] for name in names}

        # the next image is read while this one is refined
        for place, arrays in zip(places, prefetch(read, places, workers=1, depth=1), strict=True):
            labels = arrays["labels"]
            if refine is not None:
                try:
                    marginals = refine(arrays["photo"], arrays["energies"].astype(np.float32))
                    labels = marginals.argmax(axis=0).astype(np.uint8)
                except Exception as error:
                    failed(place, error)
            yield count(arrays["truth"], self.table[labels], len(self.table))

    def _path(self, place: int) -> Path:
        return self.folder / f"{place}.npz"
