"""Files of published ImageNet weights, whoever wrote them, by torchvision's keys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from upscore.models.caffe_files import CAFFEMODEL
from upscore.models.keras_files import KERAS, read_keras_vgg
from upscore.models.layer_files import read_caffe_vgg
from upscore.models.state_dicts import read_weight_file

READERS = {**dict.fromkeys(KERAS, read_keras_vgg), CAFFEMODEL: read_caffe_vgg}
"""Readers of files that are no state dicts, by suffix; their weights expect Caffe's input."""


@dataclass(frozen=True)
class ImageNetFile:
    """Weights as a file has them.

    Attributes:
        state: tensors by torchvision's keys, or by those of another publisher.
        source: file or name for messages, which says it where the file has other keys.
        input_name: the preparation of photos that such files expect; None: that of the network's
            published weights.
    """

    state: Mapping[str, Tensor]
    source: str
    input_name: str | None


def read_imagenet_file(path: Path, *, source: str) -> ImageNetFile:
    """Read a .pth, .safetensors, .h5 or .caffemodel file.

    Args:
        source: file or name for messages.

    Raises:
        MissingExtraError: an .h5 file without h5py.
        RunError: damaged, not finite, or an .h5 or .caffemodel file of another network than VGG16.
    """
    if (suffix := path.suffix.lower()) in READERS:
        state = READERS[suffix](path)
        return ImageNetFile(state, f"{source} (layers by torchvision's keys)", "caffe")
    return ImageNetFile(read_weight_file(path), source, None)
