"""Class names, colours and void."""

from __future__ import annotations

import json

import numpy as np
import pytest

from upscore.core.labels import CAMVID_LABELS, VOC_LABELS, Labels, voc_color
from upscore.errors import SettingsError


def reference_color(label: int) -> tuple[int, int, int]:
    """The loop of the VOC devkit (VOClabelcolormap.m), bit by bit."""
    r = g = b = 0
    c = label
    for i in range(8):
        r |= (c & 1) << (7 - i)
        g |= (c >> 1 & 1) << (7 - i)
        b |= (c >> 2 & 1) << (7 - i)
        c >>= 3
    return r, g, b


def test_voc_palette() -> None:
    assert all(voc_color(i) == reference_color(i) for i in range(256))
    assert voc_color(1) == (128, 0, 0)
    assert voc_color(15) == (192, 128, 128)
    assert voc_color(20) == (0, 64, 128)
    assert voc_color(255) == (224, 224, 192)


def test_known_sets() -> None:
    assert len(VOC_LABELS) == 21
    assert VOC_LABELS.index("person") == 15
    assert len(CAMVID_LABELS) == 11
    assert CAMVID_LABELS.colors[CAMVID_LABELS.index("car")] == (64, 0, 128)


def test_colorize() -> None:
    labels = Labels.of(["a", "b"], [(1, 2, 3), (4, 5, 6)])
    picture = labels.colorize(np.array([[0, 1, 255, 2]], np.uint8))
    assert picture.dtype == np.uint8
    assert picture[0].tolist() == [[1, 2, 3], [4, 5, 6], [224, 224, 192], list(voc_color(2))]


def test_json_round_trip() -> None:
    assert Labels.from_json(json.loads(json.dumps(CAMVID_LABELS.to_json()))) == CAMVID_LABELS


def test_the_most_classes_leave_room_for_void() -> None:
    assert len(Labels.of(f"c{i}" for i in range(255))) == 255
    with pytest.raises(SettingsError, match="1 to 255 classes, this one has 256"):
        Labels.of(f"c{i}" for i in range(256))


@pytest.mark.parametrize(
    ("names", "colors", "message"),
    [
        ([], None, "1 to 255 classes, this one has 0"),
        (["a", "b", "a"], None, "used twice: a"),
        (["a", " "], None, "empty name"),
        (["a"], [(1, 2, 3), (4, 5, 6)], "1 class names but 2 colours"),
        (["a"], [(1, 2, 300)], r"colour of class 'a' is \(1, 2, 300\)"),
        (["a"], [(-1, 2, 3)], "expected three of 0..255"),
    ],
)
def test_bad_sets(names: list[str], colors: list | None, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Labels.of(names, colors)


def test_unknown_name_shows_the_nearest() -> None:
    with pytest.raises(SettingsError, match="no class 'peson'; did you mean 'person'"):
        VOC_LABELS.index("peson")
    with pytest.raises(SettingsError, match="there are a, b"):
        Labels.of(["a", "b"]).index("zzzz")


def test_the_background_is_the_class_of_that_name() -> None:
    assert Labels.of(["sky", "background", "cat"]).background == 1
    assert Labels.of(["background", "cat"]).background == 0
    assert Labels.of(["sky", "Background"]).background is None
