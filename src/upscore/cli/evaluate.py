"""``upscore evaluate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import Figures, OptionalPath, Sizes, Split, announced, split_names
from upscore.cli.progress import ProgressDisplay
from upscore.cli.segmenter_options import SEGMENTER_DEFAULTS, SegmenterOptions
from upscore.core.choices import chosen
from upscore.core.failures import check_failures
from upscore.core.option_values import FIGURE_FORMATS, require_at_least
from upscore.errors import SettingsError

if TYPE_CHECKING:
    from upscore.workflows.evaluate import EvaluateResult


def evaluate(
    source: Annotated[Positional[Path | None], arg(metavar="[RUN|PIPELINE|LABELS]")] = None,
    /,
    *,
    data: Annotated[Path | None, arg(metavar="PATH")] = None,
    split: Split = "val",
    out: OptionalPath = None,
    stages: Annotated[str | None, arg(metavar="NAMES")] = None,
    sizes: Sizes = "coco",
    workers: int = 2,
    figures: Figures = "png",
    options: Annotated[SegmenterOptions, arg(name="")] = SEGMENTER_DEFAULTS,
) -> None:
    """Score a network, every stage of a pipeline, or label maps of any tool, on a split.

    Args:
        source: Run folder (or model folder) of a network, a pipeline file (.yaml), or a
            folder of label maps with the names of the photos (index PNG; npz or npy of
            labels or probabilities). By default the last run in runs/.
        data: The data set: a folder of a known layout, or a dataset.yaml; by default the
            data set that the run was trained on.
        out: Folder for scores, tables, figures and example pictures; by default
            evaluation/SPLIT in the run folder, or NAME-evaluation/SPLIT next to a
            pipeline file or a folder of label maps.
        stages: Stages of a pipeline to score, separated by commas; by default all, in one pass.
        workers: Number of threads that decode photos in advance.
    """
    formats = chosen("figures", split_names(figures), FIGURE_FORMATS)
    require_at_least(1, workers=workers)
    options.check()

    from upscore.core.model_folder import require_source
    from upscore.core.run_folder import RunFolder
    from upscore.core.runs_folder import data_of, require_last_run
    from upscore.data.detect import require_data

    source = source or announced(require_last_run())
    require_source(source)
    data = data or data_of(source)
    require_data(data)

    from upscore.workflows.evaluate import evaluate as run_evaluation

    with ProgressDisplay() as on_progress:
        result = run_evaluation(
            source,
            data=data,
            split=split,
            out=out,
            stages=None if stages is None else stage_names(stages),
            sizes=sizes,
            workers=workers,
            figures=formats,
            options=options,
            on_progress=on_progress,
        )
    keep_result(result)
    scored = len(result.main.images)
    if scored:
        print_result(result)
    console.print(f"Scores, tables, figures and examples: {result.folder}")
    has_report = out is None and RunFolder(source).manifest.exists()  # a model folder has none
    if scored and has_report:
        console.print(f"Next: upscore report {source}")
    check_failures(
        result.failures,
        scored,
        "images could not be scored",
        others="all others are",
        rest="see scores.json",
    )


def stage_names(text: str) -> tuple[str, ...]:
    """Names separated by commas, each once. Raises SettingsError when there is none."""
    names = tuple(dict.fromkeys(split_names(text)))
    if not names:
        raise SettingsError("--stages is empty; name stages of the pipeline, separated by commas")
    return names


def print_result(result: EvaluateResult) -> None:
    """Scores by class and overall; for a pipeline, of each stage too."""
    from upscore.metrics.score_files import per_class_table
    from upscore.report.score_tables import absent_note, overall_table, stages_table

    main = result.main
    scores = main.confusion.scores()
    console.print(per_class_table(scores, main.labels).screen(), "")
    if note := absent_note(main.labels.names, (one.pixels for one in scores.per_class)):
        console.print(note, "", markup=False)
    console.print(overall_table(scores, main).screen())
    if result.is_pipeline:
        console.print()
        table = stages_table(result.stages, result.output, result.own_seconds)
        console.print(table.screen(left=(0,)))
