"""Errors of options: the argument's name in Python, the option's on the command line."""

from __future__ import annotations

import pickle

import pytest

from upscore.core.option_values import (
    require_alpha,
    require_at_least,
    require_measures,
    require_scales,
    require_tile,
)
from upscore.errors import OptionError


@pytest.mark.parametrize(
    ("check", "message", "typed"),
    [
        (lambda: require_alpha(3.0), "alpha is 3.0; allowed: 0", "--alpha is 3.0; allowed: 0"),
        (lambda: require_tile(100), "tile is 100; ", "--tile is 100; "),
        (lambda: require_scales(()), "scales are empty; ", "--scales are empty; "),
        (lambda: require_measures(0, None), "count_objects is 0; ", "--count-objects is 0; "),
        (lambda: require_measures(None, 0.0), "mm_per_pixel is 0", "--mm-per-pixel is 0"),
        (lambda: require_at_least(1, max_pixels=0), "max_pixels is 0", "--max-pixels is 0"),
    ],
)
def test_the_name_is_that_of_the_call_or_as_typed(check, message, typed):
    with pytest.raises(OptionError) as wrong:
        check()
    for error in (wrong.value, pickle.loads(pickle.dumps(wrong.value))):  # as between processes
        assert str(error).startswith(message)
        assert error.typed.startswith(typed)


def test_an_error_of_an_option_may_get_a_place_before() -> None:
    error = OptionError("tile_size", "is 3")
    assert (str(error), error.typed) == ("tile_size is 3", "--tile-size is 3")
    placed = type(error)(f"FILE: {error}")
    assert (str(placed), placed.typed) == ("FILE: tile_size is 3", "FILE: tile_size is 3")
