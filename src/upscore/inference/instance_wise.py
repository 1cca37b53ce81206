"""A photo proposal by proposal (DeconvNet: Noh, Hong, Han, ICCV 2015, section 5.1)."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from upscore.core.boxes import Boxes, largest_first
from upscore.core.images import InputSpec, require_rgb
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.runtime import Runtime
from upscore.core.settings import Settings
from upscore.errors import SettingsError
from upscore.inference.crop_resize import Floats, Window, see_windows
from upscore.inference.optimized_model import PreparedNetwork
from upscore.inference.score_map import Aggregate, ScoreMap, Start
from upscore.inference.segmenter import Scores, log_scores
from upscore.proposals import deconvnet_boxes
from upscore.proposals.base import Proposals, ProposalSource
from upscore.proposals.deconvnet_boxes import BoxRule, whole_pixels

Side = Annotated[int, Ge(1), Le(4096)]

Order = Literal["score", "size"]
"""Which boxes are added first: the best, or the largest."""


class InstanceSettings(Settings):
    """How proposals become an answer; the defaults are the paper's."""

    top: Annotated[int, Ge(1)] = 50
    """How many of the best proposals are looked at."""
    growth: Annotated[float, Gt(0)] = 1.2
    """Factor on width and height of each proposal, for context."""
    square: bool = False
    """Whether a grown proposal becomes the square of its longer side."""
    leave_image: bool = True
    """Whether boxes reach outside the photo, which is black there, or are cut off at its border."""
    min_side: Annotated[float, Ge(0)] = 0.0
    """Grown boxes whose shorter side has fewer pixels are passed over, and take nobody's place."""
    whole_image: bool = False
    """Whether the photo itself is one more proposal, beside the ``top`` ones."""
    input_size: tuple[Side, Side] = (224, 224)
    """Height and width that each box is resized to: those the network was trained with."""
    antialias: bool = True
    """Whether resizing averages over what it leaves out when it shrinks."""
    aggregate: Aggregate = "max"
    """What becomes of the scores of all boxes at a pixel: max, sum or mean."""
    start: Start = "zero"
    """What a box says of pixels outside it: zero (zero padding), or nothing (covered)."""
    softmax: Literal["after", "before"] = "after"
    """Whether scores are aggregated and become probabilities after that, or the other way round."""
    released_shift: bool = False
    """Move all scores one pixel right and down, as the released code does by mistake."""
    batch: Annotated[int, Ge(1)] = 25
    """Boxes at a time, at most; speed and memory depend on it, the answer does not."""

    def box_rule(self, *, top: int | None = None) -> BoxRule:
        """Which boxes are looked at; ``top`` in place of the settings' own."""
        return BoxRule(
            growth=self.growth,
            square=self.square,
            leave_image=self.leave_image,
            min_side=self.min_side,
            top=self.top if top is None else top,
        )


def _with_boxes_of(rule: BoxRule) -> InstanceSettings:
    return InstanceSettings(
        top=rule.top,
        growth=rule.growth,
        square=rule.square,
        leave_image=rule.leave_image,
        min_side=rule.min_side,
    )


PAPER = _with_boxes_of(deconvnet_boxes.PAPER)
"""The paper: the best 50 proposals, grown by 1.2; the maximum of the scores; then softmax."""

RELEASED = _with_boxes_of(deconvnet_boxes.RELEASED)
"""The released code: squares, and none below 112 pixels. Its maximum starts at zero too; its
softmax comes after the product with FCN's scores (``Ensemble(combine="product")``)."""

PRESETS = {"paper": PAPER, "released": RELEASED}


class InstanceWise:
    """The segmenter that looks at a photo through object proposals.

    Each box is cut out (black outside the photo), resized to the network's input size, scored, and
    its scores are resized back and aggregated in one map at once, so that memory does not depend on
    the number of boxes. A pixel that no box covers has score 0 in all classes: the same probability
    for each, and class 0, the background, as its label. Without any box that is the whole photo.

    With ``softmax="before"`` the probabilities of boxes are aggregated and then divided by their
    sum over the classes; ``scores`` are the logarithms of that.

    Args:
        model: (N, 3, h, w) float -> (N, C, h, w) scores; it is copied, as in ``WholeImage``.
        labels: names and colours of its C classes.
        input_spec: how its input is prepared.
        runtime: device and precision with ``auto`` resolved.
        proposals: where boxes come from; it sees the photo without a name.
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
        self.network = PreparedNetwork(model, labels, input_spec, runtime)
        self.proposals = proposals
        self.settings = settings

    @property
    def labels(self) -> Labels:
        return self.network.labels

    def boxes(self, image: RGBImage, *, top: int | None = None) -> Proposals:
        """The boxes that are looked at, best first, grown; at most ``top``, or the settings' own.

        Raises:
            DataError: no such image, or whatever the source of the proposals raises.
        """
        require_rgb(image)
        height, width, _ = image.shape
        rule = self.settings.box_rule(top=top)
        return rule(self.proposals(image), height=height, width=width)

    def scores(self, image: RGBImage) -> Scores:
        """(H, W, 3) uint8 -> aggregated class scores (C, H, W) float32.

        Raises:
            DataError: no such image, or whatever the source of the proposals raises.
            RunError: the network's classes are not those of ``labels``.
        """
        if self.settings.softmax == "before":
            return log_scores(self.probabilities(image))
        return _classes_first(torch.from_numpy(self._all(image)))

    def probabilities(self, image: RGBImage) -> Scores:
        """Class probabilities (C, H, W) float32 in [0, 1]. Raises as ``scores``."""
        return self._probabilities(self._all(image))

    def predict(self, image: RGBImage) -> LabelMap:
        """(H, W) uint8, the first class of the highest score. Raises as ``scores``."""
        # of equal values torch's max gives the first; dividing by sums would change nothing
        _, winners = torch.from_numpy(self._all(image)).max(dim=2)
        labels: LabelMap = winners.byte().numpy()
        return labels

    def steps(
        self, image: RGBImage, counts: Sequence[int], *, order: Order = "score"
    ) -> Iterator[tuple[int, Scores]]:
        """Probabilities after the first 1, 5, 10, ... boxes, in one pass over the boxes.

        Args:
            counts: of boxes, 1 or more each.
            order: ``score``: the best first. Counts may be above ``settings.top``, which does not
                matter here: after k boxes the answer is that of ``top=k``. ``size``: the best
                ``settings.top`` boxes, the largest first by their area after growing.

        Yields:
            Each count once, rising, with probabilities (C, H, W); of a photo with fewer boxes,
            those after all of them.

        Raises:
            SettingsError: no count, or one below 1.
            DataError, RunError: as ``scores``.
        """
        wrong = [count for count in counts if count < 1]
        if not counts or wrong:
            found = f"hold {wrong[0]}" if wrong else "are empty"
            raise SettingsError(f"counts of boxes {found}; want one or more numbers from 1, as 1 5")
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

    def _probabilities(self, values: Floats) -> Scores:
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
        image = np.require(image, requirements=["C", "W"])  # what kernels are compiled for
        windows = [whole_pixels(box) for box in boxes]
        if settings.whole_image:
            windows.insert(0, (0, 0, width, height))
            stops = [stop + 1 for stop in stops]
        map_ = ScoreMap(
            len(self.labels),
            height,
            width,
            aggregate=settings.aggregate,
            start=settings.start,
            antialias=settings.antialias,
            offset=int(settings.released_shift),
        )
        seen = [n for n, window in enumerate(windows) if map_.holds(window)]
        left = deque(stops)
        for part in _evenly(seen, settings.batch):
            shown = [windows[n] for n in part]
            scores = self._score(image, shown)
            begin = 0
            while left and left[0] <= part[-1]:
                end = bisect_left(part, left[0])
                map_.add(scores[begin:end], shown[begin:end])
                yield map_.values(left.popleft())
                begin = end
            map_.add(scores[begin:], shown[begin:])
            del scores  # before the network makes the next
        for stop in left:
            yield map_.values(min(stop, len(windows)))

    def _score(self, image: RGBImage, windows: Sequence[Window]) -> Floats:
        """Scores, or probabilities, of some windows: (N, h, w, C) float32."""
        settings = self.settings
        pixels = see_windows(image, windows, settings.input_size, antialias=settings.antialias)
        with torch.inference_mode():
            scores = self.network(torch.from_numpy(pixels)).float()
            if settings.softmax == "before":
                scores = scores.softmax(dim=1)
            array: Floats = scores.permute(0, 2, 3, 1).contiguous().cpu().numpy()
        return array


def _evenly(numbers: list[int], most: int) -> Iterator[list[int]]:
    """``numbers`` in as few parts of at most ``most`` as do, of two sizes at most.

    A last part of a few boxes would cost more than its share: a network is slow in small batches.
    """
    parts = -(-len(numbers) // most)
    for part in range(parts):
        begin, end = (len(numbers) * k // parts for k in (part, part + 1))
        yield numbers[begin:end]


def _classes_first(map_: Tensor) -> Scores:
    """(H, W, C) -> (C, H, W), rows one after the other."""
    array: Scores = map_.permute(2, 0, 1).contiguous().numpy()
    return array
