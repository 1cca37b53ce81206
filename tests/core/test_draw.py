from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from PIL import ImageFont

from upscore.core import draw, images
from upscore.core.draw import WRONG_COLOR, error_map, legend, overlay, painted, with_legend
from upscore.core.labels import VOC_LABELS, VOID, Labels
from upscore.errors import SettingsError

ANY = np.random.default_rng(0)
PHOTO = ANY.integers(0, 256, (12, 17, 3), dtype=np.uint8)
MAP = ANY.integers(0, 21, (12, 17), dtype=np.uint8)


def test_overlay_mixes_photo_and_colours():
    labels = np.full_like(MAP, 3)
    got = overlay(PHOTO, labels, VOC_LABELS, alpha=0.25)
    want = 0.75 * PHOTO + 0.25 * VOC_LABELS.colorize(labels)
    assert got.dtype == np.uint8
    assert got.shape == PHOTO.shape
    assert np.abs(got - want).max() <= 1


def test_outlines_are_in_full_colour_and_the_background_keeps_the_photo():
    labels = np.zeros((12, 17), np.uint8)
    labels[2:9, 4:12] = 5
    got = overlay(PHOTO, labels, VOC_LABELS, alpha=0)
    inside = np.zeros((12, 17), bool)
    inside[3:8, 5:11] = True
    rim = (labels == 5) & ~inside
    assert np.array_equal(got[labels == 0], PHOTO[labels == 0])
    assert np.array_equal(got[inside], PHOTO[inside])
    assert np.array_equal(got[rim], VOC_LABELS.colorize(labels)[rim])
    assert painted(VOC_LABELS, labels) == [5]
    assert painted(VOC_LABELS) == list(range(1, 21))


def test_outlines_of_large_photos_are_wider():
    labels = np.ones((1700, 1300), np.uint8)
    labels[:, 600:] = 2
    photo = np.zeros((*labels.shape, 3), np.uint8)
    got = overlay(photo, labels, VOC_LABELS, alpha=0)
    assert np.flatnonzero(got[5].any(axis=-1)).tolist() == [597, 598, 599, 600, 601, 602]


def test_the_ends_of_alpha():
    whole = np.full_like(MAP, 7)
    assert np.array_equal(overlay(PHOTO, whole, VOC_LABELS, alpha=0), PHOTO)
    assert np.array_equal(overlay(PHOTO, whole, VOC_LABELS, alpha=1), VOC_LABELS.colorize(whole))


def test_void_keeps_the_photo():
    labels = MAP.copy()
    labels[3:6] = VOID
    got = overlay(PHOTO, labels, VOC_LABELS, alpha=1)
    assert np.array_equal(got[3:6], PHOTO[3:6])
    assert not np.array_equal(got[6:], PHOTO[6:])


def test_large_overlays_are_made_in_bands(monkeypatch):
    """Of equal values, and without copies of the whole."""
    rng = np.random.default_rng(1)
    photo = rng.integers(0, 256, (500, 301, 3), dtype=np.uint8)
    labels = rng.choice(np.array([0, 3, VOID], np.uint8), (500, 301))
    want = overlay(photo, labels, VOC_LABELS)
    monkeypatch.setattr(images, "BAND_PIXELS", 301 * 50 + 5)
    tracemalloc.start()
    try:
        got = overlay(photo, labels, VOC_LABELS)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(got, want)
    assert peak < 2 * photo.nbytes


def test_overlay_refuses_what_does_not_fit():
    with pytest.raises(SettingsError, match=r"alpha is 1\.5; allowed: 0 .* to 1"):
        overlay(PHOTO, MAP, VOC_LABELS, alpha=1.5)
    with pytest.raises(SettingsError, match="expected equal H and W"):
        overlay(PHOTO, MAP[1:], VOC_LABELS)


def test_the_legend_lists_classes_present_and_no_void():
    strip = legend(VOC_LABELS, [1, 15, VOID], width=300)
    colors = {tuple(color) for color in strip.reshape(-1, 3).tolist()}
    assert strip.shape[1] == 300
    assert {(128, 0, 0), (192, 128, 128)} <= colors
    assert not {(0, 128, 0), (224, 224, 192)} & colors


def test_the_legend_breaks_into_rows():
    assert legend(VOC_LABELS, width=400).shape[0] > 3 * legend(VOC_LABELS, [1], width=400).shape[0]


@pytest.mark.parametrize("width", [1, 40, 500, 4000])
def test_legends_of_any_photo_width(width):
    strip = legend(VOC_LABELS, width=width)
    assert strip.shape[1] >= width
    assert strip.dtype == np.uint8
    assert strip.shape[0] < 700


def test_odd_names():
    names = ["Straße", "véhicule " * 22, "道路", "дорога", "two\nlines", "<b>&amp;", "\u202eabc"]
    strip = legend(Labels.of(names), width=100)
    assert strip.shape[1] <= 360


def test_an_empty_legend():
    assert legend(VOC_LABELS, [], width=50).shape[1] == 50
    assert legend(VOC_LABELS, [VOID], width=50).min() == 255


def test_pillow_without_freetype(monkeypatch):
    """The bitmap font that remains knows neither sizes nor other alphabets."""
    draw._font.cache_clear()
    monkeypatch.setattr(draw, "_font", lambda _: ImageFont.load_default_imagefont())
    strip = legend(Labels.of(["Straße", "道路" * 50, "x"]), width=100)
    assert (strip < 100).any()


def test_without_the_font_file_pillows_own_font_is_used(monkeypatch, tmp_path):
    draw._font.cache_clear()
    monkeypatch.setattr(draw, "FONT", tmp_path / "none.ttf")
    assert legend(VOC_LABELS, [1, 2], width=200).shape[1] == 200
    draw._font.cache_clear()


@pytest.mark.parametrize("letter", "\u00df\u00e9\u0434\u03b4")
def test_the_font_has_the_letters_of_europe(letter):
    unknown = "\ue000"  # drawn as the sign for a missing letter
    font = draw._font(24)
    assert bytes(font.getmask(letter)) != bytes(font.getmask(unknown))


@pytest.mark.parametrize("size", [(1, 1), (12, 17), (30, 900)])
def test_with_legend_keeps_the_picture(size):
    picture = np.full((*size, 3), 7, np.uint8)
    sheet = with_legend(picture, VOC_LABELS, [0, 3])
    assert np.array_equal(sheet[: size[0], : size[1]], picture)
    assert (sheet[: size[0], size[1] :] == 255).all()
    assert sheet.shape[0] > size[0] + 10


def test_error_map():
    truth = np.array([[0, 1, VOID, VOID, 2]], np.uint8)
    prediction = np.array([[0, 2, 0, VOID, VOID]], np.uint8)
    right, wrong, void, both, unsure = error_map(truth, prediction)[0].tolist()
    assert wrong == unsure == list(WRONG_COLOR)
    assert void == both == [draw.VOID_LEVEL] * 3
    assert right[0] == right[1] == right[2] < 128


def test_right_pixels_are_dim_and_neighbouring_classes_differ():
    classes = np.arange(255, dtype=np.uint8)[None]
    grey = error_map(classes, classes)[0, :, 0].astype(int)
    assert grey.min() >= 40
    assert grey.max() <= 105
    assert (np.abs(np.diff(grey)) >= 20).all()


def test_error_map_refuses_two_sizes():
    with pytest.raises(SettingsError, match="must be equal"):
        error_map(MAP, MAP[:, 1:])
