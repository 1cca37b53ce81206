"""The options that say how a run labels photos, the same for every verb that uses one.

Verbs take them as ``options: Annotated[..., arg(name="")] = ..._DEFAULTS``: an empty name makes
tyro list the fields among the verb's own, so that the command line stays flat.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import arg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from upscore.inference.pipeline.run import Pipeline
    from upscore.inference.segmenter import Segmenter

TILE = 1024  # inference.tiles.DEFAULT_TILE, written out because --help imports nothing heavy
MAX_PIXELS = 64_000_000  # core.images.MAX_PIXELS, likewise


@dataclass(frozen=True)
class NetworkOptions:
    """How the network of a run is used."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to compute; auto takes a GPU if there is one."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Number format; auto takes bf16 where the hardware has it."""
    tile: int = TILE
    """Photos with a longer side are done in overlapping tiles of this side, a multiple of 32; 0
    for never."""
    flip: bool = False
    """Average over the mirrored photo too; takes twice the time."""
    scales: tuple[float, ...] = (1.0,)
    """Average over these sizes of the photo, as in --scales 0.75 1 1.25."""
    max_pixels: int = MAX_PIXELS
    """Photos with more pixels are refused."""

    def load(self, run: Path) -> Segmenter:
        """The segmenter; see :func:`upscore.inference.load.load_segmenter`. Imports torch."""
        from upscore.inference.load import load_segmenter

        options = asdict(self)
        del options["max_pixels"]  # whoever reads the photos wants it
        return load_segmenter(run, **options)

    def load_pipeline(self, path: Path, stages: Sequence[str] | None) -> Pipeline:
        """The pipeline of a file, for some of its stages or (None) all. Imports torch.

        Raises:
            SettingsError: options that a pipeline says by itself; and what ``load_pipeline`` of the
                inference room raises.
        """
        from upscore.cli.console import show_messages
        from upscore.inference.load import refuse_network_options
        from upscore.inference.pipeline.run import load_pipeline

        show_messages("upscore.compiled")
        show_messages("upscore.proposals")
        show_messages("upscore.inference")  # that boxes are shown otherwise than in training
        options = asdict(self)
        del options["max_pixels"]
        device, precision = options.pop("device"), options.pop("precision")
        refuse_network_options(path, **options)
        return load_pipeline(path, device=device, precision=precision, stages=stages)

    def about(self) -> dict[str, Any]:
        """What scores.json records of them, ``auto`` resolved. Imports torch."""
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
    """The same with a CRF around it."""

    crf: Annotated[str | None, arg(metavar="NAME|FILE")] = None
    """Refine with a dense CRF: deconvnet, released, deeplab, or a YAML file of settings."""

    def load(self, run: Path) -> Segmenter:
        from upscore.cli.console import show_messages

        show_messages("upscore.compiled")  # that the first use compiles, which takes its time
        show_messages("upscore.proposals")  # that boxes are missing in a store
        show_messages("upscore.inference")  # that boxes are shown otherwise than in training
        return super().load(run)

    def about(self) -> dict[str, Any]:
        if self.crf is None:
            return super().about()
        from upscore.crf.settings import load_crf

        return super().about() | {"crf": load_crf(self.crf).to_json()}


NETWORK_DEFAULTS = NetworkOptions()
SEGMENTER_DEFAULTS = SegmenterOptions()
