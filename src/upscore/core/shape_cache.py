"""Memory that torch keeps for every image size that it has met."""

from __future__ import annotations

import os
import sys

ENTRIES = "64"  # two or three sizes of a network of twenty convolutions


def bound_shape_caches() -> None:
    """Keep the per-size kernels of torch's CPU convolutions to a few sizes, from now on.

    oneDNN generates code for each convolution at each size, a quarter of a megabyte apiece, and
    holds 1024 of them: over photos of many sizes memory grows by some 80 MiB before it is flat. New
    sizes get new code either way, and equal sizes stay cached, so this costs no time. To be called
    before torch is imported, which reads these settings once; settings of the user's are kept.
    """
    if "torch" in sys.modules:
        return
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", ENTRIES)
    os.environ.setdefault("LRU_CACHE_CAPACITY", ENTRIES)
