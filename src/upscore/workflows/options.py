"""Options of a trained network when it segments photos; this module imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscore.core.limits import DEFAULT_TILE, MAX_PIXELS
from upscore.core.option_values import require_at_least, require_scales, require_tile
from upscore.core.runtime import DeviceName, Precision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upscore.inference.pipeline.run import Pipeline
    from upscore.inference.segmenter import Segmenter


@dataclass(frozen=True)
class NetworkOptions:
    """How the network of a run is used."""

    device: DeviceName = "auto"
    """Device for the network; auto uses a GPU if there is one."""
    precision: Precision = "auto"
    """Precision; auto uses bf16 where the hardware supports it."""
    tile: int = DEFAULT_TILE
    """Split photos with a longer side into overlapping tiles of this side, a
    multiple of 32; 0 never splits."""
    flip: bool = False
    """Average over the photo and its mirror image; takes twice the time."""
    scales: tuple[float, ...] = (1.0,)
    """Average over these sizes of the photo, for example --scales 0.75 1 1.25."""
    max_pixels: int = MAX_PIXELS
    """Refuse photos with more pixels than this."""

    def check(self) -> None:
        """Check the values that need no network.

        Raises:
            SettingsError: a value out of range.
            NotFoundError: no such file of CRF settings.
        """
        require_tile(self.tile)
        require_scales(self.scales)
        require_at_least(1, max_pixels=self.max_pixels)

    def load(self, run: Path) -> Segmenter:
        """The segmenter of a run; see :func:`upscore.inference.load.load_segmenter`."""
        from upscore.inference.load import load_segmenter

        return load_segmenter(run, **self._network_options())

    def load_pipeline(self, path: Path, stages: Sequence[str] | None) -> Pipeline:
        """The pipeline of a file with some or all (None) of its stages.

        Raises:
            SettingsError: an option that a pipeline file sets itself (tile, flip, scales, crf).
            UpscoreError: see :func:`upscore.inference.pipeline.run.load_pipeline`.
        """
        from upscore.inference.load import refuse_network_options
        from upscore.inference.pipeline.run import load_pipeline

        refuse_network_options(path, **self._network_options())
        return load_pipeline(path, device=self.device, precision=self.precision, stages=stages)

    def _network_options(self) -> dict[str, Any]:
        """All but ``max_pixels``, an option of reading photos."""
        used = {name: value for name, value in vars(self).items() if name != "max_pixels"}
        return used | {"scales": tuple(self.scales)}  # a list is compared with a tuple

    def to_dict(self) -> dict[str, Any]:
        """The options as JSON values for scores.json, with ``auto`` resolved."""
        from upscore.core.runtime import select_runtime

        runtime = select_runtime(self.device, self.precision)
        return {
            "device": runtime.device,
            "precision": runtime.precision,
            "tile": self.tile,
            "flip": self.flip,
            "scales": list(self.scales),
        }


@dataclass(frozen=True)
class SegmenterOptions(NetworkOptions):
    """The same, with a CRF around the network."""

    crf: str | None = None
    """Refine with a dense CRF: deconvnet, released, deeplab, deeplab-largefov, or a YAML
    file of settings."""

    def check(self) -> None:
        super().check()
        if self.crf is not None:
            from upscore.crf.settings import load_crf

            load_crf(self.crf)

    def to_dict(self) -> dict[str, Any]:
        if self.crf is None:
            return super().to_dict()
        from upscore.crf.settings import load_crf

        return super().to_dict() | {"crf": load_crf(self.crf).to_json()}


DEFAULTS = SegmenterOptions()
