"""Instance-wise segmentation by proposals (DeconvNet: Noh, Hong, Han, ICCV 2015, section 5.1)."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from upscore.core.boxes import Boxes, largest_first
from upscore.core.images import InputSpec, require_rgb
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.runtime import Runtime
from upscore.core.settings import Count, Settings
from upscore.errors import SettingsError
from upscore.inference.optimized_model import InferenceModel
from upscore.inference.score_accumulator import Aggregate, ScoreAccumulator, Start
from upscore.inference.segmenter import ScoreMap, Segmenter, log_scores
from upscore.proposals import deconvnet_boxes
from upscore.proposals.base import Proposals, ProposalSource
from upscore.proposals.deconvnet_boxes import BoxRule, whole_pixels

if TYPE_CHECKING:
    from upscore.inference.crop_resize import Floats, Window

Side = Annotated[int, Ge(1), Le(4096)]

Order = Literal["score", "size"]
"""The boxes that are added first: the best, or the largest."""


class InstanceSettings(Settings):
    """Settings of instance-wise segmentation; the defaults are the paper's."""

    top: Count = 50
    """Number of the best proposals that are used."""
    growth: Annotated[float, Gt(0)] = 1.2
    """Factor on width and height of each proposal, for context."""
    square: bool = False
    """Whether a grown proposal becomes the square of its longer side."""
    leave_image: bool = True
    """Whether boxes reach outside the photo, which is black there, or are cut off at its border."""
    min_side: Annotated[float, Ge(0)] = 0.0
    """Grown boxes whose shorter side has fewer pixels are skipped and do not count for ``top``."""
    whole_image: bool = False
    """Whether the photo itself is one more proposal, beside the ``top`` ones."""
    input_size: tuple[Side, Side] = (224, 224)
    """Height and width to which each box is resized: those of the network's training."""
    antialias: bool = True
    """Whether resizing averages over all pixels when it shrinks."""
    aggregate: Aggregate = "max"
    """Aggregation of the scores of all boxes at a pixel: max, sum or mean."""
    start: Start = "zero"
    """The scores of a box at pixels outside it: zero (zero padding), or none (covered)."""
    softmax: Literal["after", "before"] = "after"
    """Whether the softmax comes after the aggregation of scores, or before it."""
    released_shift: bool = False
    """Move all scores one pixel right and down, as the released code does by mistake."""
    batch: Annotated[int, Ge(1), Le(65536)] = 25
    """Largest number of boxes in a batch; it changes speed and memory, not the result."""

    def box_rule(self, *, top: int | None = None) -> BoxRule:
        """The rule that selects and grows boxes, with ``top`` in place of the settings' own."""
        return BoxRule(
            growth=self.growth,
            square=self.square,
            leave_image=self.leave_image,
            min_side=self.min_side,
            top=self.top if top is None else top,
        )


PAPER = InstanceSettings(**vars(deconvnet_boxes.PAPER))
"""The paper: the best 50 proposals, grown by 1.2; the maximum of the scores; then softmax."""

RELEASED = InstanceSettings(**vars(deconvnet_boxes.RELEASED))
"""The released code: squares, and none below 112 pixels. Its maximum starts at zero too; its
softmax comes after the product with FCN's scores (``Ensemble(combine="product")``)."""

PRESETS = {"paper": PAPER, "released": RELEASED}


class InstanceWise(Segmenter):
    """A network applied to the object proposals of a photo, as a segmenter.

    Each box is cut out (black outside the photo), resized to the network's input size and scored.
    Its scores are resized back and aggregated in one map at once, so that memory does not depend on
    the number of boxes. A pixel that no box covers has score 0 in all classes: the same probability
    for each, and class 0, the background, as its label. Without boxes this is the whole photo.

    With ``softmax="before"`` the probabilities of boxes are aggregated and then divided by their
    sum over the classes; ``scores`` are the logarithms of the result.

    Args:
        model: (N, 3, h, w) float -> (N, C, h, w) scores; it is copied, as in ``WholeImage``.
        labels: names and colours of its C classes.
        input_spec: the preparation of its input.
        runtime: device and precision with ``auto`` resolved.
        proposals: the source of boxes; it gets photos without their names.
        settings: ``PAPER``, ``RELEASED`` or others.
    """

    def __init__(
        self,
        model: nn.Module,
        labels: Labels,
        input_spec: InputSpec,
        runtime: Runtime,
        proposals: ProposalSource,
        *,
        settings: InstanceSettings = PAPER,
    ) -> None:
        self.labels = labels
        self.network = InferenceModel(model, labels, input_spec, runtime)
        self.proposals = proposals
        self.settings = settings

    def boxes(self, image: RGBImage, *, top: int | None = None) -> Proposals:
        """The boxes that are used, best first, grown; at most ``top``, or the settings' own.

        Raises:
            DataError: not such an image. The source of the proposals may raise its own errors.
        """
        require_rgb(image)
        height, width, _ = image.shape
        rule = self.settings.box_rule(top=top)
        return rule(self.proposals(image), height=height, width=width)

    def scores(self, image: RGBImage) -> ScoreMap:
        """(H, W, 3) uint8 -> aggregated class scores (C, H, W) float32.

        Raises:
            DataError: not such an image. The source of the proposals may raise its own errors.
            RunError: the network's classes are not those of ``labels``.
        """
        if self.settings.softmax == "before":
            return log_scores(self.probabilities(image))
        return _classes_first(torch.from_numpy(self._all(image)))

    def probabilities(self, image: RGBImage) -> ScoreMap:
        return self._probabilities(self._all(image))

    def predict(self, image: RGBImage) -> LabelMap:
        # of equal values torch's max gives the first; dividing by sums would change nothing
        _, winners = torch.from_numpy(self._all(image)).max(dim=2)
        labels: LabelMap = winners.byte().numpy()
        return labels

    def steps(
        self, image: RGBImage, counts: Sequence[int], *, order: Order = "score"
    ) -> Iterator[tuple[int, ScoreMap]]:
        """Probabilities after the first 1, 5, 10, ... boxes, in one pass over the boxes.

        Args:
            counts: numbers of boxes, 1 or more each.
            order: ``score``: the best first; the result after k boxes is that of ``top=k``,
                whatever ``settings.top``. ``size``: the best ``settings.top`` boxes, the largest
                first by their area after growing.

        Yields:
            Each count once, in rising order, with probabilities (C, H, W). For a photo with fewer
            boxes they are those after all boxes.

        Raises:
            SettingsError: no count, or one below 1.
            DataError, RunError: as ``scores``.
        """
        wrong = [count for count in counts if count < 1]
        if not counts or wrong:
            found = f"hold {wrong[0]}" if wrong else "are empty"
            raise SettingsError(
                f"counts of boxes {found}; expected one or more numbers from 1, as 1 5"
            )
        stops = sorted(set(counts))
        if order == "size":
            boxes = largest_first(self.boxes(image).boxes)
        else:
            boxes = self.boxes(image, top=stops[-1]).boxes
        for count, values in zip(stops, self._aggregate(image, boxes, stops), strict=True):
            yield count, self._probabilities(values)

    def _all(self, image: RGBImage) -> Floats:
        """The map (H, W, C) of all boxes."""
        boxes = self.boxes(image).boxes
        *_, values = self._aggregate(image, boxes, [len(boxes)])
        return values

    def _probabilities(self, values: Floats) -> ScoreMap:
        map_ = torch.from_numpy(values)
        if self.settings.softmax == "after":
            return _classes_first(map_.softmax(dim=2))
        total = map_.sum(dim=2, keepdim=True)
        uniform = torch.tensor(1 / map_.shape[2])
        return _classes_first(torch.where(total > 0, map_ / total, uniform))

    def _aggregate(self, image: RGBImage, boxes: Boxes, stops: Sequence[int]) -> Iterator[Floats]:
        """The map (H, W, C) after each of ``stops`` boxes, which rise; do not write to it."""
        height, width, _ = image.shape
        settings = self.settings
        image = np.require(image, requirements=["C", "W"])  # the kernels' type of array
        windows = [whole_pixels(box) for box in boxes]
        if settings.whole_image:
            windows.insert(0, (0, 0, width, height))
            stops = [stop + 1 for stop in stops]
        map_ = ScoreAccumulator(
            len(self.labels),
            height,
            width,
            aggregate=settings.aggregate,
            start=settings.start,
            antialias=settings.antialias,
            offset=int(settings.released_shift),
        )
        used = [n for n, window in enumerate(windows) if map_.overlaps(window)]
        left = deque(stops)
        for part in _evenly(used, settings.batch):
            batch = [windows[n] for n in part]
            scores = self._score(image, batch)
            begin = 0
            while left and left[0] <= part[-1]:
                end = bisect_left(part, left[0])
                map_.add(scores[begin:end], batch[begin:end])
                yield map_.values(left.popleft())
                begin = end
            map_.add(scores[begin:], batch[begin:])
            del scores  # before the network makes the next ones
        for stop in left:
            yield map_.values(min(stop, len(windows)))

    def _score(self, image: RGBImage, windows: Sequence[Window]) -> Floats:
        """Scores, or probabilities, of some windows: (N, h, w, C) float32."""
        from upscore.inference.crop_resize import extract_crops  # with numba, a slow import

        settings = self.settings
        pixels = extract_crops(image, windows, settings.input_size, antialias=settings.antialias)
        with torch.inference_mode():
            scores = self.network(torch.from_numpy(pixels)).float()
            if settings.softmax == "before":
                scores = scores.softmax(dim=1)
            array: Floats = scores.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return array


def _evenly(numbers: list[int], most: int) -> Iterator[list[int]]:
    """``numbers`` in the fewest parts of at most ``most``, whose sizes differ by one at most.

    A small last part would cost more than its share: a network is slow in small batches.
    """
    parts = -(-len(numbers) // most)
    for part in range(parts):
        begin, end = (len(numbers) * k // parts for k in (part, part + 1))
        yield numbers[begin:end]


def _classes_first(map_: Tensor) -> ScoreMap:
    """(H, W, C) -> (C, H, W), rows one after the other."""
    array: ScoreMap = map_.permute(2, 0, 1).contiguous().numpy()
    return array
