"""A network optimised for inference: the same scores up to rounding, in less time."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from upscore.core.extras import missing_modules
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.runtime import Runtime
from upscore.errors import RunError
from upscore.inference.fast_conv.winograd import use_winograd
from upscore.inference.finite_scores import require_finite
from upscore.models.fold import fold_batch_norm


class InferenceModel:
    """A copy of a model in evaluation mode, with folded batch norms, in channels-last format.

    It is moved to the device and, for half precision, converted once. Weights that need no change
    stay shared. Arguments are those of :class:`~upscore.inference.whole_image.WholeImage`.
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
        if runtime.device == "cpu" and runtime.precision == "fp32" and not missing_modules("crf"):
            use_winograd(self.model)  # its kernels need numba; torch's convolutions are slower

    def __call__(self, pixels: Tensor) -> Tensor:
        """uint8 RGB (N, H, W, 3) -> scores (N, C, H, W) in the runtime's precision, on its device.

        Call it in ``torch.inference_mode``.

        Raises:
            RunError: the network's scores have another shape or are not finite.
        """
        num, height, width, _ = pixels.shape
        # (N, H, W, 3) in memory is (N, 3, H, W) channels last: no copy
        x = self.input_spec.apply(pixels.to(self.runtime.torch_device).permute(0, 3, 1, 2))
        x = x.to(dtype=self.runtime.dtype, memory_format=torch.channels_last)
        scores: Tensor = self.model(x)
        if tuple(scores.shape) != (num, len(self.labels), height, width):
            raise RunError(
                f"the network gave scores of shape {tuple(scores.shape)} for a {width}x{height} "
                f"image; its {len(self.labels)} classes need ({num}, {len(self.labels)}, "
                f"{height}, {width})"
            )
        require_finite(scores)
        return scores
