"""The options that say where boxes come from, the same for every verb that makes some.

Verbs take them as ``options: Annotated[..., arg(name="")] = SOURCE_DEFAULTS``, so that the command
line stays flat; :mod:`upscore.cli.segmenter_options` explains.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from tyro.conf import arg

from upscore.errors import DataError, SettingsError

if TYPE_CHECKING:
    from upscore.core.labels import RGBImage
    from upscore.data import DataSet, Pair, Split
    from upscore.edges.detectors import EdgeDetector
    from upscore.proposals.base import Proposals, ProposalSource, Settings
    from upscore.proposals.ground_truth import GroundTruth

EdgesName = Literal["learned", "gradient", "structured-forest"]
SourceName = Literal["edge-boxes", "selective-search", "grid", "ground-truth", "file"]
OptionalFloat = Annotated[float | None, arg(metavar="FLOAT")]
OptionalPath = Annotated[Path | None, arg(metavar="PATH")]


@dataclass(frozen=True)
class SourceOptions:
    """Which boxes. None: as the source has it; a number for a source without it is refused."""

    source: SourceName = "edge-boxes"
    """Where boxes come from."""
    edges: EdgesName = "learned"
    """Edge map of edge-boxes: our network, colour gradients, or OpenCV's structured forest."""
    model: Annotated[Path | None, arg(metavar="FILE")] = None
    """File of the structured forest, or other weights of the network (of `upscore edges train`)."""
    max_boxes: int = 2000
    """How many are kept of a photo, the best."""
    alpha: OptionalFloat = None
    """Of edge-boxes: IoU of neighbouring windows, 0.65; higher looks at more of them."""
    beta: OptionalFloat = None
    """Of edge-boxes: boxes that overlap a better one by more than this IoU are dropped, 0.75."""
    eta: OptionalFloat = None
    """Of edge-boxes: beta is multiplied by this after each box that is kept, 1."""
    min_score: OptionalFloat = None
    """Of edge-boxes: windows below are dropped, 0.01."""
    min_box_area: OptionalFloat = None
    """Of edge-boxes: smallest area in pixels, 1000."""
    max_aspect_ratio: OptionalFloat = None
    """Of edge-boxes: longest shape, 3."""
    mode: Annotated[Literal["fast", "quality"] | None, arg(metavar="{fast,quality}")] = None
    """Of selective-search: fast, or quality with several times the boxes and the time."""
    file: OptionalPath = None
    """Of file: a .parquet of ours, a .json as COCO has them, or the folder of DeconvNet's .mat."""

    def build(self, data: DataSet | None = None) -> ProposalSource:
        """The source; nothing is loaded yet.

        Args:
            data: what ground truth is read from.

        Raises:
            SettingsError: an option that the source does not know, or a value out of range.
        """
        given = {
            name: getattr(self, name)
            for names in _OWN.values()
            for name in names
            if getattr(self, name) is not None
        }
        return make_source(
            self.source,
            max_boxes=self.max_boxes,
            edges=self.edges,
            model=self.model,
            data=data,
            **given,
        )


_OWN: dict[SourceName, tuple[str, ...]] = {
    "edge-boxes": ("alpha", "beta", "eta", "min_score", "min_box_area", "max_aspect_ratio"),
    "selective-search": ("mode",),
    "grid": (),
    "ground-truth": (),
    "file": ("file",),
}
"""Options that only one source knows."""


def make_edges(name: EdgesName, *, model: Path | None = None) -> EdgeDetector:
    """An edge detector by name.

    Raises:
        SettingsError: another name, a model file too many, or none where one is needed.
    """
    from upscore.edges.detectors import GradientEdges, StructuredForest
    from upscore.edges.learned import LearnedEdges

    if name == "learned":
        return LearnedEdges() if model is None else LearnedEdges(model)
    if name == "structured-forest":
        if model is None:
            raise SettingsError(
                "--edges structured-forest needs its model file, which is not part of OpenCV: give "
                "it with --model model.yml.gz (docs/proposals.md says where people get it; its "
                "licence is non-commercial)"
            )
        return StructuredForest(model)
    if name != "gradient":
        raise SettingsError(f"edges are {name!r}; allowed: {', '.join(get_args(EdgesName))}")
    if model is not None:
        raise SettingsError(f"--model {model}: --edges gradient has no model; leave it out")
    return GradientEdges()


def make_source(
    name: SourceName,
    *,
    max_boxes: int = 2000,
    edges: EdgesName = "learned",
    model: Path | None = None,
    data: DataSet | None = None,
    **own: Any,
) -> ProposalSource:
    """A source of boxes by name.

    Args:
        data: what ground truth is read from.
        own: what only this source knows, as ``beta`` of edge-boxes.

    Raises:
        SettingsError: another name, an option that the source does not know, or a bad value.
    """
    if name not in _OWN:
        raise SettingsError(f"source is {name!r}; allowed: {', '.join(_OWN)}")
    for option in own:
        if option not in _OWN[name]:
            owner = next(source for source, names in _OWN.items() if option in names)
            raise SettingsError(
                f"--{option.replace('_', '-')} is for --source {owner}, not for {name}; leave it "
                "out"
            )
    if name == "edge-boxes":
        from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

        return EdgeBoxes(make_edges(edges, model=model), max_boxes=max_boxes, **own)
    if edges != "learned" or model is not None:
        option = "--model" if edges == "learned" else f"--edges {edges}"
        raise SettingsError(f"{option} is for --source edge-boxes, not for {name}; leave it out")
    if name == "selective-search":
        from upscore.proposals.selective_search import SelectiveSearch

        return SelectiveSearch(max_boxes=max_boxes, **own)
    if name == "grid":
        from upscore.proposals.sliding_window import Grid

        return Grid(max_boxes=max_boxes)
    if name == "file":
        return _file(max_boxes=max_boxes, **own)
    if data is None:
        raise SettingsError("boxes of the ground truth need a data set to take them from")
    return true_boxes(data, max_boxes=max_boxes)


def _file(*, max_boxes: int, file: Path | None = None) -> ProposalSource:
    from upscore.proposals.precomputed import FromFile

    if file is None:
        raise SettingsError("--source file needs to know which; name it with --file PATH")
    return FromFile(file, max_boxes=max_boxes)


@dataclass(frozen=True)
class TrueBoxes:
    """Boxes of the masks that belong to the photos of a data set, looked up by the photo's name.

    Attributes:
        places: split and index of every name.
        fingerprint: of the data set, as the boxes depend on its masks.
    """

    truth: GroundTruth
    splits: tuple[Split, ...]
    places: Mapping[str, tuple[int, int]] = field(repr=False)
    instances: Mapping[str, Path] = field(repr=False)
    background: int | None
    max_boxes: int
    fingerprint: str

    def settings(self) -> Settings:
        return {
            **self.truth.settings(),
            "background": self.background,
            "max_boxes": self.max_boxes,
            "data": self.fingerprint,
        }

    def __call__(self, image: RGBImage, *, name: str = "") -> Proposals:
        """Boxes of the photo ``name``.

        Raises:
            DataError: no such photo, a mask that cannot be read, or of another size than the photo.
        """
        from upscore.data.dataset import read_instances

        if name not in self.places:
            raise DataError(f"no photo {name!r} in the data set that the boxes are taken from")
        number, index = self.places[name]
        split = self.splits[number]
        labels = split.read_labels(index)
        if labels.shape != image.shape[:2]:
            raise DataError(
                f"{split.pairs[index].mask}: mask is {labels.shape[1]}x{labels.shape[0]}, its "
                f"photo {image.shape[1]}x{image.shape[0]}; they must be equal"
            )
        path = self.instances.get(name)
        instances = None if path is None else read_instances(path, labels)
        found = self.truth.from_masks(labels, instances, background=self.background)
        return found.top(self.max_boxes)


def true_boxes(data: DataSet, *, max_boxes: int = 2000) -> ProposalSource:
    """Boxes of the masks of all splits of a data set; the class "background" is no object."""
    from upscore.data import Split
    from upscore.proposals.ground_truth import GroundTruth

    splits: list[Split] = []
    places: dict[str, tuple[int, int]] = {}
    for number, (title, pairs) in enumerate(data.splits.items()):
        splits.append(Split(title, pairs, data.labels, data.table, data.max_pixels))
        places |= {pair.name: (number, index) for index, pair in enumerate(pairs)}
    return TrueBoxes(
        GroundTruth(),
        tuple(splits),
        places,
        dict(data.instances),
        data.labels.background,
        max_boxes,
        data.fingerprint(),
    )


def photos_of(data: DataSet, split: str | None) -> list[Pair]:
    """The pairs of a split, or of all splits, each once, in their order.

    A photo that is missing is among them; whoever reads it will tell.

    Raises:
        SettingsError: no such split.
        DataError: no pair at all, or two photos of one name.
    """
    names = list(data.splits) if split is None else [split]
    found = [data.pairs(name) for name in names]
    for problem in data.problems:
        if problem.kind == "name collision":
            raise DataError(problem.message)
    pairs = list({pair.name: pair for part in found for pair in part}.values())
    if not pairs:
        what = "the data set" if split is None else f"split {split!r}"
        raise DataError(f"{data.root}: {what} is empty; add photos to it")
    return pairs


SOURCE_DEFAULTS = SourceOptions()
