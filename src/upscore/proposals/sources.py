"""Sources of proposals by name, for command lines, pipelines and scripts.

The modules of the sources are imported when one is made.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscore.errors import DataError, SettingsError
from upscore.proposals.edge_boxes.parameters import SEARCH_PARAMETERS

if TYPE_CHECKING:
    from upscore.core.json import JSONObject
    from upscore.core.labels import RGBImage
    from upscore.core.runtime import DeviceName, Precision
    from upscore.data import DataSet, Pair, Split
    from upscore.edges.detectors import EdgeDetector
    from upscore.proposals.base import Proposals, ProposalSource
    from upscore.proposals.ground_truth import GroundTruth

EDGES = ("learned", "gradient")
"""Names of the edge detectors: our network, colour gradients."""

SOURCES = ("edge-boxes", "grid", "ground-truth", "file")
"""Names of the sources."""

MAX_BOXES = 2000
"""Boxes of a photo where nothing else is asked for."""

REMOVED_SOURCES = ("selective-search", "opencv-edge-boxes")
REMOVED_EDGES = ("structured-forest",)
"""OpenCV's, which scripts in ``benchmarks/peers`` write to files."""


def make_edges(
    name: str,
    *,
    model: Path | None = None,
    device: DeviceName = "auto",
    precision: Precision = "auto",
) -> EdgeDetector:
    """An edge detector by name, one of :data:`EDGES`.

    Args:
        model: other weights of the network than the shipped ones.
        device, precision: of the network.

    Raises:
        SettingsError: another name, or a model for edges without one.
        NotFoundError: no such model file.
    """
    if name == "learned":
        from upscore.edges.learned import LearnedEdges

        if model is not None:
            from upscore.edges.weight_files import require_weights

            require_weights(model)
        return LearnedEdges(model, device=device, precision=precision)
    if name in REMOVED_EDGES:
        options = f"--edges {name} --model model.yml.gz"
        raise SettingsError(_removed_boxes(f"edges {name}", options))
    if name != "gradient":
        raise SettingsError(f"edges are {name!r}; allowed: {', '.join(EDGES)}")
    if model is not None:
        raise SettingsError(f"--model {model}: --edges gradient has no model; leave it out")
    from upscore.edges.detectors import GradientEdges

    return GradientEdges()


def make_source(
    name: str,
    *,
    max_boxes: int = MAX_BOXES,
    edges: str = "learned",
    model: Path | None = None,
    file: Path | None = None,
    data: DataSet | None = None,
    device: DeviceName = "auto",
    precision: Precision = "auto",
    **parameters: Any,
) -> ProposalSource:
    """A source of boxes by name, one of :data:`SOURCES`. Nothing is loaded yet.

    Args:
        max_boxes: boxes of a photo that are kept, the best.
        edges: edge map of edge-boxes, one of :data:`EDGES`.
        model: other weights of the edge network.
        file: of the source ``file``, see :class:`upscore.proposals.FromFile`.
        data: what ground truth is read from.
        device, precision: of the edge network.
        parameters: of edge-boxes, such as ``beta`` (:class:`EdgeBoxesParameters`).

    Raises:
        SettingsError: another name, an option that the source does not know, or a bad value.
        NotFoundError: no such model file.
    """
    if name in REMOVED_SOURCES:
        raise SettingsError(_removed_boxes(f"source {name}", f"--source {name}"))
    if name not in SOURCES:
        raise SettingsError(f"source is {name!r}; allowed: {', '.join(SOURCES)}")
    if name != "edge-boxes":
        given = [f"--{parameter.replace('_', '-')}" for parameter in parameters]
        if edges != "learned":
            given.append(f"--edges {edges}")
        if model is not None:
            given.append("--model")
        if given:
            raise SettingsError(
                f"{given[0]} is for --source edge-boxes, not for {name}; leave it out"
            )
    if name != "file" and file is not None:
        raise SettingsError(f"--file is for --source file, not for {name}; leave it out")
    if name == "edge-boxes":
        from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

        detector = make_edges(edges, model=model, device=device, precision=precision)
        return EdgeBoxes(detector, max_boxes=max_boxes, **parameters)
    if name == "grid":
        from upscore.proposals.sliding_window import SlidingWindows

        return SlidingWindows(max_boxes=max_boxes)
    if name == "file":
        from upscore.proposals.precomputed import FromFile

        if file is None:
            raise SettingsError("--source file needs to know which; name it with --file PATH")
        return FromFile(file, max_boxes=max_boxes)
    if data is None:
        raise SettingsError("boxes of the ground truth need a data set to take them from")
    return TrueBoxes(data, max_boxes)


def parse_source(
    text: str,
    *,
    max_boxes: int = MAX_BOXES,
    model: Path | None = None,
    data: DataSet | None = None,
) -> ProposalSource:
    """The source that a short text names, as ``upscore proposals recall --sources`` takes them.

    Args:
        text: ``edge-boxes``, ``edge-boxes:EDGES`` or ``edge-boxes:EDGES,NAME=NUMBER,...``;
            ``grid``; ``ground-truth``; or the path of a file or folder of boxes.
        model: other weights of the edge network, for edge-boxes of learned edges.
        data: what ground truth is read from.

    Raises:
        SettingsError: no such source, or an argument that it does not know.
    """
    if Path(text).exists():
        return make_source("file", max_boxes=max_boxes, file=Path(text))
    name, _, rest = text.partition(":")
    edges, *assignments = rest.split(",")
    if name in REMOVED_SOURCES:
        return make_source(name)  # says where it is now
    if name == "edge-boxes":
        edges = edges or "learned"
        if edges not in EDGES and edges not in REMOVED_EDGES:
            allowed = ", ".join(f"{name}:{one}" for one in EDGES)
            raise SettingsError(f"no source {text!r}; allowed: {allowed}")
        return make_source(
            name,
            max_boxes=max_boxes,
            edges=edges,
            model=model if edges == "learned" else None,
            **_numbers(text, assignments),
        )
    if text in ("grid", "ground-truth"):
        return make_source(text, max_boxes=max_boxes, data=data)
    raise SettingsError(
        f"no source {text!r}, and no such file; allowed: edge-boxes:EDGES, grid, ground-truth, or "
        "a path. After EDGES stand parameters, for example edge-boxes:learned,beta=0.9,eta=0.9996"
    )


def _numbers(text: str, assignments: list[str]) -> dict[str, Any]:
    """Parameters of EdgeBoxes, as ``beta=0.9``."""
    numbers: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        name = key.strip().replace("-", "_")
        if not equals or name not in SEARCH_PARAMETERS:
            raise SettingsError(
                f"{text!r}: {assignment!r} is no parameter; allowed: "
                f"{', '.join(SEARCH_PARAMETERS)}, for example edge-boxes:learned,beta=0.9"
            )
        try:
            numbers[name] = float(value)
        except ValueError as error:
            raise SettingsError(f"{text!r}: {name} is {value!r}; expected a number") from error
    return numbers


def removed(what: str, results: str, command: str, use: str) -> str:
    """The message for what was OpenCV's: which script writes its results, and how to use them."""
    return (
        f"{what}: OpenCV's, which is no part of upscore any more. Write its {results} with the "
        f"script in upscore's repository, `python -m benchmarks.peers.{command}`, then {use}"
    )


def _removed_boxes(what: str, options: str) -> str:
    command = f"write_boxes --data PATH --out boxes.parquet {options}"
    return removed(
        what, "boxes to a file", command, "take them with --source file --file boxes.parquet"
    )


@dataclass(frozen=True)
class TrueBoxes:
    """Boxes of the masks of a data set, found by the photo's name; "background" is no object."""

    data: DataSet
    max_boxes: int

    def settings(self) -> JSONObject:
        """With the data set's fingerprint, as the boxes depend on its masks."""
        return {
            **self._truth.settings(),
            "background": self.data.labels.background,
            "max_boxes": self.max_boxes,
            "data": self.data.fingerprint(),
        }

    @cached_property
    def _truth(self) -> GroundTruth:
        from upscore.proposals.ground_truth import GroundTruth

        return GroundTruth()

    @cached_property
    def _places(self) -> dict[str, tuple[Split, int]]:
        """Split and index of every photo, whether its files are there or not."""
        splits = [self.data.unchecked(name, pairs) for name, pairs in self.data.splits.items()]
        return {
            pair.name: (split, index) for split in splits for index, pair in enumerate(split.pairs)
        }

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:
        """Boxes of the photo ``name``.

        Raises:
            DataError: no such photo, a mask that cannot be read, or of another size than the photo.
        """
        from upscore.data.masks import read_instances

        if name not in self._places:
            raise DataError(f"no photo {name!r} in the data set that the boxes are taken from")
        split, index = self._places[name]
        labels = split.read_labels(index)
        if labels.shape != image.shape[:2]:
            raise DataError(
                f"{split.pairs[index].mask}: mask is {labels.shape[1]}x{labels.shape[0]}, its "
                f"photo {image.shape[1]}x{image.shape[0]}; they must be equal"
            )
        path = self.data.instances.get(name)
        instances = None
        if path is not None:
            instances = read_instances(path, labels, max_pixels=split.max_pixels)
        found = self._truth.from_masks(labels, instances, background=self.data.labels.background)
        return found.top(self.max_boxes)


def photos_of(data: DataSet, split: str | None) -> list[Pair]:
    """The pairs of a split, or of all splits, each once, in their order.

    A photo that is missing is among them; reading it raises the error.

    Raises:
        SettingsError: no such split.
        DataError: no pair at all, or two photos of one name.
    """
    names = list(data.splits) if split is None else [split]
    found = [data.pairs(name) for name in names]
    data.require_unique_names()
    pairs = list({pair.name: pair for part in found for pair in part}.values())
    if not pairs:
        what = "the data set" if split is None else f"split {split!r}"
        raise DataError(f"{data.root}: {what} is empty; add photos to it")
    return pairs
