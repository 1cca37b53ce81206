"""Predictions to score: of a network, of the stages of a pipeline, or label maps in a folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.labels import LabelMap, Labels
from upscore.core.limits import MAX_PIXELS
from upscore.data.class_mapping import match_classes
from upscore.data.dataset import DataSet, Sample
from upscore.errors import DataError, NotFoundError, RunError, SettingsError
from upscore.inference.foreign_predictions import PREDICTION_SUFFIXES, read_prediction
from upscore.inference.pipeline.settings import is_pipeline
from upscore.workflows.options import DEFAULTS, SegmenterOptions


@dataclass(frozen=True)
class Predictions:
    """Label maps of images by stage, in the classes of a data set.

    Attributes:
        stages: names; a single network or folder has one stage without a name, "".
        output: the main stage.
        predict: an image with its name, and names of stages -> (H, W) uint8 label maps by stage.
        folder: where results go by default.
        settings: how images are labelled, as JSON values.
        seconds: the time that each stage of a pipeline has taken so far.
    """

    stages: tuple[str, ...]
    output: str
    predict: Callable[[Sample, Sequence[str]], Mapping[str, LabelMap]]
    folder: Path
    settings: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)


def open_predictions(
    path: Path,
    dataset: DataSet,
    *,
    data: Path,
    stages: Sequence[str] | None = None,
    options: SegmenterOptions = DEFAULTS,
) -> Predictions:
    """The predictions of a run folder, a model folder, a pipeline file or a folder of label maps.

    Args:
        path: a folder of label maps holds index PNG, npz or npy files, named as the photos, in it,
            below it, or in its subfolder ``labels`` (as `upscore predict` writes them).
        data: path of ``dataset``, for messages.
        stages: of a pipeline, the stages to score; None for all, () for the output alone.

    Raises:
        SettingsError: stages of something that is no pipeline, or options that do not apply.
        RunError: class names that differ from those of the data set.
        UpscoreError: whatever cannot be loaded.
    """
    if is_pipeline(path):
        return _of_pipeline(path, dataset, data, stages, options)
    if stages is not None:
        raise SettingsError(
            f"--stages {','.join(stages)}: {path} is no pipeline file; leave it out"
        )
    if is_label_folder(path):
        return _of_folder(path, dataset.labels, options.max_pixels)
    segmenter = options.load(path)
    convert = _Conversion.between(segmenter.labels, dataset.labels, run=path, data=data)
    return Predictions(
        ("",),
        "",
        lambda sample, _: {"": convert(segmenter.predict(sample.image))},
        path / "evaluation",
        options.to_dict(),
    )


def _of_pipeline(
    path: Path,
    dataset: DataSet,
    data: Path,
    stages: Sequence[str] | None,
    options: SegmenterOptions,
) -> Predictions:
    pipeline = options.load_pipeline(path, stages)
    names = pipeline.stages if stages is None else stages or (pipeline.output,)
    wanted = tuple(name for name in pipeline.stages if name in names)
    assert pipeline.settings is not None
    convert = {}
    for name in wanted:
        try:
            convert[name] = _Conversion.between(
                pipeline.labels_of(name), dataset.labels, run=path, data=data
            )
        except RunError as error:
            raise RunError(f"stage {name}: {error}") from error
    seconds: dict[str, float] = {}
    runtime = options.to_dict()
    content = pipeline.settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name, used in pipeline.box_settings.items():  # with the settings of the run's training
        content["stages"][name]["instance_wise"] |= used.model_dump(mode="json")

    def predict(sample: Sample, names: Sequence[str]) -> dict[str, LabelMap]:
        found = pipeline.predict_of(sample.image, names, seconds=seconds)
        return {name: convert[name](labels) for name, labels in found.items()}

    return Predictions(
        wanted,
        pipeline.output,
        predict,
        path.with_name(f"{path.stem}-evaluation"),
        {
            "device": runtime["device"],
            "precision": runtime["precision"],
            "pipeline": content,
        },
        seconds,
    )


@dataclass(frozen=True)
class _Conversion:
    """From the class numbers of a network to those of a data set; None where they are equal."""

    table: npt.NDArray[np.uint8] | None

    @classmethod
    def between(cls, of_run: Labels, of_data: Labels, *, run: Path, data: Path) -> _Conversion:
        table = match_classes(of_run, of_data, run=str(run), data=str(data))
        return cls(None if of_run.names == of_data.names else table)

    def __call__(self, labels: LabelMap) -> LabelMap:
        return labels if self.table is None else self.table[labels]


def is_label_folder(path: Path) -> bool:
    """Whether a folder holds label maps, in itself or in its subfolder ``labels``.

    Run folders, model folders and data sets, whose masks are in folders of other names, are none.
    """
    if not path.is_dir() or (path / "config.json").exists() or (path / "manifest.json").exists():
        return False
    if (path / "labels").is_dir():
        return True
    return any(file.suffix.lower() in PREDICTION_SUFFIXES for file in path.iterdir())


def _label_files(path: Path) -> list[Path]:
    root = path / "labels" if (path / "labels").is_dir() else path
    files = (file for file in root.rglob("*") if file.suffix.lower() in PREDICTION_SUFFIXES)
    return sorted(file for file in files if file.is_file())


def _of_folder(path: Path, labels: Labels, max_pixels: int) -> Predictions:
    root = path / "labels" if (path / "labels").is_dir() else path
    by_name: dict[str, list[Path]] = {}
    for file in _label_files(path):
        for key in {file.stem, file.relative_to(root).with_suffix("").as_posix()}:
            by_name.setdefault(key, []).append(file)

    def predict(sample: Sample, _: Sequence[str]) -> dict[str, LabelMap]:
        name = sample.name
        files = by_name.get(name) or by_name.get(name.rsplit("/", 1)[-1], [])
        if len(files) != 1:
            found = "no file" if not files else "several files: " + ", ".join(map(str, files[:3]))
            raise NotFoundError(
                f"{root}: {found} for photo {name!r}; want one label map of that name "
                f"({', '.join(PREDICTION_SUFFIXES)})"
            )
        shape = sample.labels.shape
        return {"": read_label_map(files[0], labels, shape, max_pixels=max_pixels)}

    return Predictions(
        ("",), "", predict, path.with_name(f"{path.name}-evaluation"), {"label_maps": str(path)}
    )


def read_label_map(
    path: Path, labels: Labels, shape: tuple[int, ...], *, max_pixels: int = MAX_PIXELS
) -> LabelMap:
    """A label map of any tool as (H, W) uint8 class indices.

    Args:
        labels: the classes; an npz that names its classes is matched by name, other files hold the
            index of the class in this order.
        shape: (H, W) of the truth.

    Raises:
        NotFoundError, DataError: not readable, of another size, or a value that is no class.
        RunError: an npz of other class names.
    """
    prediction = read_prediction(path, max_pixels=max_pixels)
    if prediction.size != shape:
        raise DataError(
            f"{path}: is {prediction.size[1]}x{prediction.size[0]}, its photo and mask {shape[1]}x"
            f"{shape[0]}; resize it (nearest neighbour) to the photo first"
        )
    array = prediction.array if prediction.is_labels else prediction.array.argmax(axis=0)
    num = len(labels) if prediction.names is None else len(prediction.names)
    if prediction.is_labels or len(prediction.array) != num:
        highest = int(array.max()) if prediction.is_labels else len(prediction.array) - 1
        if highest >= num or (prediction.is_labels and int(array.min()) < 0):
            raise DataError(
                f"{path}: holds class {highest}, but there are {num} classes, 0 to {num - 1}; a "
                "prediction has a class for every pixel, in the order of the data set's classes"
            )
    indices: LabelMap = array.astype(np.uint8)
    if prediction.names is None:
        return indices
    table = match_classes(Labels.of(prediction.names), labels, run=str(path), data="the data set")
    return table[indices]
