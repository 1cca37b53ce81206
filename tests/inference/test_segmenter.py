"""What the base class derives, and labels of several images at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from inference.support import THREE, ByColor, random_photo, wrap
from upscore.errors import DataError, RunError
from upscore.inference.segmenter import Segmenter
from upscore.inference.tiles import Tiled

SIZES = [(20, 30), (8, 9), (20, 30), (130, 40), (8, 9)]


class OnlyProbabilities(Segmenter):
    """The least that a segmenter defines. Each pixel's probabilities are its colour's shares."""

    labels = THREE

    def probabilities(self, image):
        shares = image.transpose(2, 0, 1).astype(np.float32)
        return np.ascontiguousarray(shares / shares.sum(axis=0))


class Network(torch.nn.Module):
    """Scores that are the colours, and the sizes of the batches that it is given."""

    def __init__(self):
        super().__init__()
        self.batches: list[tuple[int, ...]] = []

    def forward(self, x):
        self.batches.append((len(x), *x.shape[2:]))
        return x * torch.tensor([1.0, 3.0, 2.0])[:, None, None]


@pytest.fixture
def photos():
    return [random_photo(*size, seed=seed) + 1 for seed, size in enumerate(SIZES)]


def test_scores_and_labels_follow_from_probabilities(photo):
    segmenter = OnlyProbabilities()
    photo = np.maximum(photo, 1)
    colors = photo.astype(np.float64)
    scores = segmenter.scores(photo)
    assert scores.dtype == np.float32
    want = np.log(colors / colors.sum(axis=2, keepdims=True)).transpose(2, 0, 1)
    np.testing.assert_allclose(scores, want, atol=1e-5)
    labels = segmenter.predict(photo)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, photo.argmax(axis=2))
    assert [labels.tolist()] == [found.tolist() for found in segmenter.predict_batch([photo])]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 3e38])
def test_scores_that_are_not_finite_are_no_labels(bad):
    class Damaged(Network):
        def forward(self, x):
            scores = super().forward(x)
            scores[:, :, 1:3] = bad
            return scores

    segmenter, photo = wrap(Damaged()), random_photo(20, 30)
    for use in (segmenter.predict, segmenter.scores, segmenter.probabilities):
        with pytest.raises(RunError, match=r"scores are not finite .*use other weights"):
            use(photo)
    with pytest.raises(RunError, match="scores are not finite"):
        segmenter.predict_batch([photo, photo])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (b"GIF", "an image is a bytes; expected a path, a Pillow picture .*BytesIO"),
        (np.zeros((3, 9, 8), np.uint8), r"with channels last: image.transpose\(1, 2, 0\)"),
        (np.zeros((9, 8), np.uint8), "for a grey one: np.repeat"),
        (np.zeros((1, 9, 8, 3), np.uint8), r"one at a time: image\[0\]"),
        (np.zeros((9, 8, 5), np.uint8), r"expected \(H, W, 3\), red first$"),
    ],
)
def test_images_of_other_kinds(image, message):
    with pytest.raises(DataError, match=message):
        wrap(Network()).predict(image)


def test_an_incomplete_segmenter_is_refused():
    class WithoutProbabilities(Segmenter):
        labels = THREE

    with pytest.raises(TypeError, match=r"abstract method '?probabilities"):
        WithoutProbabilities()


def test_images_of_one_size_are_one_batch(photos):
    segmenter = wrap(network := Network())
    found = segmenter.predict_batch(photos)
    ran = segmenter.network.model.batches  # the segmenter works on a copy of the network
    assert sorted(ran) == [(1, 130, 40), (2, 8, 9), (2, 20, 30)]
    assert network.batches == []
    for photo, labels in zip(photos, found, strict=True):
        assert labels.dtype == np.uint8
        assert np.array_equal(labels, (photo * np.array([1, 3, 2])).argmax(axis=2))
    assert segmenter.predict_batch([]) == []


def test_large_images_of_a_batch_are_tiled(photos):
    base = wrap(Network())
    found = Tiled(base, tile=128).predict_batch(photos)
    assert (2, 20, 30) in base.network.model.batches
    assert all(height <= 128 for _, height, _ in base.network.model.batches)
    for photo, labels in zip(photos, found, strict=True):
        assert np.array_equal(labels, (photo * np.array([1, 3, 2])).argmax(axis=2))


@pytest.mark.parametrize("segmenter", [wrap(Network()), Tiled(ByColor(), tile=128)])
def test_a_batch_with_something_else_in_it(segmenter, photos):
    with pytest.raises(DataError, match="dtype float64"):
        segmenter.predict_batch([photos[0], np.zeros((4, 4, 3))])
