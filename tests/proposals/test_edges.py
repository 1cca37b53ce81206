"""Edge detectors without a network."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from upscore.edges.detectors import FromArray, GradientEdges, StructuredForest
from upscore.edges.maps import edge_orientation, require_orientation, require_strength
from upscore.errors import DataError, MissingExtraError, NotFoundError, SettingsError


def halves(colours: tuple[tuple[int, int, int], tuple[int, int, int]], axis: int) -> np.ndarray:
    image = np.empty((40, 50, 3), np.uint8)
    image[:] = colours[0]
    image[(slice(20, None), slice(None)) if axis == 0 else (slice(None), slice(25, None))] = (
        colours[1]
    )
    return image


@pytest.mark.parametrize(("axis", "normal"), [(0, np.pi / 2), (1, 0.0)])
@pytest.mark.parametrize(
    "colours",
    [((0, 0, 0), (255, 255, 255)), ((200, 80, 20), (80, 200, 20))],  # one of equal brightness
)
def test_gradient_finds_a_straight_edge(colours, axis: int, normal: float) -> None:
    strength, orientation = GradientEdges()(halves(colours, axis))
    assert strength.dtype == orientation.dtype == np.float32
    profile = strength.mean(axis=1 - axis)
    assert abs(int(profile.argmax()) - (19.5, 24.5)[axis]) <= 0.5
    assert profile.max() > 0.9
    assert profile[:4].max() < 0.1
    off = abs(orientation[20, 25] - normal)
    assert min(off, np.pi - off) < 1e-3


def test_gradient_of_noise_keeps_its_ranges() -> None:
    image = np.random.default_rng(0).integers(0, 255, (33, 47, 3)).astype(np.uint8)
    strength, orientation = GradientEdges()(image)
    require_orientation(orientation, require_strength(strength).shape)
    assert (orientation < np.pi).all()
    assert 0.05 < strength.mean() < 0.8


def test_one_colour_has_no_edge() -> None:
    assert GradientEdges()(np.full((20, 30, 3), 9, np.uint8))[0].max() == 0


def test_faint_noise_is_not_blown_up() -> None:
    image = np.full((60, 60, 3), 100, np.uint8)
    image[30, 30] += 1
    assert GradientEdges()(image)[0].max() < 0.3


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5, 3), (2, 2, 3)])
def test_gradient_of_few_pixels(shape: tuple[int, ...]) -> None:
    strength, orientation = GradientEdges()(np.zeros(shape, np.uint8))
    assert strength.shape == orientation.shape == shape[:2]


@pytest.mark.parametrize("scales", [(), (0.0,), (1.0, float("nan")), (100.0,)])
def test_bad_scales(scales: tuple[float, ...]) -> None:
    with pytest.raises(SettingsError, match="scales"):
        GradientEdges(scales)


@pytest.mark.parametrize("detector", [GradientEdges(), FromArray(np.zeros((9, 9), np.float32))])
def test_bad_images(detector) -> None:
    with pytest.raises(DataError, match="uint8"):
        detector(np.zeros((9, 9, 3), np.float32))


def test_settings_and_pickles() -> None:
    detector = pickle.loads(pickle.dumps(GradientEdges((1, 3))))
    assert detector.settings() == {"kind": "GradientEdges", "scales": [1.0, 3.0]}


def test_from_array_gives_what_it_got() -> None:
    strength = np.random.default_rng(0).random((9, 11)).astype(np.float32)
    image = np.zeros((9, 11, 3), np.uint8)
    found = FromArray(strength)(image)
    np.testing.assert_array_equal(found[0], strength)
    np.testing.assert_array_equal(found[1], edge_orientation(strength))
    orientation = np.full_like(strength, 1.5)
    given = FromArray(strength, orientation)
    np.testing.assert_array_equal(given(image)[1], orientation)
    assert given.settings() != FromArray(strength).settings()
    assert given.settings() == pickle.loads(pickle.dumps(given)).settings()
    with pytest.raises(DataError, match="edges of one image"):
        given(np.zeros((11, 9, 3), np.uint8))
    with pytest.raises(DataError, match="NaN"):
        FromArray(strength, np.full_like(strength, np.nan))


def test_structured_forest_without_its_model(tmp_path: Path) -> None:
    forest = StructuredForest(tmp_path / "model.yml.gz")
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(NotFoundError, match=r"opencv_extra.*non-commercial"):
        forest(image)
    with pytest.raises(NotFoundError, match="opencv_extra"):
        forest.settings()


def _write_forest(path: Path) -> None:
    """One tree that is one leaf: the same edges everywhere."""
    import cv2

    options = {
        "stride": 2, "shrinkNumber": 2, "patchSize": 32, "patchInnerSize": 16,
        "numberOfGradientOrientations": 4, "gradientSmoothingRadius": 0,
        "regFeatureSmoothingRadius": 2, "ssFeatureSmoothingRadius": 8,
        "gradientNormalizationRadius": 4, "selfsimilarityGridSize": 5, "numberOfTrees": 1,
        "numberOfTreesToEvaluate": 1,
    }  # fmt: skip
    file = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    file.startWriteStruct("options", cv2.FILE_NODE_MAP)
    for name, value in options.items():
        file.write(name, value)
    file.endWriteStruct()
    leaf = {"childs": [0], "featureIds": [0], "edgeBoundaries": [0, 1], "edgeBins": [100]}
    for name, values in leaf.items():
        file.startWriteStruct(name, cv2.FILE_NODE_SEQ)
        file.startWriteStruct("", cv2.FILE_NODE_SEQ)
        for value in values:
            file.write("", value)
        file.endWriteStruct()
        file.endWriteStruct()
    file.startWriteStruct("thresholds", cv2.FILE_NODE_SEQ)
    file.startWriteStruct("", cv2.FILE_NODE_SEQ)
    file.write("", 0.0)
    file.endWriteStruct()
    file.endWriteStruct()
    file.release()


def test_structured_forest(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    path = tmp_path / "model.yml.gz"
    _write_forest(path)
    image = np.random.default_rng(0).integers(0, 255, (64, 80, 3)).astype(np.uint8)
    strength, orientation = StructuredForest(path)(image)
    assert strength.shape == orientation.shape == (64, 80)
    assert require_strength(strength).max() > 0


def test_structured_forest_with_another_file(tmp_path: Path) -> None:
    pytest.importorskip("cv2")
    path = tmp_path / "model.yml"
    path.write_text("%YAML:1.0\n---\nnothing: 1\n")
    forest = StructuredForest(path)
    assert forest.settings()["model"]
    with pytest.raises(DataError, match="cannot use it as a structured forest"):
        forest(np.zeros((20, 20, 3), np.uint8))


def test_without_opencv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from upscore.proposals.opencv import edge_boxes_opencv

    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"upscore\[opencv\]"):
        edge_boxes_opencv(np.zeros((20, 20), np.float32))
    path = tmp_path / "model.yml"
    path.write_text("x")
    with pytest.raises(MissingExtraError, match=r"upscore\[opencv\]"):
        StructuredForest(path)(np.zeros((20, 20, 3), np.uint8))


def test_opencv_finds_nothing_in_an_empty_map() -> None:
    pytest.importorskip("cv2")
    from upscore.proposals.opencv import edge_boxes_opencv

    assert len(edge_boxes_opencv(np.zeros((60, 60), np.float32))) == 0
    assert len(edge_boxes_opencv(np.zeros((2, 60), np.float32))) == 0
    with pytest.raises(SettingsError, match="alpha"):
        edge_boxes_opencv(np.zeros((60, 60), np.float32), alpha=2.0)
