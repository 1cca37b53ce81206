"""``upscore compare``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import Data, Figures, OptionalPath, Sizes, Split, split_names
from upscore.cli.progress import ProgressDisplay
from upscore.cli.segmenter_options import SEGMENTER_DEFAULTS, SegmenterOptions
from upscore.core.choices import chosen
from upscore.core.failures import check_failures
from upscore.core.option_values import FIGURE_FORMATS, require_at_least, require_several
from upscore.core.plural import plural

if TYPE_CHECKING:
    from upscore.metrics.comparison import Comparison


def compare(
    sources: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN|PIPELINE[:STAGE]|LABELS...")],
    /,
    *,
    data: Data,
    split: Split = "val",
    out: OptionalPath = None,
    sizes: Sizes = "coco",
    pictures: int = 10,
    seed: int = 0,
    figures: Figures = "png",
    options: Annotated[SegmenterOptions, arg(name="")] = SEGMENTER_DEFAULTS,
) -> None:
    """Compare networks, pipelines or label maps on the same images, with confidence intervals.

    Each one segments the split in its own process, which measures time and memory. The first one
    is the baseline.

    Args:
        sources: Two or more run folders, model folders, pipeline files (.yaml; for one stage
            write edeconvnet-crf.yaml:deconvnet) or folders of label maps.
        out: Folder for tables, figures and pictures; without it, results are only printed.
        pictures: Number of images with the largest differences to draw into --out.
        seed: Random seed for the bootstrap.
    """
    formats = chosen("figures", split_names(figures), FIGURE_FORMATS)
    require_several(sources)
    require_at_least(0, pictures=pictures, seed=seed)
    options.check()

    from upscore.data.detect import require_data

    require_data(data)

    from upscore.workflows.compare import compare as run_comparison

    with ProgressDisplay() as on_progress:
        result = run_comparison(
            sources,
            data=data,
            split=split,
            out=out,
            sizes=sizes,
            pictures=pictures,
            seed=seed,
            figures=formats,
            options=options,
            on_progress=on_progress,
        )
    keep_result(result)
    _print(result.comparison)
    if out is not None:
        console.print(f"Tables, figures and pictures: {out}")
        console.print(f"Page: {out / 'page.html'}")
    rest = "see compare.json" if out else ""
    num, what = len(result.comparison.images), "images are left out for all"
    check_failures(result.failures, num, what, others="all others do", rest=rest)


def _print(result: Comparison) -> None:
    from upscore.metrics.comparison_files import class_table, size_table, sizes_note
    from upscore.report.score_tables import cost_table, difference_table, verdict

    console.print(difference_table(result).screen(left=(0,)))
    console.print()
    for line in verdict(result):
        console.print(line)
    console.print()
    console.print(cost_table(result).screen(left=(0,)))
    console.print()
    console.print(class_table(result).screen())
    console.print()
    console.print(size_table(result).screen())
    console.print(f"{result.objects_from}; {sizes_note(result)}")
    images = plural(len(result.images), "image")
    console.print(f"{images}; differences are against {result.models[0].name}")
