from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.support import CPU, THREE, ByColor, random_photo
from upscore.core.option_values import require_tile
from upscore.errors import DataError, SettingsError
from upscore.inference import tiles
from upscore.inference.tiles import Tiled, blended_windows, ramp, starts
from upscore.inference.whole_image import WholeImage
from upscore.models.checkpoint import load_model

SIZES = [(128, 129), (129, 128), (300, 200), (97, 400), (1, 500), (257, 1), (225, 321)]


@pytest.mark.parametrize("size", SIZES)
def test_a_pointwise_network_gives_exactly_the_untiled_result(size):
    image = random_photo(*size)
    whole, tiled = ByColor(), Tiled(ByColor(), tile=128)
    assert np.array_equal(tiled.scores(image), whole.scores(image))
    np.testing.assert_allclose(tiled.probabilities(image), whole.probabilities(image), atol=1e-6)
    assert np.array_equal(tiled.predict(image), whole.predict(image))
    assert max(max(size) for size in tiled.base.sizes) <= 128
    assert len(tiled.base.sizes) > 1


def test_photos_up_to_the_tile_are_done_whole():
    base = ByColor()
    tiled = Tiled(base, tile=128)
    for method in (tiled.scores, tiled.probabilities, tiled.predict):
        method(random_photo(128, 128))
    assert base.sizes == [(128, 128)] * 3


@settings(deadline=None, max_examples=200)
@given(st.integers(1, 5000), st.integers(4, 40).map(lambda n: 32 * n))
def test_tiles_cover_a_side_on_the_pooling_grid(length, tile):
    overlap = tile // 4 // 32 * 32
    firsts = starts(length, tile=tile, overlap=overlap)
    assert firsts[0] == 0
    assert all(first % 32 == 0 for first in firsts)
    assert firsts[-1] + tile >= length
    assert len(firsts) == 1 or length - firsts[-1] > overlap
    assert all(b - a == tile - overlap for a, b in itertools.pairwise(firsts))


def test_the_ramp_is_smooth_and_symmetric():
    weights = ramp(64)
    assert weights[:16].max() == 0
    assert weights[-16:].min() == 1
    assert (np.diff(weights) >= 0).all()
    assert np.diff(weights).max() < 0.06
    np.testing.assert_allclose(weights + weights[::-1], 1, atol=1e-6)


def test_a_disagreement_between_tiles_becomes_a_smooth_slope():
    """Tiles that each add their own constant: no step is larger than the ramp's."""

    class Moody(ByColor):
        def scores(self, image):
            self.sizes.append(image.shape)
            return np.full((3, *image.shape[:2]), len(self.sizes), np.float32)

    scores = Tiled(Moody(), tile=256).scores(random_photo(300, 700))[0]
    corners = scores[0, 0], scores[0, -1], scores[-1, 0], scores[-1, -1]
    assert corners == (1, 4, 5, 8)
    assert np.abs(np.diff(scores, axis=1)).max() < 0.06
    assert np.abs(np.diff(scores, axis=0)).max() < 4 * 0.06


def test_a_real_network_agrees_inside(model_folder):
    """With the pooling grid kept, tiles differ from the whole only by the padding they see."""
    saved = load_model(model_folder)
    whole = WholeImage(saved.model, THREE, saved.input_spec, CPU)
    image = random_photo(200, 1100, seed=4)
    want, got = whole.scores(image), Tiled(whole, tile=512).scores(image)
    span = want.max() - want.min()
    assert np.abs(got - want).max() < 0.3 * span
    assert np.abs(got - want).mean() < 0.01 * span
    labels = Tiled(whole, tile=512).predict(image)
    assert (labels == want.argmax(axis=0)).mean() > 0.98
    # off the grid the same tiles would differ everywhere
    shifted = whole.scores(image[:, 13:])[:, :, :900]
    assert np.abs(shifted - want[:, :, 13:913]).mean() > 2 * np.abs(got - want).mean()


def test_blended_tiles_are_sums_by_the_ramps_weights():
    """Tiles of one value each against products of the weights of their rows and columns."""
    values = np.random.default_rng(0).standard_normal((3, 3)).astype(np.float32)
    shape, tile, overlap = (300, 280), 128, 32

    def score(rows, columns):
        sides = (1, rows.stop - rows.start, columns.stop - columns.start)
        step = tile - overlap
        return np.full(sides, values[rows.start // step, columns.start // step], np.float32)

    got = np.full(shape, np.nan, np.float32)
    for rows, columns, part in blended_windows(score, 1, *shape, tile=tile):
        assert np.isnan(got[rows, columns]).all()
        got[rows, columns] = part[0]
    sides = [shares(length, tile, overlap) for length in shape]
    np.testing.assert_allclose(got, sides[0].T @ values @ sides[1], atol=1e-5)


def shares(length: int, tile: int, overlap: int) -> np.ndarray:
    """Weight of each tile at each pixel of a side."""
    firsts = starts(length, tile=tile, overlap=overlap)
    weights = np.zeros((len(firsts), length))
    for number, first in enumerate(firsts):
        weights[number, first : first + tile] = 1
        if number:
            weights[number, first : first + overlap] = ramp(overlap)
            weights[number - 1, first : first + overlap] = 1 - ramp(overlap)
    return weights


def test_predict_holds_what_two_rows_of_tiles_share():
    """Not the scores of the photo, nor of a row of tiles."""
    height, width, tile = 300, 6000, 128
    segmenter, image = Tiled(ByColor(), tile=tile), random_photo(height, width)
    segmenter.predict(image[:200, :200])
    tracemalloc.start()
    try:
        segmenter.predict(image)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    one_tile, shared = 3 * 4 * tile * tile, 3 * 4 * (tile // 4) * width
    assert peak < height * width + 1.1 * shared + 4 * one_tile


def test_scores_larger_than_the_machine_are_refused(monkeypatch):
    image = random_photo(200, 300)
    need = 3 * 4 * 200 * 300
    tiled = Tiled(ByColor(), tile=128)
    for there in (need, None):
        monkeypatch.setattr(tiles, "physical_memory", lambda there=there: there)
        want = tiled.scores(image)
    monkeypatch.setattr(tiles, "physical_memory", lambda: need - 1)
    for method in (tiled.scores, tiled.probabilities):
        with pytest.raises(DataError, match=r"3 classes at 300x200 .* --save labels,overlay"):
            method(image)
    assert np.array_equal(tiled.predict(image), want.argmax(axis=0))


@pytest.mark.parametrize("tile", [1, 64, 100, 1000, -32])
def test_other_tiles_are_refused(tile):
    with pytest.raises(
        SettingsError, match=rf"tile is {tile}; allowed: 0 .* multiple of 32 from 128"
    ):
        require_tile(tile)
    with pytest.raises(SettingsError):
        Tiled(ByColor(), tile=tile)


def test_the_nearest_tile_is_named():
    with pytest.raises(SettingsError, match="for example 992"):
        require_tile(1000)


def test_zero_means_never_and_is_no_tile():
    require_tile(0)
    with pytest.raises(SettingsError, match="tile is 0"):
        Tiled(ByColor(), tile=0)


def test_what_is_no_image_is_refused():
    tiled = Tiled(ByColor())
    for method in (tiled.scores, tiled.probabilities, tiled.predict):
        with pytest.raises(DataError, match=r"shape \(5, 5\)"):
            method(np.zeros((5, 5), np.uint8))
