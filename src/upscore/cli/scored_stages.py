"""What ``upscore evaluate`` scores: the network of a run folder, or the stages of a pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscore.cli.segmenter_options import SegmenterOptions
from upscore.errors import RunError, SettingsError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from upscore.core.labels import LabelMap, Labels, RGBImage


@dataclass(frozen=True)
class ScoredStages:
    """Predictions by name, made in one go.

    Attributes:
        labels: the classes of each; a run folder has one of no name.
        answer: the name of the main one.
        predict: a photo and names -> label maps, in the classes of each.
        folder: where results go by default.
        settings: how photos are labelled, for scores.json.
        seconds: each stage's own time so far.
    """

    labels: Mapping[str, Labels]
    answer: str
    predict: Callable[[RGBImage, Sequence[str]], Mapping[str, LabelMap]]
    folder: Path
    settings: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.labels)

    @classmethod
    def of_run(cls, run: Path, options: SegmenterOptions) -> ScoredStages:
        """Of a run or model folder. Raises as ``load_segmenter``."""
        segmenter = options.load(run)
        return cls(
            {"": segmenter.labels},
            "",
            lambda image, _names: {"": segmenter.predict(image)},
            run / "evaluation",
            options.about(),
        )

    @classmethod
    def of_pipeline(
        cls, path: Path, names: Sequence[str] | None, options: SegmenterOptions
    ) -> ScoredStages:
        """Of a pipeline file: the stages ``names``, or all. Raises as ``load_pipeline``."""
        from upscore.inference.pipeline.settings import read_pipeline

        pipeline = options.load_pipeline(path, names)
        wanted = pipeline.stages if names is None else names
        seconds: dict[str, float] = {}
        about = options.about()
        content = read_pipeline(path).model_dump(mode="json", exclude_none=True)
        for name, used in pipeline.box_settings.items():  # with what the run's training says
            content["stages"][name]["instance_wise"] |= used.model_dump(mode="json")
        return cls(
            {name: pipeline.labels_of(name) for name in pipeline.stages if name in wanted},
            pipeline.answer,
            lambda image, some: pipeline.predict_of(image, some, seconds=seconds),
            path.with_name(f"{path.stem}-evaluation"),
            {
                "device": about["device"],
                "precision": about["precision"],
                "pipeline": content,
            },
            seconds,
        )

    def predict_as(
        self, of_data: Labels, *, run: Path, data: Path
    ) -> Callable[[RGBImage, Sequence[str]], dict[str, LabelMap]]:
        """``predict`` in the classes of a data set, matched by name.

        Raises:
            RunError: the classes of a stage have other names.
        """
        from upscore.data.class_mapping import match_classes

        tables: dict[str, npt.NDArray[np.uint8] | None] = {}
        for name, labels in self.labels.items():
            try:
                table = match_classes(labels, of_data, run=str(run), data=str(data))
            except RunError as error:
                raise RunError(f"stage {name}: {error}" if name else str(error)) from error
            tables[name] = None if labels.names == of_data.names else table

        def predict(image: RGBImage, names: Sequence[str]) -> dict[str, LabelMap]:
            found: dict[str, LabelMap] = {}
            for name, labels in self.predict(image, names).items():
                table = tables[name]
                found[name] = labels if table is None else table[labels]
            return found

        return predict


def stage_names(text: str) -> tuple[str, ...]:
    """Names joined by commas, each once. Raises SettingsError when there is none."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise SettingsError("--stages is empty; name stages of the pipeline, joined by commas")
    return names
