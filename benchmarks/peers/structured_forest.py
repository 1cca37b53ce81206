"""Structured forests (Dollar and Zitnick, ICCV 2013), run by OpenCV with a model file of yours."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.peers.opencv import require_opencv
from upscore.core.images import require_rgb
from upscore.core.json import JSONObject
from upscore.core.labels import RGBImage
from upscore.edges.maps import Map, edge_orientation
from upscore.errors import DataError, NotFoundError


@dataclass(frozen=True)
class StructuredForest:
    """An edge detector, as ``upscore.edges.EdgeDetector`` describes them.

    Attributes:
        model: the file. It is not part of upscore or of OpenCV's packages, and its licence (that
            of Dollar's toolbox) does not allow commercial use: ``model.yml.gz`` from OpenCV's
            repository opencv_extra, ``testdata/cv/ximgproc``, or one made from a model of Dollar's
            MATLAB toolbox with OpenCV's converter script.
    """

    model: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", Path(self.model))

    def __call__(self, image: RGBImage) -> tuple[Map, Map]:
        """Strength (H, W) float32 in [0, 1] and orientation (H, W) float32 in [0, pi).

        Raises:
            MissingExtraError: OpenCV is not installed.
            NotFoundError: there is no model file; says where people get it.
            DataError: the file is not such a model.
        """
        require_rgb(image)
        self._require_file()
        strength = structured_forest_strength(image, self.model)
        return strength, edge_orientation(strength)

    def settings(self) -> JSONObject:
        """With the SHA-256 of the model file.

        Raises:
            NotFoundError: there is none.
        """
        self._require_file()
        digest = hashlib.sha256(self.model.read_bytes()).hexdigest()
        return {"kind": "StructuredForest", "model": digest}

    def _require_file(self) -> None:
        if not self.model.is_file():
            raise NotFoundError(
                f"{self.model}: no such file; a structured forest needs its trained model. Get "
                "model.yml.gz from https://github.com/opencv/opencv_extra (testdata/cv/ximgproc), "
                "or convert a model of Dollar's toolbox (https://github.com/pdollar/edges) with "
                "OpenCV's converter; its licence is non-commercial. LearnedEdges() needs no file"
            )


def structured_forest_strength(image: RGBImage, model: Path) -> Map:
    """Edge strength (H, W) float32 in [0, 1] of OpenCV's structured forest.

    Raises:
        DataError: OpenCV cannot read the model.
        MissingExtraError: OpenCV is not installed.
    """
    cv2 = require_opencv()
    detector = _structured_forest(model)
    try:
        found = detector.detectEdges(np.ascontiguousarray(image).astype(np.float32) / 255)
    except cv2.error as error:
        raise _not_a_model(model, error) from error
    return np.ascontiguousarray(np.clip(found, 0, 1), np.float32)


_FOREST_OPTIONS = (
    "stride",
    "shrinkNumber",
    "patchSize",
    "patchInnerSize",
    "numberOfGradientOrientations",
    "selfsimilarityGridSize",
    "numberOfTrees",
    "numberOfTreesToEvaluate",
)
_FOREST_TREES = ("childs", "featureIds", "thresholds", "edgeBoundaries", "edgeBins")


@lru_cache(maxsize=2)
def _structured_forest(model: Path) -> Any:
    cv2 = require_opencv()
    try:
        # OpenCV itself does not look, and divides by numbers that are not there
        file = cv2.FileStorage(str(model), cv2.FILE_STORAGE_READ)
        if not file.isOpened():
            raise _not_a_model(model, "it cannot be opened")
        options = file.getNode("options")
        missing = [
            f"options.{name}"
            for name in _FOREST_OPTIONS
            if not (options.isMap() and options.getNode(name).isInt())
            or options.getNode(name).real() < 1
        ]
        missing += [name for name in _FOREST_TREES if not file.getNode(name).isSeq()]
        file.release()
        if missing:
            raise _not_a_model(model, f"it lacks {', '.join(missing)}")
        return cv2.ximgproc.createStructuredEdgeDetection(str(model))
    except (cv2.error, SystemError) as error:
        raise _not_a_model(model, error) from error


def _not_a_model(model: Path, reason: object) -> DataError:
    short = " ".join(str(reason).split())[:200]
    return DataError(
        f"{model}: OpenCV cannot use it as a structured forest ({short}); want model.yml.gz from "
        "opencv_extra, complete and unchanged"
    )
