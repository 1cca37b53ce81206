"""Tune a dense CRF to a network: predict once, search on half of the images, check on the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter

from upscore.core.failures import Failure, failure_of
from upscore.core.files import scratch_folder, write_text
from upscore.core.labels import RGBImage
from upscore.core.lock import claim
from upscore.core.model_folder import is_pipeline
from upscore.core.option_values import require_at_least
from upscore.core.parallel.prefetch import prefetch
from upscore.core.progress import OnProgress, Progress, count_items, ignore_progress
from upscore.core.runtime import command_line
from upscore.core.settings import load_yaml
from upscore.core.tables import write_csv
from upscore.crf.search import (
    SPACE,
    TRIED,
    Candidate,
    SamplerName,
    Trial,
    best_trial,
    known_candidates,
    read_history,
    search,
    write_history,
)
from upscore.crf.settings import CRFSettings, load_crf
from upscore.data import open_dataset
from upscore.data.dataset import Sample, Split
from upscore.errors import DataError, RunError, SettingsError, UpscoreError
from upscore.inference.pipeline.settings import read_pipeline
from upscore.inference.segmenter import Segmenter
from upscore.inference.trained_photos import trained_photos
from upscore.metrics.bootstrap import difference_interval, overlaps
from upscore.metrics.confusion import Matrix, mean_iou
from upscore.report.figures.scores import write_figure
from upscore.report.figures.tuning import DRAWN, NO_CRF, START, Point, tuning_figure
from upscore.workflows.options import DEFAULTS, NetworkOptions
from upscore.workflows.prediction_cache import Probabilities, Refine, StoredPredictions
from upscore.workflows.predictions import match_run

FOLDER = "crf-tuning"
BEST = "best.yaml"
HISTORY = "trials.json"

TOP = 5  # how many drawn trials are checked on the other half
FEW = 10  # images; a difference over fewer is a hint at most
SAME_SCORE = 1e-4  # a GPU may label a few pixels differently the second time


@dataclass(frozen=True)
class TuneResult:
    """Result of a search.

    ``trials`` are all trials; those in ``checked`` (best first) have their score on the held-out
    half. ``interval`` holds 95 % of the resampled differences on that half between the best CRF and
    no CRF. If the search was interrupted, ``checked`` is empty and ``interval`` None. ``failures``
    are images that were not used, ``unrefined`` those that were scored with the network's own
    labels because a CRF failed. ``folder`` contains best.yaml, trials.csv, trials.json and
    tuning.png. ``stage`` is the stage of a pipeline that the CRF is for; None for a run.
    """

    trials: tuple[Trial, ...]
    total: int
    num_searched: int
    num_held: int
    checked: tuple[Trial, ...]
    interval: tuple[float, float] | None
    failures: tuple[Failure, ...]
    folder: Path
    stage: str | None = None
    unrefined: tuple[Failure, ...] = ()

    @property
    def interrupted(self) -> bool:
        return self.interval is None

    @property
    def best(self) -> Trial | None:
        """The CRF of the highest score on the searched half; None if none was tried."""
        return best_trial(self.trials[1:]) if len(self.trials) > 1 else None

    def to_dict(self) -> dict[str, Any]:
        """JSON values of every field, and the verdict."""
        content: dict[str, Any] = TypeAdapter(TuneResult).dump_python(self, mode="json")
        return content | {"verdict": self.verdict()}

    def verdict(self) -> list[str]:
        """The gain by the best CRF, one or two sentences per line."""
        best = self.best
        if best is None:
            return ["The search was stopped before a CRF was tried."]
        none = self.trials[0]
        begin = (
            f"Best on the {_images(self.num_searched)} searched: trial {best.number} "
            f"({best.name}), mIoU {best.score:.4f}; without a CRF {none.score:.4f}."
        )
        if self.interval is None:
            return [
                begin,
                f"The search was stopped after {len(self.trials)} of {self.total} trials; the gain "
                "on other images was not measured.",
            ]
        assert best.held_out is not None
        assert none.held_out is not None
        difference = best.held_out - none.held_out
        low, high = self.interval
        if best.score <= none.score:
            end = (
                "No CRF is better than none, not even on the images of the search: use none with "
                "this network."
            )
        elif difference <= 0:
            end = (
                "The CRF does not help on images that the search did not see: use none with this "
                "network."
            )
        elif low <= 0:
            end = (
                "It is not clear whether the CRF helps: the interval includes no gain. Use more "
                "--images."
            )
        elif self.num_held < FEW:
            end = (
                f"The CRF helps there, but {_images(self.num_held)} are few: use more --images to "
                "be sure."
            )
        else:
            end = "The CRF helps."
        return [
            begin,
            f"On {_images(self.num_held)} that the search did not see: {best.held_out:.4f}; "
            f"without a CRF {none.held_out:.4f}. Difference {difference:+.4f}, 95 % interval "
            f"{low:+.4f} to {high:+.4f}.",
            end,
        ]


def tune_crf(
    run: Path,
    data: Path,
    *,
    split: str = "val",
    out: Path | None = None,
    trials: int = 40,
    minutes: float | None = None,
    images: int = 40,
    seed: int = 0,
    sampler: SamplerName = "tpe",
    start: str = "deconvnet",
    iterations: int | None = None,
    resume: bool = False,
    options: NetworkOptions = DEFAULTS,
    on_progress: OnProgress = ignore_progress,
    on_trial: Callable[[Trial, bool], None] | None = None,
) -> TuneResult:
    """Search for the dense CRF settings that work best with a trained network.

    The network segments some images once, and each trial refines the result with other CRF
    settings. Half of the images are held out to measure the gain. Ctrl-C while searching or
    checking ends it early, with the results so far.

    Args:
        run: run folder or model folder of the network, or a pipeline file.
        data: a data set folder of a known layout, or a dataset.yaml.
        split: split of the data set; not the one that the network was trained on.
        out: output folder; by default ``run/crf-tuning``, or ``NAME-crf-tuning`` next to the
            pipeline file.
        trials: number of settings to try, in addition to no CRF and the named settings.
        minutes: stop searching after this many minutes.
        images: number of images of the split; half of them are used for the search.
        seed: random seed for the choice of images and settings.
        sampler: Optuna's ``tpe`` or ``random``.
        start: name or file of settings for everything that the search does not vary.
        iterations: mean field iterations of all candidates; None for those of ``start``.
        resume: resume the search in ``out``, or start it.
        options: how the network is used.
        on_trial: called with each finished trial and whether it is the best so far.

    Raises:
        MissingExtraError: Optuna is not installed.
        SettingsError: an argument out of range; a search in ``out`` without ``resume``, or one with
            other settings.
        NotFoundError, RunError: see ``load_segmenter`` and ``open_dataset``.
        RunError: trials.json is damaged, or of another network.
        DataError: other classes, fewer than two usable images, or nothing to score in them.
        OutputError: ``out`` cannot be written.
    """
    base = load_crf(start)
    require_at_least(1, iterations=iterations)
    require_at_least(0, seed=seed)
    if iterations is not None:
        base = base.model_copy(update={"iterations": iterations})
    known = known_candidates(start, base)
    dataset = open_dataset(data, max_pixels=options.max_pixels)
    part = draw_images(dataset.split(split), images, seed=seed)
    stage = _refined_stage(run)
    segmenter: Segmenter = (
        options.load(run) if stage is None else options.load_pipeline(run, [stage])
    )
    part = replace(
        part,
        photo_values=trained_photos(run, () if stage is None else (stage,)).or_else(
            part.photo_values
        ),
    )
    made_with: dict[str, Any] = {
        "--data": dataset.fingerprint(),
        "--split": split,
        "--images": [pair.name for pair in part.pairs],
        "--seed": seed,
        "--start or --iterations": base.to_json(),
        "the network's options": options.to_dict(),
    }
    if stage is not None:
        made_with |= {"the stage": stage, "the pipeline": load_yaml(run)}
    result = tune(
        segmenter.probabilities,
        part,
        table=match_run(run, segmenter.labels, dataset, data=data),
        base=base,
        known=known,
        sampler=sampler,
        seed=seed,
        num_trials=trials,
        seconds=None if minutes is None else minutes * 60,
        folder=out or (run / FOLDER if stage is None else run.with_name(f"{run.stem}-{FOLDER}")),
        made_with=made_with,
        resume=resume,
        on_progress=on_progress,
        on_trial=on_trial,
    )
    result = replace(result, stage=stage)
    _write(result, num_known=len(known))
    return result


def _refined_stage(run: Path) -> str | None:
    """The stage of a pipeline to refine, None for a run.

    It is the pipeline's output stage, or the input of that stage if it is a CRF.
    """
    if not is_pipeline(run):
        return None
    settings = read_pipeline(run)
    refined = settings.stages[settings.output].refine
    return settings.output if refined is None else refined.input


def draw_images(split: Split, num: int, *, seed: int) -> Split:
    """Draw ``num`` images of a split, or all if it has fewer, in an order given by the seed.

    Raises:
        SettingsError: ``num`` is below 2.
        DataError: the split has a single image.
    """
    if num < 2:
        raise SettingsError(
            f"the number of images is {num}; allowed: 2 or more, one half for the search and one "
            "for the check"
        )
    if len(split) < 2:
        raise DataError(
            f"split {split.name!r} has {_images(len(split))}; tuning needs 2 or more, one half for "
            "the search and one for the check"
        )
    places = np.random.default_rng(seed).permutation(len(split))[:num]
    return replace(split, pairs=tuple(split.pairs[int(place)] for place in places))


def tune(
    probabilities: Callable[[RGBImage], Probabilities],
    images: Split,
    *,
    table: npt.NDArray[np.uint8],
    base: CRFSettings,
    known: Sequence[Candidate],
    num_trials: int,
    seed: int,
    folder: Path,
    made_with: Mapping[str, Any],
    sampler: SamplerName = "tpe",
    seconds: float | None = None,
    resume: bool = False,
    on_progress: OnProgress = ignore_progress,
    on_trial: Callable[[Trial, bool], None] | None = None,
) -> TuneResult:
    """Search for the CRF of the highest mIoU; ``folder/trials.json`` grows with every trial.

    The score of a trial is the mIoU of one confusion matrix over every second image. The best few
    drawn and all known candidates are scored on the other images as well. Probabilities are kept
    in a temporary folder inside ``folder``; memory holds two or three images.

    Args:
        probabilities: the network, (H, W, 3) uint8 -> (C, H, W) float32 in [0, 1].
        images: 2 or more, as :func:`draw_images` gives them.
        table: (C,) uint8, from the network's class index to the data set's.
        base, known, num_trials, seed, sampler, seconds: see :func:`upscore.crf.search.search`; the
            first of ``known`` is no CRF.
        made_with: values that must be the same to continue a search: name -> JSON value.
        resume, on_progress, on_trial: see :func:`tune_crf`.

    Raises:
        See :func:`tune_crf`.
    """
    assert known[0][1] is None
    history = folder / HISTORY
    past = _past(history, made_with, known, resume=resume)
    _try_once(known, len(table))

    def failed(place: int, error: Exception) -> None:
        name = stored.names[place]
        failure = failure_of(place, name, error, doing="refine it")
        text = f"{failure.message}; the network's own labels are scored instead"
        unrefined.setdefault(name, replace(failure, message=text))

    def score(settings: CRFSettings | None) -> float:
        return _miou(stored.matrices(searched, _refine(settings), failed), images)

    remaining = search(
        score,
        base=base,
        known=known,
        num_trials=num_trials,
        seed=seed,
        sampler=sampler,
        seconds=seconds,
        past=past,
    )
    total = len(known) + num_trials
    trials = list(past)
    chosen: list[Trial] = []
    held_out: dict[int, list[Matrix]] = {}
    unrefined: dict[str, Failure] = {}
    interval: tuple[float, float] | None = None
    with (
        claim(folder, "a search for CRF settings"),
        scratch_folder(folder / "probabilities") as scratch,
    ):
        stored = StoredPredictions(scratch, table)
        failures = _label(probabilities, images, stored, count_items(on_progress, "segmenting"))
        searched, held = range(0, len(stored), 2), range(1, len(stored), 2)
        if past and abs(past[0].score - (now := score(None))) > SAME_SCORE:
            raise RunError(
                f"{history}: the network alone scored {past[0].score:.4f} when this search was "
                f"started and scores {now:.4f} now, so it is a different one; choose another --out"
            )
        try:
            on_progress(Progress("searching", len(trials), total))
            for trial in remaining:
                trials.append(trial)
                write_history(history, trials, about=made_with)
                on_progress(Progress("searching", len(trials), total))
                if on_trial:
                    on_trial(trial, best_trial(trials) is trial)
            drawn = sorted(trials[len(known) :], key=_rank)
            chosen = sorted([*trials[: len(known)], *drawn[:TOP]], key=_rank)
            for place, trial in enumerate(chosen):
                on_progress(Progress("checking", place, len(chosen)))
                refine = _refine(trial.settings)
                held_out[trial.number] = list(stored.matrices(held, refine, failed))
            rows = {n: np.stack([overlaps(m) for m in found]) for n, found in held_out.items()}
            interval = difference_interval(rows[0], rows[best_trial(trials[1:]).number])
        except KeyboardInterrupt:
            chosen = []
    for trial in chosen:
        trials[trial.number] = replace(trial, held_out=_miou(held_out[trial.number], images))
    if chosen:
        write_history(history, trials, about=made_with)
    return TuneResult(
        trials=tuple(trials),
        total=total,
        num_searched=len(searched),
        num_held=len(held),
        checked=tuple(trials[trial.number] for trial in chosen),
        interval=interval,
        failures=failures,
        unrefined=tuple(unrefined.values()),
        folder=folder,
    )


def _rank(trial: Trial) -> tuple[float, int]:
    """Sorts trials best first, the earlier of equals first."""
    return -trial.score, trial.number


def _past(
    history: Path,
    made_with: Mapping[str, Any],
    known: Sequence[Candidate],
    *,
    resume: bool,
) -> list[Trial]:
    """The trials to continue from, without held-out scores, which are computed again."""
    if not history.exists():
        return []
    if not resume:
        raise SettingsError(
            f"{history} exists already, from an earlier search; continue it with --resume, or "
            "choose another --out"
        )
    trials, earlier = read_history(history)
    others = [name for name, value in made_with.items() if earlier.get(name) != value]
    pairs = zip(trials, known, strict=False)
    if not others and any((t.name, t.settings) != candidate for t, candidate in pairs):
        others = ["the named settings"]
    if others:
        raise SettingsError(
            f"{history}: this search was started with other values of {', '.join(others)}; use the "
            "same values, or choose another --out"
        )
    return [replace(trial, held_out=None) for trial in trials]


def _try_once(known: Sequence[Candidate], num_classes: int) -> None:
    """Find wrong settings (such as penalties of another size) before the network runs."""
    image = np.zeros((8, 8, 3), dtype=np.uint8)
    even = np.zeros((num_classes, 8, 8), dtype=np.float32)
    for name, settings in known:
        refine = _refine(settings)
        if refine is None:
            continue
        try:
            refine(image, even)
        except UpscoreError as error:
            raise SettingsError(f"{name}: {error}") from error


def _label(
    probabilities: Callable[[RGBImage], Probabilities],
    images: Split,
    stored: StoredPredictions,
    update: Callable[[int, int], None],
) -> tuple[Failure, ...]:
    """Run the network on the images; returns those that could not be used."""

    def read(place: int) -> Sample | Failure:
        try:
            return images.read(place)
        except Exception as error:
            return failure_of(place, images.pairs[place].name, error, doing="read it")

    failures: list[Failure] = []
    for place, item in enumerate(prefetch(read, range(len(images)), workers=1, depth=2)):
        if isinstance(item, Failure):
            failures.append(item)
        else:
            try:
                stored.add(item, probabilities(item.image))
            except Exception as error:
                failures.append(failure_of(place, item.name, error, doing="segment it"))
        update(place + 1, len(images))
    if len(stored) < 2:
        lines = "".join(f"\n  {failure.message}" for failure in failures[:TOP])
        raise DataError(
            f"{len(failures)} of the {len(images)} images cannot be used; tuning needs 2 or more:"
            f"{lines}"
        )
    return tuple(failures)


def _refine(settings: CRFSettings | None) -> Refine | None:
    if settings is None:
        return None
    crf = settings.build()
    return lambda photo, energies: crf(photo, energies=energies)


def _miou(matrices: Iterable[Matrix], images: Split) -> float:
    score = mean_iou(np.sum(list(matrices), axis=0))
    if score is None:
        raise DataError(
            f"nothing to score: one half of the {_images(len(images))} from split "
            f"{images.name!r} has only void pixels; use more --images or another --seed"
        )
    return score


def _images(num: int) -> str:
    return "1 image" if num == 1 else f"{num} images"


# -- files --------------------------------------------------------------------------------------


def _write(result: TuneResult, *, num_known: int) -> None:
    """Write best.yaml, trials.csv and tuning.png; nothing if nothing was tried."""
    if not result.trials:
        return
    write_trials_csv(result.folder / "trials.csv", result.trials)
    points = []
    for trial in result.trials:
        values = {}
        # weights under another normalisation do not compare
        if trial.settings is not None and trial.settings.normalization == "symmetric":
            found = {key: _value(trial.settings, key) for key in SPACE}
            values = {key: v for key, v in found.items() if isinstance(v, float) and v > 0}
        known = trial.name if trial.name in (NO_CRF, *TRIED) else START
        group = DRAWN if trial.number >= num_known else known
        points.append(Point(trial.number, trial.score, group, values))
    figure = tuning_figure(points, ranges=SPACE, num_images=result.num_searched)
    write_figure(result.folder / "tuning.png", figure)
    if result.best is not None and result.best.settings is not None:
        lines = ["Settings of a dense CRF, for --crf.", *result.verdict()]
        if (command := command_line()) is not None:
            lines[0] += " Found by"
            lines.insert(1, f"  {command}")
        comment = "".join(f"# {part}\n" for line in lines for part in line.splitlines())
        write_text(result.folder / BEST, comment + result.best.settings.to_yaml())


def write_trials_csv(path: Path, trials: Sequence[Trial]) -> None:
    """Write one row per trial; cells are empty for missing settings or scores."""
    keys = [*SPACE, "normalization", "iterations"]
    rows = [
        [t.number, t.name, t.score, t.held_out, f"{t.seconds:.3f}",
         *(_value(t.settings, key) for key in keys)]
        for t in trials
    ]  # fmt: skip
    write_csv(path, ["trial", "name", "miou_searched", "miou_held_out", "seconds", *keys], rows)


def _value(settings: CRFSettings | None, key: str) -> Any:
    """A setting by its dotted key, lists as text; None if it is not set."""
    value: Any = settings
    for part in key.split("."):
        value = getattr(value, part, None)
    return ",".join(f"{v:g}" for v in value) if isinstance(value, tuple) else value
