"""Image classifiers from files of published weights."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from upscore.core.images import InputSpec
from upscore.models.classifier import classifier_from_state
from upscore.models.classifier_folder import SavedClassifier, default_classes
from upscore.models.imagenet_files import read_imagenet_file


def read_classifier(
    path: Path, *, input: str | None = None, classes: Sequence[str] | None = None
) -> SavedClassifier:
    """The classifier whose weights a file holds; its sizes are those of the file.

    Args:
        path: .pth or .safetensors with the keys of torchvision's VGG16 or the package of Lite0, .h5
            of Keras' VGG16 with its top, or VGG16's .caffemodel.
        input: how its weights expect photos, as ``imagenet`` or ``caffe``; None: as its publisher
            prepares them.
        classes: names of its classes; None: ImageNet's where there are 1000.

    Raises:
        SettingsError: an unknown input, or another number of names than of classes.
        RunError: damaged, of no known classifier, or without its last layers.
    """
    file = read_imagenet_file(path, source=str(path))
    model = classifier_from_state(file.state, source=file.source)
    spec = InputSpec.named(input or file.input_name or model.trunk.input_name)
    names = default_classes(model.num_classes) if classes is None else tuple(classes)
    return SavedClassifier(model, names, spec)
