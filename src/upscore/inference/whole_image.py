"""A network over the whole photo in one go."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from upscore.core.images import InputSpec, require_rgb
from upscore.core.labels import LabelMap, Labels, RGBImage
from upscore.core.runtime import Runtime
from upscore.errors import RunError
from upscore.inference.segmenter import Scores
from upscore.inference.winograd import use_winograd
from upscore.models.fold import fold_batch_norm


class WholeImage:
    """The segmenter that is a fully convolutional network (CVPR 2015, section 3).

    It works on a copy of the model in evaluation mode with its batch norms folded, laid out
    channels last, on the device and, at half precision, converted once. Weights that need none of
    this stay shared, so a model that goes on training wants a new ``WholeImage`` each time.

    Args:
        model: (N, 3, H, W) float -> (N, C, H, W) scores, for any H and W from 1.
        labels: names and colours of its C classes.
        input_spec: how its input is prepared.
        runtime: device and precision with ``auto`` resolved.
    """

    def __init__(
        self, model: nn.Module, labels: Labels, input_spec: InputSpec, runtime: Runtime
    ) -> None:
        self.labels = labels
        self.input_spec = input_spec
        self.runtime = runtime
        # Half-precision weights are converted here once; autocast would convert them on each call.
        self.model = fold_batch_norm(model).to(device=runtime.torch_device, dtype=runtime.dtype)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if runtime.device == "cpu" and runtime.precision == "fp32":
            use_winograd(self.model)

    @torch.inference_mode()
    def _score_map(self, image: RGBImage) -> Tensor:
        """(H, W, 3) uint8 -> (1, C, H, W) scores in the runtime's precision, on its device."""
        require_rgb(image)
        height, width, _ = image.shape
        array = np.require(image, requirements=["C", "W"])  # torch warns of read-only memory
        pixels = torch.from_numpy(array).to(self.runtime.torch_device)
        # (H, W, 3) in memory is (1, 3, H, W) channels last: no copy
        x = self.input_spec.apply(pixels.permute(2, 0, 1).unsqueeze(0))
        x = x.to(dtype=self.runtime.dtype, memory_format=torch.channels_last)
        scores: Tensor = self.model(x)
        if tuple(scores.shape) != (1, len(self.labels), height, width):
            raise RunError(
                f"the network gave scores of shape {tuple(scores.shape)} for a {width}x{height} "
                f"image; its {len(self.labels)} classes want (1, {len(self.labels)}, {height}, "
                f"{width})"
            )
        return scores

    def scores(self, image: RGBImage) -> Scores:
        """(H, W, 3) uint8 -> class scores (C, H, W) float32.

        Raises:
            DataError: not such an image.
            RunError: the network's classes are not those of ``labels``.
        """
        array: Scores = self._score_map(image)[0].float().contiguous().cpu().numpy()
        return array

    def probabilities(self, image: RGBImage) -> Scores:
        """Softmax of the scores: (C, H, W) float32 in [0, 1]. Raises as ``scores``."""
        with torch.inference_mode():
            map_ = self._score_map(image)[0].float().softmax(dim=0)
            array: Scores = map_.contiguous().cpu().numpy()
        return array

    def predict(self, image: RGBImage) -> LabelMap:
        """(H, W) uint8 labels; no float32 copy of the scores is made. Raises as ``scores``."""
        with torch.inference_mode():
            # on a CPU max, which vectorises, is several times as fast as argmax
            _, winners = self._score_map(image)[0].max(dim=0)
            labels: LabelMap = winners.byte().cpu().numpy()
        return labels
