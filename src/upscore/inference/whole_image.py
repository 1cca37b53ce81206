"""A fully convolutional network applied to whole images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from upscore.core.images import InputSpec, require_rgb
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.runtime import Runtime
from upscore.inference.optimized_model import InferenceModel
from upscore.inference.segmenter import ScoreMap, Segmenter


class WholeImage(Segmenter):
    """A fully convolutional network as a segmenter (CVPR 2015, section 3).

    It works on a copy of the model (see :class:`InferenceModel`) that may share weights with it, so
    a model whose training continues needs a new ``WholeImage`` each time.

    Args:
        model: (N, 3, H, W) float -> (N, C, H, W) scores, for any H and W from 1.
        labels: names and colours of its C classes.
        input_spec: the preparation of its input.
        runtime: device and precision with ``auto`` resolved.
    """

    def __init__(
        self, model: nn.Module, labels: Labels, input_spec: InputSpec, runtime: Runtime
    ) -> None:
        self.labels = labels
        self.network = InferenceModel(model, labels, input_spec, runtime)

    @torch.inference_mode()
    def _score_map(self, image: RGBImage) -> Tensor:
        """(H, W, 3) uint8 -> (C, H, W) scores in the runtime's precision, on its device."""
        require_rgb(image)
        array = np.require(image, requirements=["C", "W"])  # torch warns of read-only memory
        return self.network(torch.from_numpy(array)[None])[0]

    def scores(self, image: RGBImage) -> ScoreMap:
        """(H, W, 3) uint8 -> class scores (C, H, W) float32.

        Raises:
            DataError: not such an image.
            RunError: the network's classes are not those of ``labels``.
        """
        array: ScoreMap = self._score_map(image).float().contiguous().cpu().numpy()
        return array

    def probabilities(self, image: RGBImage) -> ScoreMap:
        with torch.inference_mode():
            map_ = self._score_map(image).float().softmax(dim=0)
            array: ScoreMap = map_.contiguous().cpu().numpy()
        return array

    def predict(self, image: RGBImage) -> LabelMap:
        """(H, W) uint8 labels; no float32 copy of the scores is made."""
        with torch.inference_mode():
            # on a CPU max, which vectorises, is several times as fast as argmax
            _, winners = self._score_map(image).max(dim=0)
            labels: LabelMap = winners.byte().cpu().numpy()
        return labels

    def predict_batch(self, images: Sequence[RGBImage]) -> list[LabelMap]:
        """Label maps of several images; those of equal size go through the network together.

        Memory is that of all images of one size at once.
        """
        by_size: dict[tuple[int, ...], list[int]] = {}
        for index, image in enumerate(images):
            require_rgb(image)
            by_size.setdefault(image.shape, []).append(index)
        found: dict[int, LabelMap] = {}
        for indices in by_size.values():
            pixels = torch.from_numpy(np.stack([images[index] for index in indices]))
            with torch.inference_mode():
                _, winners = self.network(pixels).max(dim=1)
                found.update(zip(indices, winners.byte().cpu().numpy(), strict=True))
        return [found[index] for index in range(len(images))]
