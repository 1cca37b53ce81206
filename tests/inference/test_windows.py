from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from inference.support import random_photo
from upscore.inference import crop_resize as windows
from upscore.inference.crop_resize import extract_crops, overlaps, paste_crops
from upscore.proposals.deconvnet_boxes import crop_with_padding

# inside, larger than the photo on each side, over a corner, one pixel, one row, beside the photo
WINDOWS = [
    (3, 5, 40, 31),
    (-30, -20, 90, 70),
    (50, -9, 77, 12),
    (10, 11, 11, 12),
    (-4, 30, 70, 31),
    (64, 0, 80, 10),
    (-9, -9, 0, 0),
    (0, 0, 64, 48),
]


def resized(array: np.ndarray, size: tuple[int, int], antialias: bool) -> np.ndarray:
    """torch's bilinear resize of (h, w, C), in float64."""
    x = torch.from_numpy(np.ascontiguousarray(array)).double().permute(2, 0, 1)[None]
    y = F.interpolate(x, size=size, mode="bilinear", align_corners=False, antialias=antialias)
    return y[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("size", [(24, 20), (7, 61), (1, 1)])
def test_windows_are_seen_as_torch_resizes_padded_crops(size, antialias):
    photo = random_photo(48, 64)
    seen = extract_crops(photo, WINDOWS, size, antialias=antialias)
    assert seen.shape == (len(WINDOWS), *size, 3)
    assert seen.dtype == np.uint8
    for window, got in zip(WINDOWS, seen, strict=True):
        want = resized(crop_with_padding(photo, window, 0), size, antialias)
        assert np.abs(got - want).max() <= 0.501, window


def test_windows_are_seen_as_pillow_resizes_crops():
    """Pillow resized what networks were trained with; it rounds once more, between the axes."""
    photo = random_photo(90, 120)
    window = (10, 4, 107, 88)
    crop = Image.fromarray(photo[4:88, 10:107])
    want = np.asarray(crop.resize((32, 40), Image.Resampling.BILINEAR)).astype(int)
    (got,) = extract_crops(photo, [window], (40, 32), antialias=True)
    assert np.abs(got - want).max() <= 1
    assert (got == want).mean() > 0.8


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("add", [True, False])
@pytest.mark.parametrize("size", [(24, 20), (1, 1), (60, 9)])
def test_scores_are_laid_where_full_maps_would_be(size, add, antialias):
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(len(WINDOWS), *size, 5)).astype(np.float32)
    canvas = rng.normal(size=(48, 64, 5)).astype(np.float32)
    want = canvas.astype(np.float64)
    for (x1, y1, x2, y2), part in zip(WINDOWS, scores, strict=True):
        full = resized(part, (y2 - y1, x2 - x1), antialias)
        for y in range(max(y1, 0), min(y2, 48)):
            for x in range(max(x1, 0), min(x2, 64)):
                value = full[y - y1, x - x1]
                want[y, x] = want[y, x] + value if add else np.maximum(want[y, x], value)
    paste_crops(scores, WINDOWS, canvas, add=add, antialias=antialias)
    np.testing.assert_allclose(canvas, want, atol=2e-5)


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_any_number_of_threads_gives_the_same_bits(monkeypatch, threads):
    photo = random_photo(33, 41)
    scores = np.random.default_rng(0).normal(size=(len(WINDOWS), 16, 16, 3)).astype(np.float32)

    def both() -> tuple[np.ndarray, np.ndarray]:
        canvas = np.zeros((33, 41, 3), np.float32)
        paste_crops(scores, WINDOWS, canvas, add=True, antialias=True)
        return extract_crops(photo, WINDOWS, (16, 16), antialias=True), canvas

    monkeypatch.setattr(windows, "num_threads", lambda _: 1)
    seen, canvas = both()
    monkeypatch.setattr(windows, "num_threads", lambda _: threads)
    seen_again, canvas_again = both()
    assert np.array_equal(seen, seen_again)
    assert np.array_equal(canvas, canvas_again)


def test_a_photo_of_one_pixel():
    photo = np.full((1, 1, 3), 200, np.uint8)
    (seen,) = extract_crops(photo, [(0, 0, 1, 1)], (8, 8), antialias=True)
    assert (seen == 200).all()
    canvas = np.zeros((1, 1, 2), np.float32)
    paste_crops(
        np.ones((1, 8, 8, 2), np.float32), [(0, 0, 1, 1)], canvas, add=False, antialias=True
    )
    np.testing.assert_allclose(canvas, 1, rtol=1e-6)


def test_a_huge_window_needs_no_memory_for_what_is_outside():
    photo = random_photo(40, 40)
    far = (-1_000_000, -1_000_000, 1_000_000, 1_000_000)  # 12 TB as a crop
    (seen,) = extract_crops(photo, [far], (4, 4), antialias=True)
    assert (seen == 0).all()
    canvas = np.zeros((40, 40, 2), np.float32)
    paste_crops(np.ones((1, 4, 4, 2), np.float32), [far], canvas, add=True, antialias=True)
    np.testing.assert_allclose(canvas, 1, rtol=1e-6)


def test_which_windows_touch_a_photo():
    assert [overlaps(window, 48, 64) for window in WINDOWS] == [True] * 5 + [False] * 2 + [True]
