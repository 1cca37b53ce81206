"""The commands ``upscore proposals``: make a store of boxes, measure recall, show boxes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from upscore.core.files import make_folder, write_json
from upscore.core.images import read_image
from upscore.core.labels import RGBImage
from upscore.core.limits import MAX_PIXELS
from upscore.core.option_values import require_at_least
from upscore.core.progress import OnProgress, count_items, ignore_progress
from upscore.core.runtime import describe_start, installed_version
from upscore.data import DataSet, open_dataset
from upscore.edges.maps import Map
from upscore.errors import DataError, SettingsError
from upscore.proposals.base import Proposals, ProposalSource
from upscore.proposals.build_store import MakeSummary, Photo, make_store
from upscore.proposals.recall import COUNTS, MIN_AREA, Recall
from upscore.proposals.recall import measure_recall as recall_of_sources
from upscore.proposals.sources import parse_source, photos_of

MakeSource = Callable[[DataSet | None], ProposalSource]
"""Makes the source of boxes; takes the data set, from which ground truth boxes are read."""


@dataclass(frozen=True)
class MadeProposals:
    """Result of :func:`make_proposals`.

    Attributes:
        path: of the store.
        summary: photos, boxes, failures, seconds.
    """

    path: Path
    summary: MakeSummary

    def to_dict(self) -> dict[str, Any]:
        return {
            "path": str(self.path),
            **asdict(self.summary),
            "seconds": round(self.summary.seconds, 2),
            "failures": [message for _, message in self.summary.failures],
        }


def make_proposals(
    data: Path,
    make_source: MakeSource,
    out: Path,
    *,
    split: str | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    max_pixels: int = MAX_PIXELS,
    on_progress: OnProgress = ignore_progress,
) -> MadeProposals:
    """Compute the boxes of a data set once, into the store ``out``.

    Boxes that are already in ``out`` are not computed again; after an interruption the same call
    resumes where it stopped. See :func:`upscore.proposals.build_store.make_store`.

    Args:
        data: folder of a known layout, or a dataset.yaml.
        split: split of the data set; None: all, each photo once.
        workers: number of processes; None: one for each core, fewer if there are few photos.
        overwrite: replace a store that has other settings or photos.

    Raises:
        NotFoundError, DataError, SettingsError: the data set, the source or ``out``.
        OutputError: results cannot be written; finished work is kept.
        WorkError: a process died; finished work is kept.
    """
    dataset = open_dataset(data, max_pixels=max_pixels)
    pairs = photos_of(dataset, split)
    summary = make_store(
        [Photo(pair.name, pair.image) for pair in pairs],
        make_source(dataset),
        out,
        data={"layout": dataset.layout, "split": split, "fingerprint": dataset.fingerprint()},
        workers=workers,
        overwrite=overwrite,
        progress=count_items(on_progress, "boxes"),
        max_pixels=max_pixels,
        values=dataset.photo_values,
    )
    return MadeProposals(out, summary)


@dataclass(frozen=True)
class MeasuredRecall:
    """Result of :func:`measure_recall`.

    Attributes:
        recall: of every source.
        about: data set and command.
        out: folder of recall.json, recall.csv and recall.png; None: nothing was written.
    """

    recall: Recall
    about: Mapping[str, Any]
    out: Path | None

    def to_dict(self) -> dict[str, Any]:
        return {**self.about, **self.recall.to_json()}


def measure_recall(
    data: Path,
    sources: Sequence[str],
    *,
    split: str = "val",
    out: Path | None = None,
    counts: Sequence[int] = COUNTS,
    min_area: int = MIN_AREA,
    model: Path | None = None,
    workers: int | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: OnProgress = ignore_progress,
) -> MeasuredRecall:
    """Measure how many annotated objects the boxes of several sources find.

    Args:
        data: folder of a known layout, or a dataset.yaml.
        sources: texts for :func:`upscore.proposals.sources.parse_source`.
        out: output folder; it is created before the work.
        counts: numbers of boxes at which recall is measured.
        min_area: objects with fewer pixels are left out.
        model: weights of the edge network, in place of the shipped ones.
        workers: number of processes; None: one for each core.

    Raises:
        NotFoundError, DataError, SettingsError: the data set, a source or a number.
        OutputError: results cannot be written.
        WorkError: every photo with objects failed, or a process died.
    """
    require_at_least(1, workers=workers)
    if not counts or min(counts) < 1:
        raise SettingsError(f"--counts are {tuple(counts)}; expected one or more numbers from 1")
    if model is not None and not any(_takes_model(text) for text in sources):
        raise SettingsError(
            f"--model {model}: no source uses it; add one that does, such as edge-boxes:learned"
        )
    about = {**describe_start(), "upscore": installed_version("upscore")}
    dataset = open_dataset(data, max_pixels=max_pixels)
    chosen = {
        text: parse_source(text, max_boxes=max(counts), model=model, data=dataset)
        for text in sources
    }
    if out is not None:
        make_folder(out)
    result = recall_of_sources(
        dataset,
        split,
        chosen,
        counts=counts,
        min_area=min_area,
        workers=workers,
        progress=count_items(on_progress, "finding objects"),
    )
    about["data"] = {"path": str(data), "split": split, "fingerprint": dataset.fingerprint()}
    measured = MeasuredRecall(result, about, out)
    if out is not None:
        write_json(out / "recall.json", measured.to_dict())
        result.write_csv(out / "recall.csv")
        from upscore.report.figures.proposals import recall_figure
        from upscore.report.figures.scores import write_figure

        write_figure(out / "recall.png", recall_figure(result))
    return measured


def _takes_model(text: str) -> bool:
    name, _, rest = text.partition(":")
    return name == "edge-boxes" and rest.split(",")[0] in ("", "learned")


@dataclass(frozen=True)
class ShownProposals:
    """Result of :func:`show_proposals`.

    Attributes:
        path: of the picture.
        shown: boxes that it shows.
        found: boxes that the source found.
    """

    path: Path
    shown: int
    found: int

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"path": str(self.path)}


def show_proposals(
    image: Path,
    source: ProposalSource,
    out: Path,
    *,
    title: str,
    boxes: int = 10,
    max_pixels: int = MAX_PIXELS,
) -> ShownProposals:
    """Draw the best boxes of a photo to a PNG, next to the edge map if the source has one.

    Args:
        title: name of the source, for the title of the picture.
        boxes: number of best boxes to draw.

    Raises:
        SettingsError: ``boxes`` below 1.
        NotFoundError, DataError: no such photo, or no boxes for it.
        OutputError: the picture cannot be written.
    """
    require_at_least(1, boxes=boxes)
    photo = read_image(image, max_pixels=max_pixels)
    try:
        found, strength = _boxes_and_edges(source, photo, image.stem)
    except DataError as error:
        raise DataError(f"{image}: {error}") from error
    best = found.top(boxes)
    title = f"{image.name}: {title}, best {len(best)} of {len(found)} boxes"
    from upscore.report.figures.proposals import boxes_figure
    from upscore.report.figures.scores import write_figure

    write_figure(out, boxes_figure(photo, best, title=title, strength=strength))
    return ShownProposals(out, len(best), len(found))


def _boxes_and_edges(
    source: ProposalSource, photo: RGBImage, name: str
) -> tuple[Proposals, Map | None]:
    """The boxes, and the edge map if the source has one."""
    from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

    if not isinstance(source, EdgeBoxes):
        return source(photo, name=name), None
    strength, orientation = source.edges(photo)
    return source.from_edges(strength, orientation), strength
