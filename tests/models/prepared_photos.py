"""Photos prepared as torchvision and Caffe document it, written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

RGB = np.ndarray[Any, np.dtype[np.uint8]]

MEAN = np.array([0.485, 0.456, 0.406])
STD = np.array([0.229, 0.224, 0.225])
CAFFE_BLUE_GREEN_RED = np.array([104.00698793, 116.66876762, 122.67891434])


def as_imagenet(photo: RGB) -> Tensor:
    prepared = (photo / 255 - MEAN) / STD
    return torch.from_numpy(prepared.transpose(2, 0, 1)[None].copy()).float()


def as_caffe(photo: RGB) -> Tensor:
    prepared = photo[:, :, [2, 1, 0]] - CAFFE_BLUE_GREEN_RED
    return torch.from_numpy(prepared.transpose(2, 0, 1)[None].copy()).float()


PREPARED: dict[str, Callable[[RGB], Tensor]] = {"imagenet": as_imagenet, "caffe": as_caffe}


def photo(kind: str, height: int = 70, width: int = 93) -> RGB:
    if kind == "red":
        return np.broadcast_to(np.array([255, 0, 0], np.uint8), (height, width, 3)).copy()
    rng = np.random.default_rng({"random": 0, "other": 1}[kind])
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
