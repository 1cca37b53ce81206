"""``upscore tune-crf``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from upscore.cli.console import console, errors, keep_result
from upscore.cli.options import Data, OptionalInt, OptionalPath
from upscore.cli.progress import ProgressDisplay
from upscore.cli.segmenter_options import NETWORK_DEFAULTS
from upscore.core.failures import check_failures
from upscore.core.tables import Table
from upscore.errors import InterruptedWorkError
from upscore.workflows.options import NetworkOptions

if TYPE_CHECKING:
    from upscore.crf.search import Trial
    from upscore.workflows.tune_crf import TuneResult


def tune_crf(
    run: Annotated[Positional[Path], arg(metavar="RUN|PIPELINE")],
    /,
    *,
    data: Data,
    split: str = "val",
    out: OptionalPath = None,
    trials: int = 40,
    minutes: Annotated[float | None, arg(metavar="FLOAT")] = None,
    images: int = 40,
    seed: int = 0,
    sampler: Literal["tpe", "random"] = "tpe",
    start: Annotated[str, arg(metavar="NAME|FILE")] = "deconvnet",
    iterations: OptionalInt = None,
    resume: bool = False,
    options: Annotated[NetworkOptions, arg(name="")] = NETWORK_DEFAULTS,
) -> None:
    """Search for the dense CRF settings that work best with a trained network.

    The network segments some photos once, and each trial refines the result with other CRF
    settings. Half of the photos are held out to measure the gain. Needs Optuna:
    pip install "upscore[tune]".

    Args:
        run: Run folder (or model folder) of the network, or a pipeline file (.yaml).
        split: Split of the data set; not the one that the network was trained on.
        out: Folder for best.yaml, trials.csv, trials.json and tuning.png; by default
            crf-tuning in the run folder, or NAME-crf-tuning next to the pipeline file.
        trials: Number of settings to try, in addition to no CRF and three named settings.
        minutes: Stop searching after this many minutes.
        images: Number of photos of the split; half of them are used for the search.
        seed: Random seed for the choice of photos and settings.
        sampler: Optuna's tree-structured Parzen estimator, or its random search.
        start: Settings (deconvnet, released, deeplab, deeplab-largefov or a YAML file) for
            everything that the search does not vary. A file is also tried itself; a missing term
            is not added.
        iterations: Mean field iterations of all candidates; by default those of --start (10 in
            the named settings).
        resume: Resume the search in --out where it stopped (or start it).
    """
    from upscore.workflows.tune_crf import BEST
    from upscore.workflows.tune_crf import tune_crf as run_search

    def on_trial(trial: Trial, is_best: bool) -> None:
        if is_best or trial.name != sampler:
            errors.print(_line(trial))

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
    keep_result(result)
    if result.interrupted:
        num = len(result.trials)
        saved = f"the results are in {result.folder}" if num else "nothing was tried so far"
        raise InterruptedWorkError(
            f"stopped after {num} of {result.total} trials; {saved}. To continue, run the same "
            "command with --resume"
        )
    console.print(results_table(result).screen(left=(1, 2, 3)))
    console.print(_caption(result))
    console.print()
    for line in result.verdict():
        console.print(line)
    console.print(f"Settings, trials and figure: {result.folder}")
    best = result.folder / BEST
    words = ["upscore", "evaluate", str(run), "--data", str(data)]
    words += [] if split == "val" else ["--split", split]
    follow = shlex.join([*words, "--crf", str(best)])
    if result.stage is not None:
        follow = f"in {run}, refine: {{of: {result.stage}, crf: {best.resolve()}}}"
    console.print(f"Next: {follow}")
    failures = [*result.failures, *result.unrefined]
    num = result.num_searched + result.num_held - len(result.unrefined)
    check_failures(failures, num, "images could not be used or refined", others="the rest were")


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
    header = ("trial", "settings", "gaussian\nsxy/weight", "bilateral\nsxy/srgb/weight",
              "mIoU\nsearched", "mIoU\nheld out", "seconds\nan image")  # fmt: skip
    rows = [
        (
            trial.number,
            Path(trial.name).name + _star(trial),
            *_terms(trial),
            trial.score,
            trial.held_out,
            None if trial.settings is None else f"{trial.seconds / result.num_searched:.2f}",
        )
        for trial in result.checked
    ]
    return Table(header, rows)


def _caption(result: TuneResult) -> str:
    caption = (
        f"searched: mIoU on the {result.num_searched} images of the search, so the score of the "
        f"best of {len(result.trials)} is too optimistic; held out: mIoU on {result.num_held} "
        "other images"
    )
    if any(_star(trial) for trial in result.checked):
        caption += "; *: not normalised symmetrically, so the weights are not comparable"
    return caption


def _star(trial: Trial) -> str:
    return "*" if trial.settings and trial.settings.normalization != "symmetric" else ""
