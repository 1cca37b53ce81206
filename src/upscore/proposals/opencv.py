"""All that asks OpenCV: other programs' proposals, to compare ours with (extra ``opencv``)."""

from __future__ import annotations

import ctypes
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.labels import RGBImage
from upscore.edges.maps import (
    Map,
    edge_orientation,
    require_orientation,
    require_strength,
    thin_edges,
)
from upscore.errors import DataError, MissingExtraError
from upscore.proposals.base import Proposals
from upscore.proposals.edge_boxes.edge_boxes import THINNING_RADIUS, EdgeBoxesParameters


def require_opencv() -> Any:
    """The module cv2, with the extra modules of opencv-contrib.

    Raises:
        MissingExtraError: it is not installed, or is a build without them.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError(
            "this needs OpenCV, which is not installed; run: pip install 'upscore[opencv]'"
        ) from error
    if not hasattr(cv2, "ximgproc"):
        raise MissingExtraError(
            "this needs OpenCV's extra modules (cv2.ximgproc), which the installed OpenCV lacks; "
            "run: pip uninstall opencv-python opencv-python-headless, then: "
            "pip install 'upscore[opencv]'"
        )
    return cv2


# -- selective search ----------------------------------------------------------------------------


def selective_search_opencv(
    image: RGBImage, *, fast: bool = True, seed: int = 0
) -> npt.NDArray[np.int32]:
    """Boxes (K, 4) int32 xyxy of an image (H, W, 3) uint8 RGB, in OpenCV's order.

    Regions of a segmentation are merged by likeness; each one that occurs on the way is a box
    (Uijlings et al., IJCV 2013). The order is by the step of the merging times a random number,
    which comes from the C library's ``rand``; so this seeds the whole process.

    Native crashes are known; :class:`upscore.proposals.selective_search.SelectiveSearch` is the
    safe way here.

    Args:
        fast: few colour spaces and measures of likeness; otherwise more of both.
        seed: 0 to 2**31 - 1.

    Raises:
        MissingExtraError: no OpenCV.
    """
    cv2 = require_opencv()
    cv2.setNumThreads(1)
    search = cv2.ximgproc.segmentation.createSelectiveSearchSegmentation()
    search.setBaseImage(np.ascontiguousarray(image[..., ::-1]))  # it reads blue first
    if fast:
        search.switchToSelectiveSearchFast()
    else:
        search.switchToSelectiveSearchQuality()
    library = ctypes.CDLL("ucrtbase" if os.name == "nt" else None)
    library.srand(ctypes.c_uint(seed + 1))  # to GNU's, 0 is the same as 1
    found = np.asarray(search.process(), np.int32).reshape(-1, 4)
    boxes: npt.NDArray[np.int32] = np.concatenate([found[:, :2], found[:, :2] + found[:, 2:]], 1)
    return boxes


# -- EdgeBoxes -----------------------------------------------------------------------------------


def edge_boxes_opencv(
    strength: object, orientation: object = None, *, parameters: EdgeBoxesParameters | None = None,
    **settings: Any,
) -> Proposals:  # fmt: skip
    """Boxes of OpenCV's port of EdgeBoxes, to compare ours with.

    The map is thinned as ours does it, since the port leaves that to the caller. Its boxes are
    moved back by one pixel: it returns MATLAB's counting from 1.

    Args:
        strength: (H, W) of floats in [0, 1].
        orientation: (H, W) of floats in [0, pi), computed where it is None.
        settings: parameters by name, as of ``EdgeBoxes``; or all of them as ``parameters``.

    Raises:
        DataError: NaN, other ranges or shapes.
        MissingExtraError: OpenCV is not installed.
        SettingsError: a parameter that is out of range.
    """
    p = parameters or EdgeBoxesParameters(**settings)
    p.check()
    plain = require_strength(strength)
    if orientation is None:
        normal = edge_orientation(plain)
    else:
        normal = require_orientation(orientation, plain.shape)
    cv2 = require_opencv()
    if min(plain.shape) < 3:  # reads beyond the image
        return Proposals.none()
    # a new object for each image: the port adds group masses of earlier images to new ones
    port = cv2.ximgproc.createEdgeBoxes(
        alpha=p.alpha,
        beta=p.beta,
        eta=p.eta,
        minScore=p.min_score,
        maxBoxes=p.max_boxes,
        edgeMinMag=p.edge_min_magnitude,
        edgeMergeThr=p.edge_merge_threshold,
        clusterMinMag=p.cluster_min_magnitude,
        maxAspectRatio=p.max_aspect_ratio,
        minBoxArea=p.min_box_area,
        gamma=p.gamma,
        kappa=p.kappa,
    )
    found, scores = port.getBoundingBoxes(thin_edges(plain, normal, radius=THINNING_RADIUS), normal)
    if len(found) == 0:
        return Proposals.none()
    corners = np.asarray(found, np.float32).reshape(-1, 4)
    corners[:, :2] -= 1
    corners[:, 2:] += corners[:, :2]
    values = np.asarray(scores, np.float32).ravel()
    return Proposals.sorted(corners, values).top(p.max_boxes)


# -- structured forests --------------------------------------------------------------------------


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
