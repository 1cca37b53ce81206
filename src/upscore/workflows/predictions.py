"""Predictions to score: from a network, from a pipeline's stages, or label maps in a folder."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from upscore.core.labels import VOID, LabelMap, Labels
from upscore.core.limits import MAX_PIXELS
from upscore.core.model_folder import holds_model, is_network_folder, is_pipeline, require_source
from upscore.core.photo_values import AS_STORED, PhotoValues
from upscore.core.quoting import join
from upscore.core.run_folder import told_guess
from upscore.data.class_mapping import match_classes
from upscore.data.dataset import DataSet, Sample, Split
from upscore.data.guess import VOID_NAME
from upscore.errors import DataError, NotFoundError, RunError, SettingsError
from upscore.inference.foreign_predictions import PREDICTION_SUFFIXES, read_prediction
from upscore.inference.inputs import name_below
from upscore.inference.run_model import read_labels
from upscore.inference.trained_photos import trained_photos
from upscore.workflows.options import DEFAULTS, SegmenterOptions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predictions:
    """Label maps of images by stage, in the classes of a data set.

    Attributes:
        stages: names; a single network or folder has one stage without a name, "".
        output: the main stage.
        predict: an image with its name, and names of stages -> (H, W) uint8 label maps by stage.
        folder: the default output folder.
        settings: how images are segmented, as JSON values.
        seconds: time of each stage of a pipeline so far.
        photos: how values of photos became 8-bit RGB when the network was trained.
    """

    stages: tuple[str, ...]
    output: str
    predict: Callable[[Sample, Sequence[str]], Mapping[str, LabelMap]]
    folder: Path
    settings: dict[str, Any]
    seconds: dict[str, float] = field(default_factory=dict)
    photos: PhotoValues = AS_STORED

    def photos_of(self, split: Split) -> Split:
        """The split, with its photos read in the same way as the training photos."""
        return replace(split, photo_values=self.photos.or_else(split.photo_values))


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
        path: a folder of label maps contains index PNG, npz or npy files with the names of the
            photos, directly, in its subfolder ``labels`` (as `upscore predict` writes them), or in
            subfolders of these.
        data: path of ``dataset``, for messages.
        stages: stages of a pipeline to score; None for all, () for the output only.

    Raises:
        SettingsError: stages without a pipeline, or options that do not apply.
        RunError: class names differ from those of the data set.
        UpscoreError: something cannot be loaded.
    """
    if is_pipeline(path):
        return _of_pipeline(path, dataset, data, stages, options)
    if stages is not None:
        raise SettingsError(
            f"--stages {','.join(stages)}: {path} is not a pipeline file; leave it out"
        )
    if is_label_folder(path):
        return _of_folder(path, dataset, options)
    require_source(path)
    if path.is_file() and not holds_model(path):
        hint = ""
        if path.suffix.lower() in PREDICTION_SUFFIXES:
            hint = f"; name the folder of this label map: {path.parent}"
        raise RunError(
            f"{path}: is a file; expected a folder of label maps, a run folder, or a pipeline file "
            f"(.yaml){hint}"
        )
    if not holds_model(path):
        raise RunError(
            f"{path}: neither a run folder (no manifest.json in it), nor a model folder (no "
            f"config.json), nor a folder of label maps (no {', '.join(PREDICTION_SUFFIXES)} files "
            "in it, no subfolder 'labels'); name the folder given to `upscore train --out`, or the "
            "one that holds the label maps"
        )
    segmenter = options.load(path)
    table = match_run(path, segmenter.labels, dataset, data=data)
    return Predictions(
        ("",),
        "",
        lambda sample, _: {"": table[segmenter.predict(sample.image)]},
        # a network of the package has no folder of the user's
        path / "evaluation" if is_network_folder(path) else Path(f"{path}-evaluation"),
        options.to_dict(),
        photos=trained_photos(path),
    )


def match_run(run: Path, labels: Labels, dataset: DataSet, *, data: Path) -> npt.NDArray[np.uint8]:
    """The table of :func:`match_classes` for a run.

    If the names in the run were guessed from mask values, and the data set has other names for the
    same values, the values count, which is told.

    Raises:
        RunError: as :func:`match_classes`.
    """
    if not _are_renamed(run, labels, dataset):
        return match_classes(labels, dataset.labels, run=str(run), data=str(data))
    names = zip(labels.names, dataset.labels.names, strict=True)
    logger.info(
        "%s: its class names were guessed, and %s names the same mask values: %s",
        run,
        data,
        join(f"{old} is {new}" for old, new in names),
    )
    return np.arange(len(labels), dtype=np.uint8)


def _are_renamed(path: Path, labels: Labels, dataset: DataSet) -> bool:
    """Whether a run's class names were guessed, and the data set has others for the same values."""
    guess, values = told_guess(path), dataset.table.values
    if guess is None or values is None or len(labels) != len(dataset.labels):
        return False
    if set(labels.names) == set(dataset.labels.names):
        return False
    numbers = {VOID_NAME: VOID, **{name: i for i, name in enumerate(labels.names)}}
    return all(values.get(int(value)) == numbers.get(name) for value, name in guess.items())


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
    tables = {}
    for name in wanted:
        try:
            tables[name] = match_classes(
                pipeline.labels_of(name), dataset.labels, run=str(path), data=str(data)
            )
        except RunError as error:
            raise RunError(f"stage {name}: {error}") from error
    seconds: dict[str, float] = {}
    content = pipeline.settings.model_dump(mode="json", by_alias=True, exclude_none=True)
    for name, used in pipeline.box_settings.items():  # with the settings of the run's training
        content["stages"][name]["instance_wise"] |= used.model_dump(mode="json")

    def predict(sample: Sample, names: Sequence[str]) -> dict[str, LabelMap]:
        found = pipeline.predict_of(sample.image, names, seconds=seconds)
        return {name: tables[name][labels] for name, labels in found.items()}

    used_options = options.to_dict()
    settings = {key: used_options[key] for key in ("device", "precision")}
    folder = path.with_name(f"{path.stem}-evaluation")
    return Predictions(
        wanted,
        pipeline.output,
        predict,
        folder,
        settings | {"pipeline": content},
        seconds,
        trained_photos(path, pipeline.stages),
    )


def require_same_classes(path: Path, dataset: DataSet, *, data: Path) -> None:
    """Raise RunError where a network has other classes than a data set, without opening it."""
    if holds_model(path) and not is_label_folder(path):
        labels = read_labels(path)
        if not _are_renamed(path, labels, dataset):
            match_classes(labels, dataset.labels, run=str(path), data=str(data))


def is_label_folder(path: Path) -> bool:
    """Whether a folder contains label maps, directly or in its subfolder ``labels``.

    False for run folders and model folders.
    """
    if not path.is_dir() or is_network_folder(path):
        return False
    if (path / "labels").is_dir():
        return True
    return any(file.suffix.lower() in PREDICTION_SUFFIXES for file in path.iterdir())


def _of_folder(path: Path, dataset: DataSet, options: SegmenterOptions) -> Predictions:
    names = ("tile", "flip", "scales", "crf")
    given = [name for name in names if getattr(options, name) != getattr(DEFAULTS, name)]
    if given:
        raise SettingsError(
            f"--{', --'.join(given)}: for networks, but {path} is a folder of label maps; leave it "
            "out (`upscore refine` applies a CRF to label maps)"
        )
    root = path / "labels" if (path / "labels").is_dir() else path
    by_name: dict[str, list[Path]] = {}
    by_stem: dict[str, list[Path]] = {}
    for file in sorted(root.rglob("*")):
        if file.suffix.lower() in PREDICTION_SUFFIXES and file.is_file():
            by_name.setdefault(name_below(file, root), []).append(file)
            by_stem.setdefault(file.stem, []).append(file)
    stems: dict[str, str] = {}
    ambiguous: set[str] = set()  # file names of several photos of a split, in different folders
    for pairs in dataset.splits.values():
        stems |= {pair.name: pair.image.stem for pair in pairs}
        counts = Counter(pair.image.stem for pair in pairs)
        ambiguous.update(stem for stem, count in counts.items() if count > 1)

    def predict(sample: Sample, _: Sequence[str]) -> dict[str, LabelMap]:
        name, stem = sample.name, stems[sample.name]
        files = by_name.get(name) or ([] if stem in ambiguous else by_stem.get(stem, []))
        if len(files) != 1:
            found = "no file" if not files else "several files: " + ", ".join(map(str, files[:3]))
            raise NotFoundError(
                f"{root}: {found} for photo {name!r}; expected one label map of that name "
                f"({', '.join(PREDICTION_SUFFIXES)})"
            )
        shape = sample.labels.shape
        return {"": read_label_map(files[0], dataset.labels, shape, max_pixels=options.max_pixels)}

    beside = path if path.name not in ("", "..") else path.resolve()
    return Predictions(
        ("",),
        "",
        predict,
        beside.with_name(f"{beside.name}-evaluation"),
        {"label_maps": str(path)},
    )


def read_label_map(
    path: Path, labels: Labels, shape: tuple[int, ...], *, max_pixels: int = MAX_PIXELS
) -> LabelMap:
    """A label map from any tool as (H, W) uint8 class indices.

    Args:
        labels: the classes; an npz with class names is matched by name, other files contain
            indices in this order.
        shape: (H, W) of the ground truth.

    Raises:
        NotFoundError, DataError: not readable, of another size, or with a value that is not a
            class.
        RunError: an npz with other class names.
    """
    prediction = read_prediction(path, max_pixels=max_pixels)
    prediction.require_size(path, shape)
    num = len(labels) if prediction.names is None else len(prediction.names)
    array = prediction.array
    if prediction.is_labels:
        wrong = array[(array < 0) | (array >= num)]  # void too: a prediction has none
        if wrong.size:
            fix = ""
            if VOID in wrong:
                fix = (
                    "; 255 (void) is only for ground truth masks: give such pixels a class before "
                    "you save the file, for example background: labels[labels == 255] = 0"
                )
            raise DataError(
                f"{path}: holds class {wrong.max()}, but there are {num} classes, 0 to {num - 1}; "
                "a prediction has a class for every pixel, in the order of the data set's classes"
                f"{fix}"
            )
    else:
        if len(array) != num:
            raise DataError(
                f"{path}: has probabilities of {len(array)} classes, but there are {num} classes; "
                "expected one map for each class, in the order of the data set's classes"
            )
        if np.isnan(array).any():
            raise DataError(f"{path}: holds NaN; expected a probability for every pixel and class")
        array = array.argmax(axis=0)
    indices: LabelMap = array.astype(np.uint8)
    if prediction.names is None:
        return indices
    table = match_classes(Labels.of(prediction.names), labels, run=str(path), data="the data set")
    return table[indices]
