"""Score predictions on a split of a data set: tables, figures and examples in a folder."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from upscore.core.choices import chosen
from upscore.core.damage import reading
from upscore.core.extras import missing_extra, missing_modules
from upscore.core.failures import Failure
from upscore.core.files import make_folder, read_json
from upscore.core.option_values import FIGURE_FORMATS, require_at_least
from upscore.core.plural import plural
from upscore.core.progress import OnProgress, count_items, ignore_progress
from upscore.core.run_folder import DRAWN_VALIDATION, RunFolder, told_guess
from upscore.core.runtime import describe_result
from upscore.data import DataSet, Split, open_dataset
from upscore.data.drawn_splits import VAL
from upscore.data.notices import tell_listing, tell_meaning
from upscore.errors import RunError
from upscore.metrics.evaluate import Evaluation, evaluate_stages
from upscore.metrics.object_size import COCO_SIZES, RELATIVE_SIZES, Bins
from upscore.metrics.score_files import per_class_table, scores_json, write_results
from upscore.metrics.stage_files import write_stages
from upscore.report.examples import write_examples
from upscore.report.score_tables import overall_table
from upscore.workflows.options import DEFAULTS, SegmenterOptions
from upscore.workflows.predictions import open_predictions

logger = logging.getLogger(__name__)

Sizes = Literal["coco", "relative"]
"""Limits of small, medium and large objects: as in COCO, or relative to the image."""

SIZES: Mapping[Sizes, Bins] = {"coco": COCO_SIZES, "relative": RELATIVE_SIZES}


@dataclass(frozen=True, repr=False)
class EvaluateResult:
    """Scores of one network or folder of label maps, or of each stage of a pipeline.

    Attributes:
        stages: evaluations by stage; a single network has one of the name "".
        output: the main stage.
        own_seconds: time of each stage of a pipeline, without its input stages.
        folder: of tables, figures and examples.
        is_pipeline: whether ``stages`` are those of a pipeline.
    """

    stages: Mapping[str, Evaluation]
    output: str
    own_seconds: Mapping[str, float]
    folder: Path
    is_pipeline: bool

    def __repr__(self) -> str:
        miou = "none" if self.miou is None else f"{self.miou:.4f}"
        return f"<EvaluateResult: mIoU {miou}, {plural(len(self.main.images), 'image')}>"

    def _repr_html_(self) -> str:
        """The scores by class and overall, for notebooks."""
        scores = self.main.confusion.scores()
        overall = overall_table(scores, self.main)
        return per_class_table(scores, self.main.labels).html() + overall.html()

    @property
    def main(self) -> Evaluation:
        """The evaluation of the main stage."""
        return self.stages[self.output]

    @property
    def miou(self) -> float | None:
        """mIoU of the main stage in [0, 1]; None where no pixel counts."""
        return self.main.confusion.scores().miou

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Images that could not be scored."""
        return self.main.failures

    def to_dict(self) -> dict[str, Any]:
        """Scores overall and by class, failures and the folder as JSON values.

        For a pipeline these are the scores of the main stage, ``output``; ``stages`` holds those
        of all stages by name.
        """
        stages = {name: scores_json(item) for name, item in self.stages.items()}
        return {
            "split": self.main.split,
            "images": len(self.main.images),
            **stages[self.output],
            **({"output": self.output, "stages": stages} if self.is_pipeline else {}),
            "failures": [failure.message for failure in self.failures],
            "folder": str(self.folder),
        }


def evaluate(
    source: str | Path,
    *,
    data: str | Path,
    split: str = "val",
    out: str | Path | None = None,
    stages: Sequence[str] | None = None,
    sizes: Sizes = "coco",
    workers: int = 2,
    figures: Sequence[str] = ("png",),
    options: SegmenterOptions = DEFAULTS,
    on_progress: OnProgress = ignore_progress,
) -> EvaluateResult:
    """Score a network, every stage of a pipeline, or label maps of any tool on a split.

    Args:
        source: a run folder, a model folder, a pipeline file (.yaml), or a folder of label maps
            (index PNG, npz, npy) with the names of the photos.
        data: the data set: a folder of a known layout, or a dataset.yaml.
        out: output folder; by default ``evaluation/SPLIT`` in the run folder, or
            ``NAME-evaluation/SPLIT`` next to the pipeline file or label folder.
        stages: stages of a pipeline to score; None for all, in one pass.
        workers: number of threads that decode photos in advance.
        figures: any of png, pdf, svg. Without matplotlib (extra ``report``) none are written,
            with a warning.
        options: how the network is used.

    Returns:
        The scores; images that could not be scored are in ``failures``.

    Raises:
        SettingsError: no such split, stages without a pipeline, a bad option.
        RunError: class names of the network and the data set differ.
        DataError, NotFoundError, OutputError: a file is missing, unreadable or cannot be written.

    Example:
        >>> result = upscore.evaluate(run, data=toy, split="val")
        >>> 0 <= result.miou <= 1
        True
    """
    figures = _possible(chosen("figures", figures, FIGURE_FORMATS))
    source, data = Path(source), Path(data)
    require_at_least(1, workers=workers)
    dataset = open_dataset(data, max_pixels=options.max_pixels)
    tell_listing(dataset)
    part = _part(dataset, split, source)
    found = open_predictions(source, dataset, data=data, stages=stages, options=options)
    part = found.photos_of(part)
    tell_meaning(dataset, part.pairs, told=told_guess(source))
    folder = (found.folder if out is None else Path(out)) / (split if out is None else "")
    make_folder(folder)  # before the work: an --out that cannot be written fails at once
    results = evaluate_stages(
        lambda sample: found.predict(sample, found.stages),
        found.stages,
        part,
        progress=count_items(on_progress, f"evaluating {split}"),
        workers=workers,
        details=True,
        instances=dataset.instances,
        bins=SIZES[sizes],
    )
    own_seconds = dict(found.seconds)  # before the examples
    about = {
        "run": str(source),
        "data": dataset.describe(data),
        "settings": found.settings,
        **describe_result(),
    }
    for name, one in results.items():
        write_results(one, folder / name, about=about | ({"stage": name} if name else {}))
        if figures:
            _write_figures(one, folder / name, figures)
    write_examples(
        lambda sample: found.predict(sample, [found.output])[found.output],
        part,
        results[found.output].images,
        folder / found.output / "examples",
    )
    is_pipeline = found.stages != ("",)
    if is_pipeline:
        write_stages(results, folder, output=found.output, seconds=own_seconds, about=about)
    return EvaluateResult(results, found.output, own_seconds, folder, is_pipeline)


def _possible(figures: tuple[str, ...]) -> tuple[str, ...]:
    """The formats of figures, or none, which is told, where matplotlib is not installed."""
    if not missing_modules("report"):
        return figures
    missing = missing_extra("drawing figures", "report")
    logger.warning("%s; without it, only scores, tables and example photos are written", missing)
    return ()


def _write_figures(one: Evaluation, folder: Path, formats: Sequence[str]) -> None:
    from upscore.report.figures.scores import confusion_heat_map, per_class_bars, write_figure

    heat_map = confusion_heat_map(one.confusion.matrix, one.labels)
    write_figure(folder / "confusion.png", heat_map, formats)
    bars = per_class_bars(one.confusion.scores(), one.labels)
    write_figure(folder / "per_class.png", bars, formats)


def _part(dataset: DataSet, split: str, source: Path) -> Split:
    """The split to score. A drawn ``val`` has the validation photos of the run ``source``.

    They stay the same if photos are added to the data set, although others would be drawn then.
    """
    part = dataset.split(split)
    manifest = RunFolder(source).manifest
    if split != VAL or not dataset.draws_validation or not manifest.exists():
        return part
    with reading(manifest, "damaged", "evaluate another run, or train again", error=RunError):
        names = set(read_json(manifest).get("data", {}).get(DRAWN_VALIDATION, ()))
    validated = dataset.named(names)
    return replace(part, pairs=validated) if names and len(validated) == len(names) else part
