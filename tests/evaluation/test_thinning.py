"""Thinning against scikit-image's, and what any thinning must keep.

golden/thinned.npz was made once with scikit-image 0.26, which is no dependency:

    import numpy as np
    from scipy.ndimage import gaussian_filter
    from skimage.morphology import thin
    rng = np.random.default_rng(5)
    masks = [rng.random((40, 56)) < share for share in (0.1, 0.3, 0.5, 0.7, 0.9, 1.1)]
    masks += [gaussian_filter(rng.standard_normal((40, 56)), s) > 0 for s in (0.7, 1, 1.5, 2, 3, 5)]
    masks = np.stack(masks)
    thinned = np.stack([thin(mask) for mask in masks])
    masks, thinned = np.packbits(masks, -1), np.packbits(thinned, -1)
    np.savez_compressed("thinned.npz", masks=masks, thinned=thinned)
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, label

from upscore.edges.benchmark.thinning import thin
from upscore.errors import DataError

GOLDEN = Path(__file__).with_name("golden") / "thinned.npz"
EIGHT = np.ones((3, 3), int)


def blobs(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return gaussian_filter(rng.standard_normal((50, 70)), 0.8 + seed % 5) > 0.1


def test_as_scikit_image():
    with np.load(GOLDEN) as content:
        masks = np.unpackbits(content["masks"], axis=-1).astype(bool)
        wanted = np.unpackbits(content["thinned"], axis=-1).astype(bool)
    assert len(masks) == 12
    for mask, thinned in zip(masks, wanted, strict=True):
        np.testing.assert_array_equal(thin(mask), thinned)


@pytest.mark.parametrize("seed", range(10))
def test_pieces_and_holes_stay_and_twice_is_once(seed):
    mask = blobs(seed)
    thinned = thin(mask)
    assert not (thinned & ~mask).any()
    assert thinned.sum() < mask.sum() / 1.5
    assert label(thinned, EIGHT)[1] == label(mask, EIGHT)[1]
    assert (
        label(np.pad(~thinned, 1, constant_values=True))[1]
        == (label(np.pad(~mask, 1, constant_values=True))[1])
    )
    np.testing.assert_array_equal(thin(thinned), thinned)


@pytest.mark.parametrize(
    "line", [np.eye(9, dtype=bool), np.ones((1, 9), bool), np.ones((9, 1), bool)]
)
def test_a_line_stays_to_its_ends(line):
    np.testing.assert_array_equal(thin(line), line)


def test_a_bar_becomes_its_middle():
    mask = np.zeros((9, 30), bool)
    mask[3:6, 2:28] = True
    thinned = thin(mask)
    assert set(np.nonzero(thinned)[0]) == {4}
    assert thinned.sum() >= 23


def test_the_mask_given_is_not_touched_and_odd_sizes_do():
    mask = np.ones((6, 6), bool)
    thin(mask)
    assert mask.all()
    for shape in ((0, 0), (0, 5), (1, 1)):
        for value in (False, True):
            assert thin(np.full(shape, value)).shape == shape
    assert thin(np.ones((1, 1), bool)).all()
    assert not thin(np.zeros((4, 4), bool)).any()
    np.testing.assert_array_equal(thin(blobs(3).T[::2]), thin(blobs(3).T[::2].copy()))


@pytest.mark.parametrize("bad", [np.zeros((3, 3)), np.zeros((2, 3, 3), bool), np.zeros(4, bool)])
def test_what_is_no_mask_is_refused(bad):
    with pytest.raises(DataError, match=r"a mask of shape .*expected bool \(H, W\)"):
        thin(bad)
