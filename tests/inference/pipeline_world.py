"""Two small runs, boxes and pipeline files, for the tests of pipelines."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import yaml

from evaluation.small_world import NAMES, make_network
from upscore.core.labels import RGBImage
from upscore.proposals.base import Proposals, image_key
from upscore.proposals.store import StoredPhoto, write_store

EDGE_BOXES = {"source": "edge-boxes", "edges": "gradient", "min_box_area": 60, "max_boxes": 30}

SIZE = [32, 32]


class FixedBoxes:
    """Boxes by the photo's size, and how often they were asked for."""

    def __init__(self, *shares: tuple[float, float, float, float]) -> None:
        self.shares = shares
        self.calls = 0

    def settings(self):
        return {"kind": "FixedBoxes"}

    def __call__(self, image, *, name=""):  # noqa: ARG002
        self.calls += 1
        height, width, _ = image.shape
        boxes = np.array(self.shares).reshape(-1, 4) * [width, height, width, height]
        return Proposals(boxes.astype(np.float32), np.linspace(1, 0, len(boxes)))


FOUR = ((0.1, 0.2, 0.6, 0.8), (0.4, 0.0, 1.0, 0.5), (0.0, 0.5, 0.5, 1.0), (0.3, 0.3, 0.7, 0.7))


def make_store(path: Path, photos: dict[str, RGBImage], *, settings: dict | None = None) -> Path:
    """A store of :data:`FOUR` boxes a photo."""
    source = FixedBoxes(*FOUR)
    with write_store(path, settings=settings or source.settings(), data={}) as writer:
        for name, image in photos.items():
            found = source(image)
            writer.add(StoredPhoto(name, image_key(image), image.shape[:2], len(found)), found)
    return path


def make_runs(folder: Path, names: tuple[str, ...] = NAMES) -> None:
    """``runs/fcn`` and ``runs/deconvnet``, the second with a recipe of 32 x 32 crops."""
    make_network(folder / "runs" / "fcn", names, seed=3)
    run = make_network(folder / "runs" / "deconvnet", names, seed=4)
    (run / "recipe.yaml").write_text(json.dumps({"augment": {"crop": SIZE}}))


def stages(**proposals: object) -> dict:
    """FCN, DeconvNet and both, each with and without a CRF, in an order from the end."""
    return {
        "both-crf": {"refine": {"of": "both", "crf": "crf.yaml"}},
        "both": {"ensemble": {"of": ["fcn", "deconvnet"]}},
        "deconvnet-crf": {"refine": {"of": "deconvnet", "crf": "crf.yaml"}},
        "fcn-crf": {"refine": {"of": "fcn", "crf": "crf.yaml"}},
        "deconvnet": {
            "instance_wise": {
                "run": "runs/deconvnet",
                "top": 3,
                "batch": 2,
                "proposals": proposals or EDGE_BOXES,
            }
        },
        "fcn": {"whole_image": {"run": "runs/fcn"}},
    }


def write(path: Path, content: object) -> Path:
    """A pipeline file, and beside it the CRF settings that :func:`stages` names."""
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    crf = {"gaussian": {"sxy": 2, "weight": 2}, "bilateral": {"sxy": 9, "srgb": 9, "weight": 3}}
    (path.parent / "crf.yaml").write_text(yaml.safe_dump({**crf, "iterations": 3}))
    return path


def make_pipeline(folder: Path, *, answer: str = "both-crf", **proposals: object) -> Path:
    """``folder/pipeline.yaml`` of :func:`stages`, and its runs where they are not there."""
    if not (folder / "runs").exists():
        make_runs(folder)
    return write(folder / "pipeline.yaml", {"answer": answer, "stages": stages(**proposals)})
