"""Tune a dense CRF to a network: label photos once, search on one half, check on the other."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.files import explain_os_error, make_folder
from upscore.core.labels import RGBImage
from upscore.core.parallel.prefetch import prefetch
from upscore.crf.search import (
    Candidate,
    Sampler,
    Trial,
    best_trial,
    read_history,
    search,
    write_history,
)
from upscore.crf.settings import CRFSettings
from upscore.data.dataset import Sample, Split
from upscore.errors import DataError, RunError, SettingsError, UpscoreError
from upscore.metrics.bootstrap import Overlaps, difference_interval, overlaps
from upscore.metrics.confusion import Confusion, mean_iou
from upscore.metrics.evaluate import Failure
from upscore.workflows.prediction_cache import Probabilities, Refine, StoredPredictions

TOP = 5  # how many drawn trials are checked on the other half
FEW = 10  # images; a difference over fewer is a hint at most
SAME_SCORE = 1e-4  # a GPU may decide a few pixels otherwise the second time
HISTORY = "trials.json"

Update = Callable[[int, int], None]
Progress = Callable[[str], contextlib.AbstractContextManager[Update]]
"""The name of a stage -> a bar for it, which is told (done, of how many)."""


@contextlib.contextmanager
def silent(_stage: str) -> Iterator[Update]:
    """A bar that nobody sees."""
    yield lambda _done, _total: None


@dataclass(frozen=True)
class Tuning:
    """What came of a search.

    ``trials`` are all of them, those in ``checked`` (best first) with their score on the held-out
    half. ``interval`` holds 95 % of the resampled differences on that half between the best CRF and
    no CRF. Of an interrupted search ``checked`` is empty and ``interval`` None.
    """

    trials: tuple[Trial, ...]
    total: int
    num_searched: int
    num_held: int
    checked: tuple[Trial, ...]
    interval: tuple[float, float] | None
    failures: tuple[Failure, ...]

    @property
    def interrupted(self) -> bool:
        return self.interval is None

    @property
    def best(self) -> Trial | None:
        """The CRF that scored highest on the searched half; None when none was tried so far."""
        return best_trial(self.trials[1:]) if len(self.trials) > 1 else None

    def verdict(self) -> list[str]:
        """What it is worth, in sentences for people, one a line."""
        best, none = self.best, self.trials[0] if self.trials else None
        if best is None or none is None:
            return ["The search was stopped before a CRF was tried."]
        lines = [
            f"Best on the {_images(self.num_searched)} searched: trial {best.number} "
            f"({best.name}), mIoU {best.score:.4f}; without a CRF {none.score:.4f}."
        ]
        if self.interval is None:
            lines.append(
                f"The search was stopped after {len(self.trials)} of {self.total} trials; what "
                "this is worth on other images was not looked at."
            )
            return lines
        assert best.held_out is not None
        assert none.held_out is not None
        difference = best.held_out - none.held_out
        low, high = self.interval
        lines.append(
            f"On {_images(self.num_held)} that the search did not see: {best.held_out:.4f}; "
            f"without a CRF {none.held_out:.4f}. Difference {difference:+.4f}, 95 % interval "
            f"{low:+.4f} to {high:+.4f}."
        )
        if best.score <= none.score:
            lines.append(
                "No CRF that was tried is better than none, not even on the images searched: use "
                "none with this network."
            )
        elif difference <= 0:
            lines.append(
                "The CRF does not help on images that the search did not see: better use none with "
                "this network."
            )
        elif low <= 0:
            lines.append(
                "Whether the CRF helps is open: the interval reaches down to no gain. More "
                "--images tell more."
            )
        elif self.num_held < FEW:
            lines.append(
                f"The CRF helps there, but {_images(self.num_held)} are few: more --images tell "
                "more."
            )
        else:
            lines.append("The CRF helps.")
        return lines


def _images(num: int) -> str:
    return "1 image" if num == 1 else f"{num} images"


def draw_images(split: Split, num: int, *, seed: int) -> Split:
    """``num`` images of a split, or all if it has fewer, in an order that the seed gives.

    Raises:
        SettingsError: ``num`` is below 2.
        DataError: the split has a single image.
    """
    if num < 2:
        raise SettingsError(
            f"the number of images is {num}; allowed: 2 or more, one half to search on and one to "
            "check on"
        )
    if len(split) < 2:
        raise DataError(
            f"split {split.name!r} has {_images(len(split))}; tuning needs 2 or more, one half to "
            "search on and one to check on"
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
    sampler: Sampler,
    num_trials: int,
    folder: Path,
    made_with: Mapping[str, Any],
    seconds: float | None = None,
    resume: bool = False,
    progress: Progress = silent,
    tell: Callable[[Trial, bool], None] | None = None,
) -> Tuning:
    """Search for the CRF of the highest mIoU; ``folder/trials.json`` grows with every trial.

    The score of a trial is the mIoU of one confusion matrix over every second image. The best few
    drawn and all known candidates are scored on the other images as well. Probabilities are kept
    in a temporary folder inside ``folder``; memory holds two or three images. Ctrl-C while
    searching or checking ends it early, with what is there.

    Args:
        probabilities: the network, (H, W, 3) uint8 -> (C, H, W) float32 in [0, 1].
        images: 2 or more, as :func:`draw_images` gives them.
        table: (C,) uint8, from the network's class index to the data set's.
        base, known, sampler, num_trials, seconds: see :func:`upscore.crf.search.search`; the first
            of ``known`` is no CRF.
        made_with: what must be the same to go on with a search: name -> JSON value.
        resume: go on with the trials in ``folder``, if there are any.
        progress: shows how far labelling, searching and checking are.
        tell: called with each trial when it is done, and whether it is the best so far.

    Raises:
        SettingsError: a history without ``resume``, or one that was made with something else.
        RunError: the history is damaged, or made with another network.
        DataError: fewer than two images could be used, or there is nothing to score in them.
    """
    assert known[0][1] is None
    history = folder / HISTORY
    past = _past(history, made_with, known, resume=resume)
    _try_once(known, len(table))
    make_folder(folder)
    total = len(known) + num_trials
    with _scratch(folder) as scratch:
        stored = StoredPredictions(Path(scratch), table)
        with progress("labelling") as update:
            failures = _label(probabilities, images, stored, update)
        searched, held = range(0, len(stored), 2), range(1, len(stored), 2)

        def score(settings: CRFSettings | None) -> float:
            confusion = Confusion(len(table))
            for matrix in stored.matrices(searched, _refine(settings)):
                confusion.matrix += matrix
            return _miou(confusion, images)

        if past:
            _require_same_network(history, past[0], score(None))
        trials = list(past)
        check: dict[int, tuple[float, Overlaps]] = {}
        interrupted = False
        try:
            with progress("searching") as update:
                update(len(trials), total)
                for trial in search(
                    score,
                    base=base,
                    known=known,
                    sampler=sampler,
                    num_trials=num_trials,
                    seconds=seconds,
                    past=past,
                ):
                    trials.append(trial)
                    write_history(history, trials, about=made_with)
                    update(len(trials), total)
                    if tell:
                        tell(trial, best_trial(trials) is trial)
            chosen = _chosen(trials, len(known))
            with progress("checking") as update:
                for place, trial in enumerate(chosen):
                    update(place, len(chosen))
                    confusion, rows = Confusion(len(table)), []
                    for matrix in stored.matrices(held, _refine(trial.settings)):
                        confusion.matrix += matrix
                        rows.append(overlaps(matrix))
                    check[trial.number] = _miou(confusion, images), np.stack(rows)
        except KeyboardInterrupt:
            interrupted = True

    checked: tuple[Trial, ...] = ()
    interval: tuple[float, float] | None = None
    if not interrupted:
        trials = [
            replace(trial, held_out=check[trial.number][0]) if trial.number in check else trial
            for trial in trials
        ]
        write_history(history, trials, about=made_with)
        checked = tuple(trials[trial.number] for trial in chosen)
        interval = difference_interval(check[0][1], check[best_trial(trials[1:]).number][1])
    return Tuning(
        trials=tuple(trials),
        total=total,
        num_searched=len(searched),
        num_held=len(held),
        checked=checked,
        interval=interval,
        failures=failures,
    )


def _past(
    history: Path,
    made_with: Mapping[str, Any],
    known: Sequence[Candidate],
    *,
    resume: bool,
) -> list[Trial]:
    """Trials to go on from, without the scores of a check that will be made again."""
    if not history.exists():
        return []
    if not resume:
        raise SettingsError(
            f"{history} is there already, from an earlier search; go on with it by --resume, or "
            "give another folder with --out"
        )
    trials, earlier = read_history(history)
    others = [name for name, value in made_with.items() if earlier.get(name) != value]
    pairs = zip(trials, known, strict=False)
    if not others and any((t.name, t.settings) != candidate for t, candidate in pairs):
        others = ["the named settings"]
    if others:
        raise SettingsError(
            f"{history}: this search was begun with other values of {', '.join(others)}; type them "
            "as they were, or give another folder with --out"
        )
    return [replace(trial, held_out=None) for trial in trials]


def _require_same_network(history: Path, none: Trial, score: float) -> None:
    """A network trained on in between would mix two series of scores."""
    if abs(none.score - score) > SAME_SCORE:
        raise RunError(
            f"{history}: the network alone scored {none.score:.4f} when this search was begun and "
            f"scores {score:.4f} now, so it is another one; give another folder with --out"
        )


def _try_once(known: Sequence[Candidate], num_classes: int) -> None:
    """Wrong settings (a table of penalties of another size) are told before the network works."""
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


def _scratch(folder: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(prefix=".probabilities-", dir=folder)
    except OSError as error:
        raise explain_os_error(error, folder) from error


def _label(
    probabilities: Callable[[RGBImage], Probabilities],
    images: Split,
    stored: StoredPredictions,
    update: Update,
) -> tuple[Failure, ...]:
    """Run the network over the images, decoding ahead; returns what could not be used."""

    def read(place: int) -> Sample | Failure:
        try:
            return images.read(place)
        except UpscoreError as error:
            return Failure(place, images.pairs[place].name, str(error))

    failures: list[Failure] = []
    for place, item in enumerate(prefetch(read, range(len(images)), workers=1, depth=2)):
        if isinstance(item, Failure):
            failures.append(item)
        else:
            try:
                answer = probabilities(item.image)
            except UpscoreError as error:
                failures.append(Failure(place, item.name, str(error)))
            else:
                stored.add(item, answer)
        update(place + 1, len(images))
    if len(stored) < 2:
        lines = "".join(f"\n  {failure.message}" for failure in failures[:TOP])
        raise DataError(
            f"{len(failures)} of the {len(images)} images cannot be used; tuning needs 2 or more "
            f"that can:{lines}"
        )
    return tuple(failures)


def _refine(settings: CRFSettings | None) -> Refine | None:
    if settings is None:
        return None
    crf = settings.build()
    return lambda photo, energies: crf(photo, energies=energies)


def _miou(confusion: Confusion, images: Split) -> float:
    score = mean_iou(confusion.matrix)
    if score is None:
        raise DataError(
            f"nothing to score: one half of the {_images(len(images))} taken from split "
            f"{images.name!r} holds only void; take more with --images, or others with --seed"
        )
    return score


def _chosen(trials: Sequence[Trial], num_known: int) -> list[Trial]:
    """Known ones and the best few that were drawn, best first."""
    drawn = sorted(trials[num_known:], key=lambda trial: (-trial.score, trial.number))
    return sorted(
        [*trials[:num_known], *drawn[:TOP]], key=lambda trial: (-trial.score, trial.number)
    )
