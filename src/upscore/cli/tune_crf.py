"""``upscore tune-crf``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import Positional, arg

from upscore.cli.segmenter_options import NETWORK_DEFAULTS, NetworkOptions
from upscore.core.failures import tell_failures
from upscore.errors import InterruptedWorkError, SettingsError, WorkError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from upscore.crf.search import Trial
    from upscore.crf.settings import CRFSettings
    from upscore.inference.segmenter import Segmenter
    from upscore.metrics.evaluate import Failure
    from upscore.workflows.crf_tuning import Tuning

BEST = "best.yaml"
FOLDER = "crf-tuning"


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
    sampler: Literal["auto", "random", "optuna"] = "auto",
    start: Annotated[str, arg(metavar="NAME|FILE")] = "deconvnet",
    iterations: Annotated[int | None, arg(metavar="INT")] = None,
    resume: bool = False,
    options: Annotated[NetworkOptions, arg(name="")] = NETWORK_DEFAULTS,
) -> None:
    """Search for the dense CRF that suits a trained network best.

    The network labels some photos once; every trial refines them with other deviations and weights.
    Half of the photos are searched on, the other half tells what the result is worth.

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
        sampler: Random search, or Optuna's estimator; auto takes Optuna where it is installed.
        start: Settings (deconvnet, released, deeplab or a YAML file) that give what the search does
            not vary. A file is tried itself, too, and a term that it leaves out stays out.
        iterations: Mean field iterations of all candidates; by default those of --start, which are
            10 in the named ones.
        resume: Go on with the search in --out where it stopped (or begin it).
    """
    from upscore.core.memory import bound_shape_caches, keep_freed_memory

    bound_shape_caches()  # before torch comes in
    keep_freed_memory()
    from upscore.cli.console import console, errors, progress, show_messages
    from upscore.core.settings import load_yaml
    from upscore.crf.search import known_candidates, make_sampler, space_of
    from upscore.data import open_data
    from upscore.data.class_mapping import match_classes
    from upscore.workflows.crf_tuning import draw_images, tune

    if trials < 1:
        raise SettingsError(f"--trials is {trials}; allowed: 1 or more")
    if minutes is not None and not minutes > 0:
        raise SettingsError(f"--minutes is {minutes:g}; allowed: above 0")
    base = _base(start, iterations)
    chosen_sampler = make_sampler(sampler, space_of(base), seed=seed)
    known = known_candidates(start, base)
    dataset = open_data(data, max_pixels=options.max_pixels)
    part = draw_images(dataset.split(split), images, seed=seed)
    stage, segmenter = _open(run, options)
    table = match_classes(segmenter.labels, dataset.labels, run=str(run), data=str(data))
    folder = out or (run / FOLDER if stage is None else run.with_name(f"{run.stem}-{FOLDER}"))

    show_messages("upscore.compiled")

    def tell(trial: Trial, is_best: bool) -> None:
        if trial.number < len(known) or is_best:
            errors.print(_line(trial), markup=False)

    result = tune(
        segmenter.probabilities,
        part,
        table=table,
        base=base,
        known=known,
        sampler=chosen_sampler,
        num_trials=trials,
        seconds=None if minutes is None else minutes * 60,
        folder=folder,
        made_with={
            "--data": dataset.fingerprint(),
            "--split": split,
            "--images": [pair.name for pair in part.pairs],
            "--seed": seed,
            "--start or --iterations": base.to_json(),
            "the network's options": options.about(),
            **({} if stage is None else {"the stage": stage, "the pipeline": load_yaml(run)}),
        },
        resume=resume,
        progress=progress,
        tell=tell,
    )
    _write(result, folder)
    if result.interrupted:
        num = len(result.trials)
        saved = f"what was found is in {folder}" if num else "nothing was tried so far"
        raise InterruptedWorkError(
            f"stopped after {num} of {result.total} trials; {saved}. Go on with the same command "
            "and --resume"
        )
    console.print(results_table(result))
    console.print()
    for line in result.verdict():
        console.print(line, markup=False)
    console.print(f"Settings, trials and figure: {folder}", markup=False)
    words = ["upscore", "evaluate", str(run), "--data", str(data)]
    words += [] if split == "val" else ["--split", split]
    follow = shlex.join([*words, "--crf", str(folder / BEST)])
    if stage is not None:
        follow = f"in {run}, refine: {{of: {stage}, crf: {(folder / BEST).resolve()}}}"
    console.print(f"Next: {follow}", markup=False)
    if result.failures:
        raise WorkError(_complaint(result.failures, len(part)))


def _open(run: Path, options: NetworkOptions) -> tuple[str | None, Segmenter]:
    """What is refined: a run's network; of a pipeline the answer, or the stage that it refines.

    Returns:
        The name of the stage, None for a run; and what labels photos.
    """
    from upscore.inference.pipeline.settings import is_pipeline, read_pipeline

    if not is_pipeline(run):
        return None, options.load(run)
    settings = read_pipeline(run)
    refined = settings.stages[settings.answer].refine
    stage = settings.answer if refined is None else refined.of
    return stage, options.load_pipeline(run, [stage])


def _base(start: str, iterations: int | None) -> CRFSettings:
    """What gives the settings that are not varied. Raises as load_crf, or SettingsError."""
    from upscore.crf.settings import load_crf

    base = load_crf(start)
    if iterations is None:
        return base
    if iterations < 1:
        raise SettingsError(f"--iterations is {iterations}; allowed: 1 or more")
    return base.model_copy(update={"iterations": iterations})


def _line(trial: Trial) -> str:
    return f"trial {trial.number:>3}  mIoU {trial.score:.4f}  {trial.name}{_in_brackets(trial)}"


def _in_brackets(trial: Trial) -> str:
    return f" ({', '.join(part for part in _terms(trial) if part)})" if trial.settings else ""


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


def results_table(result: Tuning) -> Table:
    """What was checked, best on the searched half first, with both scores."""
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


def _write(result: Tuning, folder: Path) -> None:
    """best.yaml, trials.csv and tuning.png; nothing where nothing was tried."""
    import sys

    from upscore.core.files import write_text
    from upscore.report.figures.scores import write_png
    from upscore.report.figures.tuning import tuning_figure

    if not result.trials:
        return
    write_text(folder / "trials.csv", trials_csv(result.trials))
    write_png(folder / "tuning.png", tuning_figure(result.trials, num_images=result.num_searched))
    if result.best is not None and result.best.settings is not None:
        command = shlex.join(["upscore", *sys.argv[1:]])
        lines = ["Settings of a dense CRF, for --crf. Found by", f"  {command}", *result.verdict()]
        comment = "".join(f"# {part}\n" for line in lines for part in line.splitlines())
        write_text(folder / BEST, comment + result.best.settings.to_yaml())


def trials_csv(trials: Sequence[Trial]) -> str:
    """One row a trial; an empty cell where there is no such setting or score."""
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    keys = ("gaussian.sxy", "gaussian.weight", "bilateral.sxy", "bilateral.srgb",
            "bilateral.weight", "normalization", "iterations")  # fmt: skip
    writer.writerow(["trial", "name", "miou_searched", "miou_held_out", "seconds", *keys])
    for trial in trials:
        writer.writerow(
            [
                trial.number,
                trial.name,
                trial.score,
                trial.held_out,
                f"{trial.seconds:.3f}",
                *(_cell(trial.settings, key) for key in keys),
            ]
        )
    return text.getvalue()


def _cell(settings: CRFSettings | None, key: str) -> str | float | int | None:
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part, None)
    return _number(value) if isinstance(value, tuple) else value


def _complaint(failures: Sequence[Failure], num: int) -> str:
    begin = f"{len(failures)} of {num} images could not be used; the rest were:"
    return tell_failures(begin, [failure.message for failure in failures])
