"""Memory of a machine, and set-up of a process that runs nothing but upscore."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4

ENTRIES = "256"  # a step of a network of sixty convolutions has 170, see docs/decisions.md


def ignore_pillow_warnings() -> None:
    """Hide Pillow's warnings in this process: broken EXIF is not worth a line per photo."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def limit_onednn_cache() -> None:
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


def tune_malloc() -> bool:
    """Let glibc reuse large blocks instead of returning each to the system; whether it took effect.

    By default a tensor of some megabytes is fresh pages each time, which the system clears one
    fault at a time: a third of a training step of full-width FCN-8s. For programs of ours alone,
    as it changes the whole process. Settings of the user's (``MALLOC_*``, ``GLIBC_TUNABLES``) are
    kept; other systems' allocators are left alone.
    """
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # musl has none
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, 2**26))
    return all(mallopt(*setting) == 1 for setting in settings)


def physical_memory() -> int | None:
    """Bytes of memory that the machine has; None where the system does not say it."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return None
