from __future__ import annotations

import pickle

import numpy as np
import pytest

from upscore.edges.detectors import GradientEdges
from upscore.errors import DataError, SettingsError
from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxesParameters
from upscore.proposals.opencv import edge_boxes_opencv
from upscore.proposals.opencv_edge_boxes import OpenCVEdgeBoxes

SOURCE = OpenCVEdgeBoxes(GradientEdges(), EdgeBoxesParameters(max_boxes=30))


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
        OpenCVEdgeBoxes(GradientEdges(), EdgeBoxesParameters(max_boxes=0))
    with pytest.raises(DataError, match="image"):
        SOURCE(np.zeros((5, 5), np.uint8))
