"""OpenCV's structured forest, and what its model file must be."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import write_edges
from benchmarks.peers.structured_forest import StructuredForest
from upscore.core.images import read_image
from upscore.edges.benchmark.files import find_edge_map, read_edge_map
from upscore.edges.maps import require_strength
from upscore.errors import DataError, MissingExtraError, NotFoundError


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
    monkeypatch.setitem(sys.modules, "cv2", None)
    path = tmp_path / "model.yml"
    path.write_text("x")
    with pytest.raises(MissingExtraError, match=r"upscore\[opencv\]"):
        StructuredForest(path)(np.zeros((20, 20, 3), np.uint8))


def test_edge_maps_that_upscore_reads(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    model = tmp_path / "model.yml.gz"
    _write_forest(model)
    (tmp_path / "photos").mkdir()
    photo = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "photos" / "a.png"), photo)
    options = ["--model", model, "--images", tmp_path / "photos", "--out", tmp_path / "maps"]
    write_edges.main([str(option) for option in options])
    written = read_edge_map(find_edge_map(tmp_path / "maps", "a"))
    expected, _ = StructuredForest(model)(read_image(tmp_path / "photos" / "a.png"))
    np.testing.assert_array_equal(written, expected)
