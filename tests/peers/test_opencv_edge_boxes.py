"""OpenCV's port of EdgeBoxes, and how far ours agrees with it."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.peers.edge_boxes import OpenCVEdgeBoxes, edge_boxes_opencv
from proposals.edge_maps import blobs
from upscore.core.boxes import iou_matrix
from upscore.edges.detectors import GradientEdges
from upscore.errors import DataError, MissingExtraError, SettingsError
from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

SOURCE = OpenCVEdgeBoxes(GradientEdges(), max_boxes=30)
OURS = EdgeBoxes(GradientEdges(), threads=1)


@pytest.fixture
def image() -> np.ndarray:
    pixels = np.full((90, 120, 3), 30, np.uint8)
    pixels[20:70, 30:90] = (230, 200, 40)
    return pixels


def test_boxes_are_those_of_the_function(image):
    pytest.importorskip("cv2")
    found = SOURCE(image, name="any")
    assert 0 < len(found) <= 30
    expected = edge_boxes_opencv(*GradientEdges()(image), max_boxes=30)
    np.testing.assert_array_equal(found.boxes, expected.boxes)


def test_it_pickles_and_has_all_settings():
    again = pickle.loads(pickle.dumps(SOURCE))
    settings = again.settings()
    assert settings == SOURCE.settings()
    assert settings["kind"] == "OpenCVEdgeBoxes"
    assert settings["edges"]["kind"] == "GradientEdges"
    assert (settings["max_boxes"], settings["beta"]) == (30, 0.75)


def test_bad_input():
    with pytest.raises(SettingsError, match="max_boxes is 0"):
        OpenCVEdgeBoxes(GradientEdges(), max_boxes=0)
    with pytest.raises(DataError, match="image"):
        SOURCE(np.zeros((5, 5), np.uint8))


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"upscore\[opencv\]"):
        edge_boxes_opencv(np.zeros((20, 20), np.float32))


def test_opencv_finds_nothing_in_an_empty_map() -> None:
    pytest.importorskip("cv2")
    assert len(edge_boxes_opencv(np.zeros((60, 60), np.float32))) == 0
    assert len(edge_boxes_opencv(np.zeros((2, 60), np.float32))) == 0
    with pytest.raises(SettingsError, match="alpha"):
        edge_boxes_opencv(np.zeros((60, 60), np.float32), alpha=2.0)


def _agreement(strength, orientation) -> float:
    """The share of OpenCV's first 100 boxes that ours has among its first 150."""
    ours = OURS.from_edges(strength, orientation).top(150)
    theirs = edge_boxes_opencv(strength, orientation).top(100)
    assert len(theirs) == 100
    return float((iou_matrix(theirs.boxes, ours.boxes).max(axis=1) >= 0.9).mean())


def test_agrees_with_opencv() -> None:
    pytest.importorskip("cv2")
    strength, orientation = blobs(200, 260, 0)
    # paths that leave the box and come back are more frequent here than in photos
    assert _agreement(strength, orientation) >= 0.9


@pytest.mark.real
def test_agrees_with_opencv_on_photos(real_data: Path) -> None:
    pytest.importorskip("cv2")
    photos = sorted((real_data / "bsds500" / "val").glob("*.jpg"))[:3]
    if not photos:
        pytest.skip(f"no photos in {real_data / 'bsds500' / 'val'}")
    shares = []
    for photo in photos:
        strength, orientation = GradientEdges()(np.asarray(Image.open(photo).convert("RGB")))
        shares.append(_agreement(strength, orientation))
    assert np.mean(shares) >= 0.95
