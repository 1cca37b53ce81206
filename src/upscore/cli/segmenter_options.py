"""The options of a network as command line flags, the same for every command with one.

Commands take them as ``options: Annotated[..., arg(name="")] = ..._DEFAULTS``: an empty name makes
tyro list the fields among the command's own flags.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import arg

from upscore.workflows import options
from upscore.workflows.options import NetworkOptions


@dataclass(frozen=True)
class SegmenterOptions(options.SegmenterOptions):
    """Flags of the network and of the CRF after it."""

    crf: Annotated[str | None, arg(metavar="NAME|FILE")] = None
    """Refine with a dense CRF: deconvnet, released, deeplab, deeplab-largefov, or a YAML
    file of settings."""


NETWORK_DEFAULTS = NetworkOptions()
SEGMENTER_DEFAULTS = SegmenterOptions()
