"""Enlarging by interpolation, against sums written out; both registrations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from upscore.models.layers import resize_bilinear


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("corner", [False, True])
def test_values_lie_on_the_line_between_their_neighbours(factor: int, corner: bool) -> None:
    row = np.array([3.0, -1.0, 4.0, 1.0, 5.0])
    x = torch.from_numpy(row).view(1, 1, 1, -1).expand(1, 2, 3, -1)
    like = torch.empty(1, 1, 3 * factor, 5 * factor - 1)
    got = resize_bilinear(x, factor, like=like, corner=corner)
    assert got.shape == (1, 2, 3 * factor, 5 * factor - 1)
    # where elements are on the axis of pixels; before the first and behind the last: repeated
    places = np.arange(5) * factor + (factor - 1 if corner else (factor - 1) / 2)
    want = np.interp(np.arange(5 * factor - 1), places, row)
    np.testing.assert_allclose(got[0, 1, 1].numpy(), want, atol=1e-12)
    column = resize_bilinear(x.mT, factor, like=like.mT, corner=corner)
    torch.testing.assert_close(column, got.mT)


def test_one_element() -> None:
    x = torch.full((1, 1, 1, 1), 7.0)
    for corner in (False, True):
        got = resize_bilinear(x, 4, like=torch.empty(1, 1, 3, 2), corner=corner)
        assert torch.equal(got, torch.full((1, 1, 3, 2), 7.0))
