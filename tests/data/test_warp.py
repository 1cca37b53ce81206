"""Warping against its definition, pixel by pixel, and against quarter turns."""

from __future__ import annotations

import numpy as np
import pytest

from upscore.data.warp import warp_pair


def turn(degrees: float) -> np.ndarray:
    angle = np.radians(degrees)
    return np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_quarter_turns_are_exact(quarters: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    labels = rng.integers(0, 5, (20, 20), dtype=np.uint8)
    matrix = np.rint(turn(90 * quarters))
    photo, mask = warp_pair(image, labels, (20, 20), np.array([10.0, 10.0]), matrix)
    assert np.array_equal(photo, np.rot90(image, -quarters))
    assert np.array_equal(mask, np.rot90(labels, -quarters))


@pytest.mark.parametrize(("degrees", "step"), [(23, 0.7), (-140, 1.0), (9, 1.6), (61, 2.5)])
def test_each_pixel_shows_its_point_of_the_pair(degrees: float, step: float) -> None:
    """A plane of grey values, which bilinear sampling and means of blocks keep."""
    rows, columns = np.mgrid[:90, :120] + 0.5
    image = np.repeat((rows + columns)[..., None], 3, axis=2).astype(np.uint8)
    labels = ((rows // 9 + columns // 7) % 5).astype(np.uint8)
    size, centre, matrix = (31, 46), np.array([33.0, 78.0]), step * turn(degrees)
    photo, mask = warp_pair(image, labels, size, centre, matrix)
    seen = 0
    for i, j in np.ndindex(*size):
        y, x = centre + matrix @ (i + 0.5 - size[0] / 2, j + 0.5 - size[1] / 2)
        if not (0 <= y < 90 and 0 <= x < 120):
            assert mask[i, j] == 255
            continue
        near = {labels[int(y + d), int(x + e)] for d in (-1e-3, 1e-3) for e in (-1e-3, 1e-3)
                if y + d < 90 and x + e < 120}  # fmt: skip
        assert mask[i, j] in near
        if 3 <= y < 87 and 3 <= x < 117:
            assert abs(int(photo[i, j, 0]) - (y + x)) <= 2
            seen += 1
    assert seen > 500


def test_outside_is_void_and_of_mean_colour() -> None:
    image = np.full((30, 30, 3), (10, 20, 30), np.uint8)
    labels = np.full((30, 30), 3, np.uint8)
    photo, mask = warp_pair(image, labels, (40, 40), np.array([2.0, 2.0]), turn(30))
    assert 0.3 < (mask == 255).mean() < 0.9
    assert set(np.unique(mask)) == {3, 255}
    assert np.array_equal(np.unique(photo.reshape(-1, 3), axis=0), [[10, 20, 30]])


def test_shrinking_averages() -> None:
    """Of a fine checkerboard single pixels would be black or white."""
    board = (np.indices((200, 200)).sum(axis=0) % 2 * 200).astype(np.uint8)
    image = np.repeat(board[..., None], 3, axis=2)
    photo, _ = warp_pair(image, board, (20, 20), np.array([100.0, 100.0]), 4 * turn(17))
    assert np.abs(photo.astype(int) - 100).max() <= 1
