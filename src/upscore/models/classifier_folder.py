"""An image classifier on disk: a model folder, with class names in place of labels and colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from upscore.core.images import InputSpec
from upscore.core.model_folder import CONFIG
from upscore.errors import RunError, SettingsError
from upscore.models.blueprint import blueprint
from upscore.models.checkpoint import (
    CLASSIFICATION,
    fill,
    read_config,
    refusing_damage,
    write_folder,
)
from upscore.models.classifier import IMAGENET_CLASSES, Classifier, create_classifier
from upscore.models.weight_files import SHIPPED


@dataclass(frozen=True)
class SavedClassifier:
    """A classifier in eval mode, float32, on the CPU.

    Attributes:
        classes: the names of its classes; several may have the same one.
        input_spec: how photos are prepared for it.
    """

    model: Classifier
    classes: tuple[str, ...]
    input_spec: InputSpec

    def __post_init__(self) -> None:
        if len(self.classes) != self.model.num_classes:
            raise SettingsError(
                f"the classifier scores {self.model.num_classes} classes, but {len(self.classes)} "
                "names were given"
            )


def imagenet_classes() -> tuple[str, ...]:
    """The names of ILSVRC-2012's 1000 classes, in the order of published classifiers."""
    path = resources.files("upscore") / SHIPPED / "imagenet-classes.txt"
    return tuple(path.read_text(encoding="utf-8").splitlines())


def default_classes(num_classes: int) -> tuple[str, ...]:
    """ImageNet's for 1000 classes, else ``class 0``, ``class 1``, ..."""
    if num_classes == IMAGENET_CLASSES:
        return imagenet_classes()
    return tuple(f"class {index}" for index in range(num_classes))


def save_classifier(
    folder: str | Path,
    model: Classifier,
    *,
    classes: Sequence[str],
    input_spec: InputSpec,
    trained: Mapping[str, Any] | None = None,
) -> None:
    """Write a model folder of a classifier, as :func:`upscore.models.checkpoint.save_model`.

    Args:
        trained: where its weights come from, as `upscore info` prints it.

    Raises:
        SettingsError: another number of names than the classifier has classes.
        OutputError: cannot write.
    """
    saved = SavedClassifier(model, tuple(classes), input_spec)
    with blueprint():
        expected = create_classifier(model.architecture, **model.options).state_dict()
    write_folder(
        Path(folder),
        model,
        expected=expected,
        architecture=model.architecture,
        options=model.options,
        entries={
            "task": CLASSIFICATION,
            "classes": [{"name": name} for name in saved.classes],
            "input_spec": input_spec.to_json(),
            **({} if trained is None else {"trained": dict(trained)}),
        },
    )


def load_classifier_folder(folder: Path) -> SavedClassifier:
    """Read the model folder of a classifier, as strictly as ``load_model`` those of segmenters.

    Raises:
        NotFoundError: no such folder.
        RunError: not a model folder, half-written, damaged, of a network that labels pixels, from a
            newer upscore, or weights that do not fit.
    """
    config = read_config(folder, task=CLASSIFICATION)
    path = folder / CONFIG
    with refusing_damage(path):
        classes = tuple(item["name"] for item in config["classes"])
        if not all(isinstance(name, str) for name in classes):
            raise TypeError("a class name that is no text")
        with blueprint():
            model = create_classifier(config["architecture"], **config["options"])
        saved = SavedClassifier(model, classes, InputSpec.from_json(config["input_spec"]))
    if len(saved.input_spec.mean) != 3:
        raise RunError(f"{path}: damaged, input_spec has {len(saved.input_spec.mean)} channels")
    fill(model, folder, config)
    model.eval()
    return saved
