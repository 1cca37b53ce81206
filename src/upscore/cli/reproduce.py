"""``upscore reproduce``: the experiments of the two sources."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import Assignments, Data, joined, split_names
from upscore.cli.progress import ProgressDisplay
from upscore.errors import SettingsError

if TYPE_CHECKING:
    from upscore.reproduce.run import SourceName


@dataclass(frozen=True)
class ReproduceOptions:
    """Options of every reproduction."""

    data: Data
    out: Annotated[Path, arg(metavar="DIR")]
    """Output folder for runs, tables, figures, results.json and page.html."""
    budget: Annotated[str, arg(metavar="minutes=N|iterations=N|papers")] = "minutes=30"
    """minutes=N or iterations=N: the trainings share N minutes or N optimiser steps
    and use small networks from random weights; iterations give the same result on
    every machine. papers: the published schedules and VGG16; needs a GPU and, for
    the DeconvNet paper, a week; not for the history."""
    split: Annotated[str, arg(metavar="NAME")] = "val"
    """Split for validation and measurements."""
    set: Assignments = ()
    """Change a setting of every training, for example --set seed=1."""
    photo: Annotated[str | None, arg(metavar="NAME")] = None
    """Photo of the split that figures show; by default chosen by its ground truth."""
    class_name: Annotated[str | None, arg(name="class", metavar="NAME")] = None
    """Class whose objects or activations are shown."""
    without_data: bool = False
    """Leave photos and true masks out of page and figures, for data that must not be published."""


def fcn_report(
    *,
    options: Annotated[ReproduceOptions, arg(name="")],
    seeds: Annotated[str | None, arg(metavar="N,N,...")] = None,
    ablate: bool = False,
) -> None:
    """Rerun the FCN-8s report: three settings and a plain model, its tables, figures and claims.

    Each training is a run folder inside --out. If it was stopped, run the same command to resume
    with whatever is missing.

    Args:
        seeds: Train everything once for each of these seeds, for example --seeds 0,1,2.
            Scores are then means with deviations, and differences must also hold between
            trainings.
        ablate: Also train the steps between the plain model and FCN-8s: FCN-32s, and
            FCN-8s with fixed or learned upsampling, without and with the factors on pool4
            and pool3.
    """
    _reproduce("fcn-report", options, seeds=parse_seeds(seeds), ablate=ablate)


def deconvnet_paper(
    *,
    options: Annotated[ReproduceOptions, arg(name="")],
    methods: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None,
) -> None:
    """Rerun the DeconvNet paper: FCN-8s, DeconvNet, their ensemble, the CRF, and the ablations.

    Each training is a run folder inside --out. If it was stopped, run the same command to resume
    with whatever is missing. Use pipeline.yaml in --out with `upscore predict` on your own photos.

    Args:
        methods: Also train other methods of the paper's table: hypercolumn, deeplab-largefov or
            both, separated by a comma. Each gets as much of the budget as FCN-8s.
    """
    _reproduce("deconvnet-paper", options, methods=parse_methods(methods))


def history(
    *,
    options: Annotated[ReproduceOptions, arg(name="")],
    methods: Annotated[str | None, arg(metavar="NAME,NAME,...")] = None,
) -> None:
    """Train the systems from 2012 to 2015 in the order of their years, and show what each brought.

    Patch CNN, FCN-32s, FCN-16s, FCN-8s, Hypercolumn, DeepLab+CRF, DeconvNet, EDeconvNet+CRF, SegNet
    and U-Net, all small and under one budget, in minutes or iterations. page.html is in English,
    page.ko.html in Korean. If it was stopped, run the same command to resume with whatever is
    missing. Use pipeline.yaml in --out with `upscore predict` on your own photos.

    Args:
        methods: Only these systems, two or more of patch-cnn, fcn32s, fcn16s, fcn8s, hypercolumn,
            deeplab-crf, deconvnet, edeconvnet-crf, segnet, unet.
    """
    _reproduce("history", options, methods=parse_systems(methods))


def _reproduce(
    source: SourceName,
    options: ReproduceOptions,
    *,
    seeds: tuple[int, ...] = (),
    ablate: bool = False,
    methods: tuple[str, ...] = (),
) -> None:
    from upscore.reproduce.run import check_complete, reproduce

    with ProgressDisplay() as on_progress:
        result = reproduce(
            source,
            data=options.data,
            out=options.out,
            budget=options.budget,
            split=options.split,
            assignments=joined(options.set),
            photo=options.photo,
            class_name=options.class_name,
            show_data=not options.without_data,
            seeds=seeds,
            ablate=ablate,
            methods=methods,
            on_progress=on_progress,
        )
    keep_result(result)
    console.print(f"Page: {', '.join(map(str, [result.page, *result.translations]))}")
    console.print(f"Tables, figures and results.json: {options.out}")
    check_complete(result)


def parse_methods(text: str | None) -> tuple[str, ...]:
    """Names from ``hypercolumn,deeplab-largefov``; none from None. Raises SettingsError."""
    from upscore.reproduce.other_methods import OTHER_METHODS, check_methods

    if text is None:
        return ()
    names = split_names(text)
    if not names:
        raise SettingsError(f"--methods is empty; name some of {', '.join(OTHER_METHODS)}")
    return check_methods(names)


def parse_systems(text: str | None) -> tuple[str, ...]:
    """Names from ``fcn8s,unet``; none, for all, from None. Raises SettingsError."""
    from upscore.reproduce.history_methods import check_systems, history

    if text is None:
        return ()
    names = split_names(text)
    if not names:
        known = ", ".join(step.stage for step in history().steps)
        raise SettingsError(f"--methods is empty; name two or more of {known}")
    return check_systems(names)


def parse_seeds(text: str | None) -> tuple[int, ...]:
    """Seeds from ``0,1,2``; none from None. Raises SettingsError for anything else."""
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if all(part.isdecimal() for part in parts) and len({*map(int, parts)}) == len(parts):
        return tuple(map(int, parts))
    raise SettingsError(
        f"--seeds is {text!r}; expected different whole numbers from 0, for example --seeds 0,1,2"
    )
