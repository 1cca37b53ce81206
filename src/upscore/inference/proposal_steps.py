"""Results of a photo after its best 1, 5, 10, ... boxes, to files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscore.core.labels import LabelMap, RGBImage
from upscore.errors import SettingsError
from upscore.inference.outputs import LabelledImage, need_probabilities, output_path
from upscore.inference.pipeline.run import Pipeline
from upscore.inference.segmenter import ScoreMap, Segmenter

FOLDER = "steps"
"""In the folder of results: ``steps/STAGE/labels/NAME-005.png`` after five boxes, and so on."""


@dataclass(frozen=True)
class ProposalSteps:
    """Saves results of a pipeline's ``InstanceWise`` stages after ``counts`` boxes."""

    pipeline: Pipeline
    counts: tuple[int, ...]

    @classmethod
    def of(cls, segmenter: Segmenter, counts: Sequence[int]) -> ProposalSteps:
        """Steps of a segmenter.

        Raises:
            SettingsError: not a pipeline, or one whose output depends on no ``instance_wise``
                stage; a count below 1.
        """
        if not isinstance(segmenter, Pipeline):
            raise SettingsError(
                "results after some boxes (--save-proposal-steps) are those of a pipeline's "
                "instance_wise stage; give a pipeline file in place of the run folder"
            )
        if not segmenter.stepwise:
            raise SettingsError(
                f"results after some boxes (--save-proposal-steps) are those of an instance_wise "
                f"stage, but the answer {segmenter.output!r} of this pipeline comes from none; "
                "choose another answer"
            )
        wrong = [count for count in counts if count < 1]
        if wrong:
            raise SettingsError(f"results after {wrong[0]} boxes; allowed: 1 or more")
        return cls(segmenter, tuple(sorted(set(counts))))

    def paths(self, out: Path, name: str, formats: Sequence[str]) -> list[Path]:
        """All files of a photo's steps."""
        return [
            output_path(out / FOLDER / stage, output_format, _name(name, count))
            for stage in self.pipeline.stepwise
            for count in self.counts
            for output_format in formats
        ]

    def probabilities(
        self,
        image: RGBImage,
        name: str,
        out: Path,
        formats: Sequence[str],
        put: Callable[[Path, str, LabelledImage], None],
    ) -> ScoreMap:
        """The pipeline's probabilities (C, H, W) of a photo; ``put`` saves each step."""

        def save(stage: str, count: int, after: ScoreMap) -> None:
            labels: LabelMap = after.argmax(axis=0).astype(np.uint8)
            kept = after if need_probabilities(formats) else None
            item = LabelledImage(image, labels, self.pipeline.labels_of(stage), kept)
            put(out / FOLDER / stage, _name(name, count), item)

        return self.pipeline.probabilities_in_steps(image, self.counts, save)


def _name(name: str, count: int) -> str:
    return f"{name}-{count:03d}"
