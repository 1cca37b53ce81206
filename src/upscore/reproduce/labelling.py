"""What networks say of every photo of a split, on disk: said once, drawn and counted many times."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from upscore.core.files import explain_os_error, make_folder, read_json, write_json
from upscore.core.images import read_mask, write_label_map
from upscore.core.labels import LabelMap, RGBImage
from upscore.core.parallel.prefetch import prefetch
from upscore.data.dataset import Sample, Split
from upscore.errors import RunError, UpscoreError
from upscore.metrics.comparison import Labelled, PackedLabels

Predict = Callable[[RGBImage, Sequence[str]], Mapping[str, LabelMap]]
"""A photo and names of stages -> what each of them says, in the classes of the data set."""


@dataclass(frozen=True)
class LabelStore:
    """Label maps (H, W) uint8 of the photos of a split, by stage and place, as PNG files.

    A stage is anything that labels photos. Its ``identity`` (weights and settings as JSON values)
    stands beside its files; under another identity they are made anew.
    """

    folder: Path
    split: Split

    def begin(self, stage: str, identity: Mapping[str, Any]) -> None:
        """See that the files of a stage are of this identity. Raises OutputError."""
        about = self.folder / stage / "stage.json"
        if about.exists():
            try:
                kept: dict[str, Any] | None = read_json(about)
            except RunError:
                kept = None
            if kept == dict(identity):
                return
            try:
                shutil.rmtree(self.folder / stage)
            except OSError as error:
                raise explain_os_error(error, self.folder / stage) from error
        make_folder(self.folder / stage)
        write_json(about, dict(identity))

    def path(self, stage: str, place: int) -> Path:
        return self.folder / stage / f"{place:06d}.png"

    def missing(self, stage: str) -> list[int]:
        """Places in the split that the stage has not labelled."""
        return [place for place in range(len(self.split)) if not self.path(stage, place).exists()]

    def read(self, stage: str, place: int) -> LabelMap:
        """Raises DataError where there is none, or no image."""
        return np.asarray(read_mask(self.path(stage, place)), np.uint8)

    def label(
        self,
        stages: Sequence[str],
        predict: Predict,
        *,
        progress: Callable[[int, int], None] = lambda _done, _total: None,
    ) -> dict[int, str]:
        """Label what is missing, photo by photo, so that little is lost at any time.

        Returns:
            Why, by the place of photos that could not be read or labelled.
        """
        lacking: dict[int, list[str]] = {}
        for stage in stages:
            for place in self.missing(stage):
                lacking.setdefault(place, []).append(stage)
        failures: dict[int, str] = {}

        def read(place: int) -> tuple[int, Sample | str]:
            try:
                return place, self.split.read(place)
            except UpscoreError as error:
                return place, str(error)

        for done, (place, sample) in enumerate(prefetch(read, sorted(lacking)), 1):
            if isinstance(sample, str):
                failures[place] = sample
                continue
            try:
                found = predict(sample.image, lacking[place])
            except UpscoreError as error:
                failures[place] = f"{sample.name}: {error}"
                continue
            for stage in lacking[place]:
                write_label_map(self.path(stage, place), found[stage], self.split.labels)
            progress(done, len(lacking))
        return failures

    def labelled(self, stage: str, name: str, failures: Mapping[int, str]) -> Labelled:
        """All of a stage, for :func:`upscore.metrics.comparison.compare`.

        Args:
            name: what tables call it.
            failures: of :meth:`label`.
        """
        maps: list[PackedLabels | str] = []
        for place in range(len(self.split)):
            try:
                maps.append(PackedLabels.of(self.read(stage, place)))
            except UpscoreError as error:
                maps.append(failures.get(place, str(error)))
        return Labelled(name, tuple(maps))


def file_digest(path: Path) -> str:
    """Short hex digest of a file's content. Raises RunError where it cannot be read."""
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error}); train this run again") from error
