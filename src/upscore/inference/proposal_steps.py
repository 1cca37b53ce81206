"""What a photo looks like as boxes are added: results after the best 1, 5, 10, ... of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from upscore.core.labels import LabelMap, RGBImage
from upscore.core.parallel.writer import Writer
from upscore.errors import SettingsError
from upscore.inference.outputs import Product, result_path, write_results
from upscore.inference.pipeline.run import OnStep, Pipeline
from upscore.inference.segmenter import Scores, Segmenter

FOLDER = "steps"
"""In the folder of results: ``steps/STAGE/labels/NAME-005.png`` after five boxes, and so on."""


@dataclass(frozen=True)
class ProposalSteps:
    """Labels photos with a pipeline and saves what its box by box stages say on the way.

    Attributes:
        pipeline: one with such stages, as :meth:`of` makes sure.
        counts: numbers of boxes, rising.
    """

    pipeline: Pipeline
    counts: tuple[int, ...]

    @classmethod
    def of(cls, segmenter: Segmenter, counts: Sequence[int]) -> ProposalSteps:
        """Of a segmenter that can.

        Raises:
            SettingsError: not a pipeline, or one whose answer comes from no ``instance_wise``
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
                f"stage, but the answer {segmenter.answer!r} of this pipeline comes from none; "
                "choose another answer"
            )
        wrong = [count for count in counts if count < 1]
        if wrong:
            raise SettingsError(f"results after {wrong[0]} boxes; allowed: 1 or more")
        return cls(segmenter, tuple(sorted(set(counts))))

    def __call__(self, image: RGBImage, on_step: OnStep) -> Scores:
        """The answer's probabilities (C, H, W); ``on_step`` is called on the way."""
        return self.pipeline.probabilities_in_steps(image, self.counts, on_step)

    def paths(self, out: Path, name: str, products: Sequence[Product]) -> list[Path]:
        """All that is saved of a photo."""
        return [
            result_path(out / FOLDER / stage, product, _name(name, count))
            for stage in self.pipeline.stepwise
            for count in self.counts
            for product in products
        ]

    def saver(
        self, out: Path, name: str, products: Sequence[Product], image: RGBImage, writer: Writer
    ) -> OnStep:
        """What saves each step of a photo, in the threads of ``writer``."""

        def save(stage: str, count: int, probabilities: Scores) -> None:
            labels: LabelMap = probabilities.argmax(axis=0).astype(np.uint8)
            writer.put(
                write_results, out / FOLDER / stage, _name(name, count), products, image, labels,
                probabilities if "probabilities" in products else None,
                self.pipeline.labels_of(stage),
            )  # fmt: skip

        return save


def _name(name: str, count: int) -> str:
    return f"{name}-{count:03d}"
