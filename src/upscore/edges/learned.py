"""``LearnedEdges``: the edge map of the network that ships with upscore."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from upscore.core.files import checksum
from upscore.core.images import require_rgb
from upscore.core.runtime import DeviceName, Precision
from upscore.edges.maps import edge_orientation
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
                f"scales is {self.scales}; want one or more factors above 0 and at most 4, as in "
                "(1.25, 0.5)"
            )

    def __call__(
        self, image: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Strength (H, W) float32 in [0, 1], orientation (H, W) float32 in [0, pi) of the normal.

        Args:
            image: (H, W, 3) uint8 RGB of any size.
        """
        require_rgb(image)
        with _loading:  # one thread loads, the others wait for it
            network = _load(self.weights, self.device, self.precision)
        strength = network.strength(image, self.scales)
        return strength, edge_orientation(strength)

    def settings(self) -> dict[str, Any]:
        """What the result depends on; rounding at another precision is not counted."""
        from upscore.edges.weight_files import require_weights, shipped_edge_weights

        path = self.weights or shipped_edge_weights()
        require_weights(path)
        digest = checksum(path, "sha256")
        return {"kind": "LearnedEdges", "weights": digest[:16], "scales": list(self.scales)}


class _LoadedNetwork:
    """The network on its device, batch norm folded; only read, so threads share it."""

    def __init__(self, model: nn.Module, runtime: Runtime) -> None:
        self.model = model
        self.runtime = runtime

    def strength(
        self, image: npt.NDArray[np.uint8], scales: tuple[float, ...]
    ) -> npt.NDArray[np.float32]:
        import torch

        with torch.inference_mode():
            array = np.require(image, requirements=["C", "W"])  # torch warns of read-only memory
            pixels = torch.from_numpy(array).to(self.runtime.torch_device)
            # (H, W, 3) in memory is (1, 3, H, W) channels last: no copy
            photo = pixels.permute(2, 0, 1).unsqueeze(0).float() / 255.0
            total = torch.zeros(image.shape[:2], device=self.runtime.torch_device)
            for scale in scales:
                total += self._at(photo, scale)
            strength: npt.NDArray[np.float32] = (total / len(scales)).cpu().numpy()
        return strength

    def _at(self, photo: Tensor, scale: float) -> Tensor:
        """(1, 3, H, W) -> strength (H, W) as seen at ``scale``."""
        import torch
        from torch.nn import functional as F

        seen, size = photo, photo.shape[-2:]
        if scale != 1.0:
            height, width = (max(1, round(side * scale)) for side in size)
            seen = F.interpolate(photo, (height, width), mode="bilinear", antialias=True)
        x = seen.to(self.runtime.dtype, memory_format=torch.channels_last)
        strength: Tensor = self.model(x)[:, :1].float().sigmoid()
        if scale != 1.0:
            strength = F.interpolate(strength, size, mode="bilinear")
        return strength[0, 0]


_loading = threading.Lock()


@cache
def _load(path: Path | None, device: DeviceName, precision: Precision) -> _LoadedNetwork:
    """Loaded once for each way to use it; a file that changes meanwhile is not read again."""
    import torch

    from upscore.core.runtime import select_runtime
    from upscore.edges.weight_files import load_edge_network, shipped_edge_weights

    runtime = select_runtime(device, precision)
    model = load_edge_network(path or shipped_edge_weights()).fold()
    model.to(device=runtime.torch_device, dtype=runtime.dtype)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return _LoadedNetwork(model, runtime)
