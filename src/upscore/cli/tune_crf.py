"""``upscore tune-crf``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from upscore.cli.segmenter_options import NETWORK_DEFAULTS
from upscore.core.failures import format_failures
from upscore.errors import InterruptedWorkError, WorkError
from upscore.workflows.options import NetworkOptions

if TYPE_CHECKING:
    from rich.table import Table

    from upscore.crf.search import Trial
    from upscore.workflows.tune_crf import TuneResult


def tune_crf(
    run: Annotated[Positional[Path], arg(metavar="RUN|PIPELINE")],
    /,
    *,
    data: Path,
    split: str = "val",
    out: Annotated[Path | None, arg(metavar="PATH")] = None,
    trials: int = 40,
    minutes: Annotated[float | None, arg(metavar="FLOAT")] = None,
    images: int = 40,
    seed: int = 0,
    sampler: Literal["tpe", "random"] = "tpe",
    start: Annotated[str, arg(metavar="NAME|FILE")] = "deconvnet",
    iterations: Annotated[int | None, arg(metavar="INT")] = None,
    resume: bool = False,
    options: Annotated[NetworkOptions, arg(name="")] = NETWORK_DEFAULTS,
) -> None:
    """Search for the dense CRF that suits a trained network best.

    The network labels some photos once; every trial refines them with other deviations and weights.
    Half of the photos are searched on, the other half tells what the result is worth. Needs Optuna:
    pip install "upscore[tune]".

    Args:
        run: Run folder (or model folder) of the network, or a pipeline file (.yaml).
        data: The data set: a folder of a known layout, or a dataset.yaml.
        split: Which of its splits; not the one that the network was trained on.
        out: Where best.yaml, trials.csv, trials.json and tuning.png go; by default into the run
            folder, under crf-tuning, or beside the pipeline file, as NAME-crf-tuning.
        trials: How many settings are drawn, besides no CRF and the named settings.
        minutes: Draw no more settings after so many minutes of searching.
        images: How many photos of the split are taken, half of them to search on.
        seed: Draws the photos and the settings.
        sampler: Optuna's tree-structured Parzen estimator, or its random search.
        start: Settings (deconvnet, released, deeplab or a YAML file) that give what the search does
            not vary. A file is tried itself, too, and a term that it leaves out stays out.
        iterations: Mean field iterations of all candidates; by default those of --start, which are
            10 in the named ones.
        resume: Go on with the search in --out where it stopped (or begin it).
    """
    from upscore.cli.console import console, errors
    from upscore.cli.progress import ProgressDisplay
    from upscore.workflows.tune_crf import BEST
    from upscore.workflows.tune_crf import tune_crf as run_search

    def on_trial(trial: Trial, is_best: bool) -> None:
        if is_best or trial.name != sampler:
            errors.print(_line(trial), markup=False)

    with ProgressDisplay() as on_progress:
        result = run_search(
            run,
            data,
            split=split,
            out=out,
            trials=trials,
            minutes=minutes,
            images=images,
            seed=seed,
            sampler=sampler,
            start=start,
            iterations=iterations,
            resume=resume,
            options=options,
            on_progress=on_progress,
            on_trial=on_trial,
        )
    if result.interrupted:
        num = len(result.trials)
        saved = f"what was found is in {result.folder}" if num else "nothing was tried so far"
        raise InterruptedWorkError(
            f"stopped after {num} of {result.total} trials; {saved}. Go on with the same command "
            "and --resume"
        )
    console.print(results_table(result))
    console.print()
    for line in result.verdict():
        console.print(line, markup=False)
    console.print(f"Settings, trials and figure: {result.folder}", markup=False)
    best = result.folder / BEST
    words = ["upscore", "evaluate", str(run), "--data", str(data)]
    words += [] if split == "val" else ["--split", split]
    follow = shlex.join([*words, "--crf", str(best)])
    if result.stage is not None:
        follow = f"in {run}, refine: {{of: {result.stage}, crf: {best.resolve()}}}"
    console.print(f"Next: {follow}", markup=False)
    if result.failures:
        num = result.num_searched + result.num_held + len(result.failures)
        begin = f"{len(result.failures)} of {num} images could not be used; the rest were:"
        raise WorkError(format_failures(begin, [failure.message for failure in result.failures]))


def _line(trial: Trial) -> str:
    terms = ", ".join(part for part in _terms(trial) if part)
    name = f"{trial.name} ({terms})" if terms else trial.name
    return f"trial {trial.number:>3}  mIoU {trial.score:.4f}  {name}"


def _terms(trial: Trial) -> tuple[str, str]:
    """The Gaussian as deviation/weight and the bilateral as deviation/colour/weight."""
    if trial.settings is None:
        return "", ""
    gaussian, bilateral = trial.settings.gaussian, trial.settings.bilateral
    return (
        "" if gaussian is None else f"{_number(gaussian.sxy)}/{gaussian.weight:g}",
        ""
        if bilateral is None
        else f"{_number(bilateral.sxy)}/{_number(bilateral.srgb)}/{bilateral.weight:g}",
    )


def _number(value: float | tuple[float, ...]) -> str:
    return ",".join(f"{part:g}" for part in value) if isinstance(value, tuple) else f"{value:g}"


def results_table(result: TuneResult) -> Table:
    """The checked trials with both scores, best on the searched half first."""
    from rich.table import Table
    from rich.text import Text

    caption = (
        f"searched: mIoU on {result.num_searched} images that the search saw, so the best of "
        f"{len(result.trials)} looks better than it is; held out: on {result.num_held} that it did "
        "not see"
    )
    starred = [trial for trial in result.checked if _star(trial)]
    if starred:
        caption += "; *: not normalised symmetrically, so the weights are not comparable"
    table = Table(
        box=None, padding=(0, 2, 0, 0), caption=caption, caption_justify="left", caption_style=""
    )
    table.add_column("trial", justify="right")
    table.add_column("settings")
    table.add_column("gaussian\nsxy/weight")
    table.add_column("bilateral\nsxy/srgb/weight")
    table.add_column("mIoU\nsearched", justify="right")
    table.add_column("mIoU\nheld out", justify="right")
    table.add_column("seconds\nan image", justify="right")
    for trial in result.checked:
        table.add_row(
            str(trial.number),
            Text(Path(trial.name).name + _star(trial)),  # Text: a file may be called [red]
            *_terms(trial),
            f"{trial.score:.4f}",
            "-" if trial.held_out is None else f"{trial.held_out:.4f}",
            "-" if trial.settings is None else f"{trial.seconds / result.num_searched:.2f}",
        )
    return table


def _star(trial: Trial) -> str:
    return "*" if trial.settings and trial.settings.normalization != "symmetric" else ""
