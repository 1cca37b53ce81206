"""Values of options that several commands have, checked before anything heavy is imported.

The errors name the argument; the command line prints the option in its place (``OptionError``).
"""

from __future__ import annotations

from collections.abc import Sequence

from upscore.errors import OptionError, SettingsError

STRIDE = 32
"""Five pools of two: in tiles that begin at its multiples, pools fall as in the whole photo."""
MIN_TILE = 4 * STRIDE
MAX_SCALE = 8.0
FIGURE_FORMATS = ("png", "pdf", "svg")


def require_tile(tile: int) -> None:
    """Refuse a side that is neither 0 nor a multiple of 32 from 128 (SettingsError)."""
    if tile == 0 or (tile >= MIN_TILE and tile % STRIDE == 0):
        return
    below = max(MIN_TILE, tile // STRIDE * STRIDE)
    raise OptionError(
        "tile",
        f"is {tile}; allowed: 0 (never) or a multiple of {STRIDE} from {MIN_TILE} on, for example "
        f"{below}",
    )


def require_scales(scales: Sequence[float]) -> None:
    """Refuse sizes of copies that are not over 0 and at most 8, or none (SettingsError)."""
    wrong = [scale for scale in scales if not (0 < scale <= MAX_SCALE)]
    if not scales or wrong:
        found = f"hold {wrong[0]}" if wrong else "are empty"
        raise OptionError(
            "scales",
            f"{found}; allowed: one or more numbers over 0 and up to {MAX_SCALE:g}, for example "
            "0.75 1 1.25",
        )


def require_alpha(alpha: float) -> None:
    """Refuse an opacity of the colours in overlays outside [0, 1] (SettingsError)."""
    if not 0 <= alpha <= 1:
        raise OptionError("alpha", f"is {alpha}; allowed: 0 (photo alone) to 1 (colours alone)")


def require_measures(min_object: int | None, mm_per_pixel: float | None) -> None:
    """Refuse objects below one pixel, or pixels without a size (SettingsError)."""
    if min_object is not None and min_object < 1:
        raise OptionError("count_objects", f"is {min_object}; allowed: 1 or more pixels")
    if mm_per_pixel is not None and not 0 < mm_per_pixel < 1e9:
        raise OptionError("mm_per_pixel", f"is {mm_per_pixel}; allowed: over 0")


def require_several(sources: Sequence[object]) -> None:
    """Refuse a comparison of fewer than two (SettingsError)."""
    if len(sources) < 2:
        raise SettingsError(
            f"a comparison needs two or more runs or pipelines, found {len(sources)}; type: "
            "upscore compare runs/first runs/second --data PATH"
        )


def require_confidence(confidence: float) -> None:
    """Refuse a probability outside (0, 1) (SettingsError)."""
    if not 0 < confidence < 1:
        raise OptionError("confidence", f"is {confidence}; allowed: over 0 and below 1")


def require_at_least(least: int, **options: int | None) -> None:
    """Refuse numbers below ``least`` (SettingsError), by the names of their options.

    Args:
        options: values by the argument's name; None: not given.
    """
    for name, value in options.items():
        if value is not None and value < least:
            raise OptionError(name, f"is {value}; allowed: {least} or more")


def require_positive(**options: float | None) -> None:
    """Likewise for numbers that are not over 0."""
    for name, value in options.items():
        if value is not None and not value > 0:
            raise OptionError(name, f"is {value:g}; allowed: over 0")
