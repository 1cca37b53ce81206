"""DeconvNet's conventions: numbers are those of deconvnet-reference.md, sections 6.2 to 7.2."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from upscore.errors import DataError, SettingsError
from upscore.proposals.base import Proposals
from upscore.proposals.deconvnet_boxes import (
    IMAGE_FILL,
    LABEL_FILL,
    PAPER,
    RELEASED,
    BoxRule,
    crop_with_padding,
    drop_small,
    shorter_sides,
    whole_pixels,
)


def proposals(*boxes: tuple[float, float, float, float]) -> Proposals:
    scores = np.linspace(1, 0.1, len(boxes))
    return Proposals(np.array(boxes, np.float32).reshape(-1, 4), scores)


def test_paper_takes_the_best_fifty_of_any_size_grown_by_a_fifth():
    given = proposals(*[(10 + i, 20, 30 + i, 60) for i in range(80)])
    found = PAPER(given, height=100, width=200)
    assert len(found) == 50
    np.testing.assert_allclose(found.boxes[0], [8, 16, 32, 64])
    np.testing.assert_array_equal(found.scores, given.scores[:50])


def test_released_drops_small_ones_after_growth_and_they_take_nobodys_place():
    # longer sides of 80, 93 and 94 become squares of 96, 111.6 and 112.8
    sides = [80, 93, 94] * 40
    given = proposals(*[(0, 0, side, 10) for side in sides])
    found = RELEASED(given, height=500, width=500)
    assert len(found) == 40
    np.testing.assert_allclose(shorter_sides(found.boxes), 112.8, rtol=1e-5)
    np.testing.assert_array_equal(found.scores, given.scores[2::3])
    many = RELEASED(proposals(*[(0, 0, 100, 50)] * 60), height=500, width=500)
    assert len(many) == 50


def test_without_squares_the_shorter_side_counts():
    given = proposals((0, 0, 300, 90), (0, 0, 300, 94), (0, 0, 94, 300))
    rule = replace(RELEASED, square=False)
    found = rule(given, height=500, width=500)
    np.testing.assert_array_equal(found.scores, given.scores[1:])


def test_squares_of_the_longer_side_keep_the_centre_and_leave_the_image():
    """A stage 2 window that was publicly quoted: (88, -24, 387, 275), inclusive, side 300."""
    proposal = (113.0, 20.0, 363.0, 232.0)  # 250 wide, and 1.2 * 250 = 300
    found = RELEASED(proposals(proposal), height=375, width=500)
    np.testing.assert_allclose(found.boxes, [[88, -24, 388, 276]])


def test_squares_never_leave_an_image_padded_by_its_other_side():
    """The release pads by W above and below and by H at the sides (7.2)."""
    height, width = 200, 300
    found = replace(RELEASED, min_side=0)(
        proposals((0, 0, 300, 1), (299, 0, 300, 200), (0, 0, 300, 200)), height=height, width=width
    )
    assert (found.boxes[:, 1] >= -width).all()
    assert (found.boxes[:, 0] >= -height).all()
    assert (found.boxes[:, 3] <= height + width).all()
    assert (found.boxes[:, 2] <= width + height).all()


def test_cut_off_at_the_border_and_what_lies_beside_is_left_out():
    rule = BoxRule(growth=2.0, leave_image=False)
    found = rule(proposals((0, 0, 10, 10), (50, 50, 60, 60), (2, 2, 4, 4)), height=20, width=20)
    np.testing.assert_allclose(found.boxes, [[0, 0, 15, 15], [1, 1, 5, 5]])
    assert len(found.scores) == 2


def test_boxes_of_the_released_cache_have_grown_already():
    rule = replace(RELEASED, growth=1.0, square=False)
    given = proposals((-10, -10, 103, 102), (0, 0, 111.9, 200))
    found = rule(given, height=300, width=300)
    np.testing.assert_array_equal(found.boxes, given.boxes[:1])


def test_fewer_or_no_boxes():
    assert len(PAPER(proposals((0, 0, 5, 5)), height=9, width=9)) == 1
    assert len(PAPER(Proposals.none(), height=9, width=9)) == 0
    assert len(RELEASED(Proposals.none(), height=9, width=9)) == 0


def test_drop_small_has_its_limit_inside():
    given = proposals((0, 0, 10, 20), (0, 0, 20, 9.5), (0, 0, 30, 30))
    np.testing.assert_array_equal(drop_small(given, 10).boxes, given.boxes[[0, 2]])
    assert len(drop_small(given, 0)) == 3


def test_settings_of_the_presets_differ():
    assert PAPER.settings() != RELEASED.settings()
    assert PAPER.settings()["growth"] == RELEASED.settings()["growth"] == 1.2
    assert (PAPER.top, RELEASED.top, RELEASED.min_side) == (50, 50, 112)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"growth": 0.0}, "growth is 0"),
        ({"growth": float("nan")}, "growth is nan"),
        ({"min_side": -1.0}, "min_side is -1"),
        ({"top": 0}, "top is 0"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(SettingsError, match=message):
        BoxRule(**settings)


def padded_crop(image: np.ndarray, box: tuple[int, int, int, int], fill: int) -> np.ndarray:
    """The slow way: pad by more than enough on all sides, then cut."""
    margin = 1 + int(np.abs(box).max()) + max(image.shape[:2])
    pads = [(margin, margin)] * 2 + [(0, 0)] * (image.ndim - 2)
    x1, y1, x2, y2 = (value + margin for value in box)
    return np.pad(image, pads, constant_values=fill)[y1:y2, x1:x2]


@pytest.mark.parametrize("fill", [IMAGE_FILL, LABEL_FILL, 7])
@pytest.mark.parametrize("channels", [(), (3,), (1,)])
def test_crop_equals_padding_first(fill, channels):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (13, 17, *channels), dtype=np.uint8)
    for _ in range(200):
        x1, y1 = (int(v) for v in rng.integers(-30, 30, 2))
        width, height = (int(v) for v in rng.integers(1, 40, 2))
        box = (x1, y1, x1 + width, y1 + height)
        np.testing.assert_array_equal(
            crop_with_padding(image, box, fill), padded_crop(image, box, fill)
        )


def test_crop_is_a_copy():
    image = np.zeros((4, 4, 3), np.uint8)
    crop_with_padding(image, (0, 0, 4, 4), 0)[:] = 9
    assert not image.any()


def test_black_around_photos_and_void_around_labels():
    assert (IMAGE_FILL, LABEL_FILL) == (0, 255)


@pytest.mark.parametrize(
    ("box", "window"),
    [
        ((0.5, -0.5, 2.5, 3.49), (1, 0, 3, 3)),
        ((-1.5, -0.51, 0.4, 0.6), (-1, -1, 0, 1)),
        ((1.1, 1.1, 1.2, 1.2), (1, 1, 2, 2)),
        (np.array([1, 2, 3, 4], np.float32), (1, 2, 3, 4)),
    ],
)
def test_whole_pixels(box, window):
    assert whole_pixels(box) == window


def test_rounding_keeps_a_whole_size_whole_wherever_the_box_is():
    for shift in np.arange(-3, 3, 0.25):
        x1, y1, x2, y2 = whole_pixels((shift, shift, shift + 20, shift + 31))
        assert (x2 - x1, y2 - y1) == (20, 31)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 1), "four finite numbers"),
        ((0, 0, 1, float("nan")), "four finite numbers"),
        ((3, 0, 3, 5), "empty"),
        ((0, 5, 3, 4), "empty"),
    ],
)
def test_bad_box(box, message):
    with pytest.raises(DataError, match=message):
        crop_with_padding(np.zeros((4, 4), np.uint8), box, 0)


def test_bad_image_and_fill():
    with pytest.raises(DataError, match="float32"):
        crop_with_padding(np.zeros((4, 4), np.float32), (0, 0, 2, 2), 0)
    with pytest.raises(DataError, match="shape"):
        crop_with_padding(np.zeros(4, np.uint8), (0, 0, 2, 2), 0)
    with pytest.raises(SettingsError, match="fill is 256"):
        crop_with_padding(np.zeros((4, 4), np.uint8), (0, 0, 2, 2), 256)
