"""``upscore reproduce``: the experiments of the two sources."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

from upscore.errors import SettingsError

if TYPE_CHECKING:
    from upscore.reproduce.run import SourceName

BUDGET = "minutes=30"


def fcn_report(
    *,
    data: Annotated[Path, arg(metavar="PATH")],
    out: Annotated[Path, arg(metavar="DIR")],
    budget: Annotated[str, arg(metavar="minutes=N|iterations=N|papers")] = BUDGET,
    split: Annotated[str, arg(metavar="NAME")] = "val",
    set: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="KEY=VALUE")] = (),
    photo: Annotated[str | None, arg(metavar="NAME")] = None,
    class_name: Annotated[str | None, arg(name="class", metavar="NAME")] = None,
    without_data: bool = False,
    seeds: Annotated[str | None, arg(metavar="N,N,...")] = None,
    ablate: bool = False,
) -> None:
    """Rerun the FCN-8s report: three settings and a plain model, its tables, figures and claims.

    Each training is a run folder below --out. The same command goes on with what is missing,
    whenever it was stopped.

    Args:
        data: The data set: a folder of a known layout, or a dataset.yaml.
        out: Where runs, tables, figures, results.json and page.html go.
        budget: minutes=N or iterations=N: the trainings share N minutes or N steps of the
            optimiser, with small networks from random weights; iterations give the same on every
            machine. papers: the report's own schedules and VGG16, for a GPU.
        split: What is validated and measured on.
        set: Change a setting of every training, as in --set seed=1.
        photo: Photo of the split that figures 2 and 3 show; by default chosen by the truth.
        class_name: Class whose objects figure 3 shows.
        without_data: Leave photos and true masks out of page and figures, as of data that may not
            be shown.
        seeds: Train everything once for each of these seeds, as in --seeds 0,1,2: scores are means
            with deviations, and differences must hold between trainings too.
        ablate: Train what lies between the plain model and FCN-8s as well: FCN-32s, and FCN-8s with
            fixed or learned upsampling, without and with the factors on pool4 and pool3.
    """
    _reproduce(
        "fcn-report", data, out, budget, split, set, photo, class_name, without_data,
        seeds=parse_seeds(seeds), ablate=ablate,
    )  # fmt: skip


def deconvnet_paper(
    *,
    data: Annotated[Path, arg(metavar="PATH")],
    out: Annotated[Path, arg(metavar="DIR")],
    budget: Annotated[str, arg(metavar="minutes=N|iterations=N|papers")] = BUDGET,
    split: Annotated[str, arg(metavar="NAME")] = "val",
    set: Annotated[UseAppendAction[tuple[tuple[str, ...], ...]], arg(metavar="KEY=VALUE")] = (),
    photo: Annotated[str | None, arg(metavar="NAME")] = None,
    class_name: Annotated[str | None, arg(name="class", metavar="NAME")] = None,
    without_data: bool = False,
) -> None:
    """Rerun the DeconvNet paper: FCN-8s, DeconvNet, their ensemble, the CRF, and the ablations.

    Each training is a run folder below --out. The same command goes on with what is missing,
    whenever it was stopped. pipeline.yaml in --out labels photos of your own.

    Args:
        data: The data set: a folder of a known layout, or a dataset.yaml.
        out: Where runs, boxes, tables, figures, results.json and page.html go.
        budget: minutes=N or iterations=N: the trainings share N minutes or N steps of the
            optimiser, with small networks from random weights; iterations give the same on every
            machine. papers: the published schedules and VGG16, for a GPU and a week.
        split: What is validated and measured on.
        set: Change a setting of every training, as in --set seed=1.
        photo: Photo of the split that figures show; by default chosen by the truth.
        class_name: Class whose activations are shown.
        without_data: Leave photos and true masks out of page and figures, as of data that may not
            be shown.
    """
    _reproduce("deconvnet-paper", data, out, budget, split, set, photo, class_name, without_data)


def _reproduce(
    source: SourceName,
    data: Path,
    out: Path,
    budget: str,
    split: str,
    assignments: tuple[tuple[str, ...], ...],
    photo: str | None,
    class_name: str | None,
    without_data: bool,
    *,
    seeds: tuple[int, ...] = (),
    ablate: bool = False,
) -> None:
    from upscore.cli.console import console
    from upscore.cli.progress import ProgressDisplay
    from upscore.reproduce.run import check_complete, reproduce

    with ProgressDisplay() as on_progress:
        result = reproduce(
            source,
            data=data,
            out=out,
            budget=budget,
            split=split,
            assignments=[text for group in assignments for text in group],
            photo=photo,
            class_name=class_name,
            show_data=not without_data,
            seeds=seeds,
            ablate=ablate,
            on_progress=on_progress,
        )
    console.print(f"Page: {result.page}", markup=False)
    console.print(f"Tables, figures and results.json: {out}", markup=False)
    check_complete(result)


def parse_seeds(text: str | None) -> tuple[int, ...]:
    """Seeds from ``0,1,2``; none from None. Raises SettingsError for anything else."""
    if text is None:
        return ()
    parts = [part.strip() for part in text.split(",")]
    if all(part.isdecimal() for part in parts) and len({*map(int, parts)}) == len(parts):
        return tuple(map(int, parts))
    raise SettingsError(
        f"--seeds is {text!r}; want different whole numbers from 0, as in --seeds 0,1,2"
    )
