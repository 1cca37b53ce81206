"""``LearnedEdges``: the edge map of the network that ships with upscore."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from upscore.core.files import checksum
from upscore.core.images import require_rgb
from upscore.core.labels import RGBImage
from upscore.core.runtime import DeviceName, Precision
from upscore.edges.maps import Map, edge_orientation
from upscore.errors import SettingsError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from upscore.core.runtime import Runtime


@dataclass(frozen=True)
class LearnedEdges:
    """Edge detector: a small network that learned from BSDS500 where people draw boundaries.

    Strength says how likely people draw a boundary here: the mean over the photo seen at several
    sizes, for small details and for large shapes. Reads its weights on first use; goes to other
    processes without them. Threads may share one.

    Args:
        weights: ``model.safetensors`` of ``upscore edges train``; None: those of the package.
        scales: sizes at which the photo is seen, as factors of its own, one or more.
        device: auto takes a GPU where there is one.
        precision: auto takes bf16 where the hardware multiplies it.

    Raises:
        SettingsError: no scales, or one that is not above 0 and at most 4.
        NotFoundError: on first use, no such file of weights.
        DataError: on first use, damaged weights.
    """

    weights: Path | None = None
    scales: tuple[float, ...] = (1.25, 0.5)
    device: DeviceName = "auto"
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        if not self.scales or not all(0 < scale <= 4 for scale in self.scales):
            raise SettingsError(
                f"scales is {self.scales}; expected one or more factors above 0 and at most 4, as "
                "in (1.25, 0.5)"
            )

    def __call__(self, image: RGBImage) -> tuple[Map, Map]:
        """Strength (H, W) float32 in [0, 1], orientation (H, W) float32 in [0, pi) of the normal.

        Args:
            image: (H, W, 3) uint8 RGB of any size.
        """
        import torch

        require_rgb(image)
        with _loading:  # one thread loads, the others wait for it
            model, runtime = _load(self.weights, self.device, self.precision)
        with torch.inference_mode():
            array = np.require(image, requirements=["C", "W"])  # torch warns of read-only memory
            pixels = torch.from_numpy(array).to(runtime.torch_device)
            # (H, W, 3) in memory is (1, 3, H, W) channels last: no copy
            photo = pixels.permute(2, 0, 1).unsqueeze(0).float() / 255.0
            total = torch.zeros(image.shape[:2], device=runtime.torch_device)
            for scale in self.scales:
                total += _strength_at(model, runtime, photo, scale)
            strength: Map = (total / len(self.scales)).cpu().numpy()
        return strength, edge_orientation(strength)

    def settings(self) -> dict[str, Any]:
        """What the result depends on; rounding at another precision is not counted."""
        from upscore.edges.weight_files import require_weights, shipped_edge_weights

        path = self.weights or shipped_edge_weights()
        require_weights(path)
        digest = checksum(path, "sha256")
        return {"kind": "LearnedEdges", "weights": digest[:16], "scales": list(self.scales)}


def _strength_at(model: nn.Module, runtime: Runtime, photo: Tensor, scale: float) -> Tensor:
    """(1, 3, H, W) -> strength (H, W) of the photo at ``scale`` times its size."""
    import torch
    from torch.nn import functional as F

    seen, size = photo, photo.shape[-2:]
    if scale != 1.0:
        height, width = (max(1, round(side * scale)) for side in size)
        seen = F.interpolate(photo, (height, width), mode="bilinear", antialias=True)
    x = seen.to(runtime.dtype, memory_format=torch.channels_last)
    strength: Tensor = model(x)[:, :1].float().sigmoid()
    if scale != 1.0:
        strength = F.interpolate(strength, size, mode="bilinear")
    return strength[0, 0]


_loading = threading.Lock()


@cache
def _load(path: Path | None, device: DeviceName, precision: Precision) -> tuple[nn.Module, Runtime]:
    """The network on its device, batch norm folded; only read, so threads share it.

    A file that changes meanwhile is not read again.
    """
    import torch

    from upscore.core.runtime import select_runtime
    from upscore.edges.weight_files import load_edge_network, shipped_edge_weights

    runtime = select_runtime(device, precision)
    model = load_edge_network(path or shipped_edge_weights()).fold()
    model.to(device=runtime.torch_device, dtype=runtime.dtype)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model, runtime
