"""Label maps of a split by several networks, on disk: predicted once, then drawn and scored."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from upscore.core.failures import failure_message
from upscore.core.files import checksum, explain_os_error, make_folder, read_json, write_json
from upscore.core.images import read_mask, write_label_map
from upscore.core.labels import LabelMap, RGBImage
from upscore.core.parallel.prefetch import prefetch
from upscore.data.dataset import Sample, Split
from upscore.errors import RunError, UpscoreError
from upscore.metrics.comparison import PackedLabels, PredictedMaps

Predict = Callable[[RGBImage, Sequence[str]], Mapping[str, LabelMap]]
"""A photo and names of stages -> label map of each stage, in the classes of the data set."""


@dataclass(frozen=True)
class LabelStore:
    """Label maps (H, W) uint8 of the photos of a split, by stage and place, as PNG files.

    A stage is anything that labels photos. Its ``identity`` (weights and settings as JSON values)
    is stored with its files; under another identity they are made again.
    """

    folder: Path
    split: Split

    def begin(self, stage: str, identity: Mapping[str, Any]) -> None:
        """Delete the files of a stage if they have another identity. Raises OutputError."""
        about = self.folder / stage / "stage.json"
        if about.exists():
            try:
                kept: dict[str, Any] | None = read_json(about)
            except RunError:
                kept = None
            if kept == dict(identity):
                return
        if (self.folder / stage).exists():  # also what a kill left of a deletion
            try:
                shutil.rmtree(self.folder / stage)
            except OSError as error:
                raise explain_os_error(error, self.folder / stage) from error
        make_folder(self.folder / stage)
        write_json(about, dict(identity))

    def complete(self, stages: Sequence[str]) -> Iterator[tuple[int, LabelMap, list[LabelMap]]]:
        """Place, truth and label maps (H, W) of each photo that all of the stages have labelled.

        Other errors than of missing or unreadable files are raised: what is measured here is kept,
        so no photo may be left out for lack of memory.
        """
        for place in range(len(self.split)):
            try:
                truth = self.split.read_labels(place)
                maps = [self.read(stage, place) for stage in stages]
            except UpscoreError:
                continue
            yield place, truth, maps

    def path(self, stage: str, place: int) -> Path:
        return self.folder / stage / f"{place:06d}.png"

    def missing(self, stage: str) -> list[int]:
        """Places in the split that the stage has not labelled."""
        return [place for place in range(len(self.split)) if not self.path(stage, place).exists()]

    def read(self, stage: str, place: int) -> LabelMap:
        """The label map of a photo. Raises DataError where it is missing or unreadable."""
        return np.asarray(read_mask(self.path(stage, place)), np.uint8)

    def label(
        self,
        stages: Sequence[str],
        predict: Predict,
        *,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> dict[int, str]:
        """Label what is missing, photo by photo, so that an interruption loses one photo at most.

        Returns:
            Error messages by the place of photos that could not be read or labelled.

        Raises:
            OutputError: a label map cannot be written.
        """
        lacking: dict[int, list[str]] = {}
        for stage in stages:
            for place in self.missing(stage):
                lacking.setdefault(place, []).append(stage)
        failures: dict[int, str] = {}

        def read(place: int) -> tuple[int, Sample | str]:
            try:
                return place, self.split.read(place)
            except Exception as error:
                return place, self._message(place, error)

        for done, (place, sample) in enumerate(prefetch(read, sorted(lacking)), 1):
            if isinstance(sample, str):
                failures[place] = sample
                continue
            try:
                found = predict(sample.image, lacking[place])
                for stage in lacking[place]:
                    write_label_map(self.path(stage, place), found[stage], self.split.labels)
            except Exception as error:
                failures[place] = self._message(place, error)
                continue
            progress(done, len(lacking))
        return failures

    def labelled(self, stage: str, name: str, failures: Mapping[int, str]) -> PredictedMaps:
        """All label maps of a stage, for :func:`upscore.metrics.comparison.compare`.

        Args:
            name: of the stage in tables.
            failures: of :meth:`label`.
        """
        maps: list[PackedLabels | str] = []
        for place in range(len(self.split)):
            try:
                maps.append(PackedLabels.of(self.read(stage, place)))
            except UpscoreError as error:
                maps.append(failures.get(place, str(error)))
        return PredictedMaps(name, tuple(maps))

    def _message(self, place: int, error: Exception) -> str:
        name = self.split.pairs[place].name
        return failure_message(name, error, doing="segment it", memory_hint="")


def file_digest(path: Path) -> str:
    """Short hex digest of a file's content. Raises RunError where it cannot be read."""
    try:
        return checksum(path, "sha256")[:16]
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error}); train this run again") from error
