"""Released weights: look into files, fetch known ones, make networks of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscore import __version__
from upscore.core.damage import refuse_pipe
from upscore.core.files import checksum, download, exists, verify
from upscore.core.images import InputSpec
from upscore.core.labels import VOC_LABELS, Labels
from upscore.core.lock import files_in, take_turns
from upscore.core.progress import OnProgress, Progress, ignore_progress
from upscore.core.quoting import quote
from upscore.data.class_files import read_class_table
from upscore.data.lists import read_list
from upscore.errors import NotFoundError, RunError, SettingsError, WorkError
from upscore.models.checkpoint import save_model
from upscore.models.classifier_files import read_classifier
from upscore.models.classifier_folder import save_classifier
from upscore.models.layer_files import read_layer_file
from upscore.models.released import (
    RELEASED,
    find_network,
    load_released,
    looks_like,
)
from upscore.models.released_files import CLASSIFIER, RELEASED_FILES, ReleasedFile, find_released
from upscore.models.weight_files import cache_folder


@dataclass(frozen=True)
class LayerShape:
    """A layer of a file with its arrays."""

    name: str
    type: str
    shapes: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class WeightsShown:
    """What a file of weights holds.

    Attributes:
        file: its path.
        kind: what wrote it.
        sha256: of the file, in hex.
        known: the name of the known file that it is, by its checksum; None if it is none of them.
        looks_like: the networks whose layers it has, by the names of ``--as``; ``vgg16`` is a
            classifier, or only its layers before the classes, from which a training can start.
        numbers: of all arrays together.
        layers: those with weights, in the order of the file.
    """

    file: Path
    kind: str
    sha256: str
    known: str | None
    looks_like: tuple[str, ...]
    numbers: int
    layers: tuple[LayerShape, ...]

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON values."""
        layers = [{**vars(one), "shapes": [*map(list, one.shapes)]} for one in self.layers]
        return {**vars(self), "file": str(self.file), "layers": layers}


@dataclass(frozen=True)
class WeightsResult:
    """A network made of released weights.

    Attributes:
        file: the released file.
        folder: the model folder; None for a classifier that was only fetched.
        network: as in ``--as``; None without a folder.
        classes: names, in the order of the scores.
        origin: where the weights come from, as in config.json.
        upsampling: ``fixed``, ``intermediate`` or ``learned``, None where there is no such choice.
    """

    file: Path
    folder: Path | None
    network: str | None
    classes: tuple[str, ...]
    origin: dict[str, str]
    upsampling: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Every field as JSON values."""
        folder = None if self.folder is None else str(self.folder)
        return {**vars(self), "file": str(self.file), "folder": folder}


def show(file: str | Path) -> WeightsShown:
    """List the layers of a file of weights; its numbers are not copied.

    Raises:
        NotFoundError, SettingsError, RunError: as
            :func:`~upscore.models.layer_files.read_layer_file`.
    """
    path = Path(file)
    if not exists(path) and str(path) in RELEASED_FILES:
        raise NotFoundError(
            f"{path} is a name of `upscore weights list`, and show reads a file; fetch it first: "
            f"upscore weights get {path} --out DIR"
        )
    _require_file(path)
    found = read_layer_file(path)
    layers = [
        LayerShape(name, found.types.get(name, ""), tuple(found.shapes[key] for key in keys))
        for name, keys in found.layers.items()
    ]
    known = _known(path, RELEASED_FILES.values())
    return WeightsShown(
        path,
        found.kind,
        checksum(path, "sha256"),
        None if known is None else known.name,
        tuple(looks_like(found)),
        found.num_values,
        tuple(layers),
    )


def convert(
    file: str | Path, *, network: str, out: str | Path, classes: Path | None = None
) -> WeightsResult:
    """Make a model folder of a released network's file: predict, evaluate and init take it.

    Of VGG16 it is that of a classifier, which classify, heatmap and init take. ``config.json`` has
    the file's name, SHA-256 and licence, and which of the known files it is, if it is one.

    Args:
        network: what the file is: a name in :data:`~upscore.models.released.RELEASED`, or
            ``vgg16``, the classifier.
        out: a folder that is empty or not there.
        classes: a file with a class name a line, in the order of the scores. Without it, a network
            of 21 classes has those of PASCAL VOC, and a classifier of 1000 those of ImageNet.

    Raises:
        SettingsError: no such network, ``out`` is taken, or class names that do not fit.
        NotFoundError, RunError: no such file, damaged, or weights of another network; layers that
            do not fit are named.
        DataError: ``classes`` cannot be read.
        OutputError: cannot write.
    """
    path, out = Path(file), Path(out)
    of_known = None if network == CLASSIFIER else network
    if of_known is not None:
        find_network(of_known)
    _require_free(out)
    _require_file(path)
    known = _known(path, (one for one in RELEASED_FILES.values() if one.network == of_known))
    return _convert(path, network, out, classes, known)


def get(
    name: str,
    *,
    out: str | Path | None = None,
    file: str | Path | None = None,
    on_progress: OnProgress = ignore_progress,
) -> WeightsResult:
    """Fetch a known file and make a model folder of it.

    The file is kept in $UPSCORE_CACHE, by default ~/.cache/upscore. Interrupted downloads resume.

    Args:
        name: a name in :data:`~upscore.models.released_files.RELEASED_FILES`.
        out: the model folder, by default one called ``name`` here. Of a classifier, which is of use
            as it is, one is made only where this is given.
        file: this file in place of a download; its checksum is compared, where one is known.

    Raises:
        SettingsError: no such name, ``out`` is taken, or a file that only a browser can fetch.
        NotFoundError: no such ``file``.
        WorkError: offline, refused by the server, or not the known file.
        RunError: as :func:`convert`.
        OutputError: cannot write.
    """
    known = find_released(name)
    fetch_only = known.network is None and out is None
    folder = Path(out or name)
    if not fetch_only:
        _require_free(folder)
    path = _fetch(known, on_progress) if file is None else _at_hand(known, Path(file))
    try:
        if fetch_only:
            if known.checksum is None:
                _require_vgg(path)
            return WeightsResult(path, None, None, (), _origin(path, known))
        return _convert(path, known.network or CLASSIFIER, folder, None, known)
    except RunError as error:
        if file is None and known.checksum is None:
            path.unlink(missing_ok=True)
            raise WorkError(
                f"{known.address}: what was downloaded is not {known.file} and was removed. {error}"
            ) from error
        raise


def _fetch(known: ReleasedFile, on_progress: OnProgress) -> Path:
    """The known file in the cache."""
    otherwise = f"fetch {known.file} elsewhere and give it with --from FILE"
    if not known.can_be_fetched:
        raise SettingsError(
            f"{known.name} is on {known.address}, which only a browser can fetch; {otherwise}"
        )
    target = cache_folder() / known.file
    with take_turns(target, "a download"):
        return download(
            known.address,
            target,
            expected=known.checksum,
            progress=lambda have, total: on_progress(
                Progress(f"{known.name}: downloading", have, total)
            ),
            otherwise=otherwise,
        )


def _at_hand(known: ReleasedFile, path: Path) -> Path:
    _require_file(path, f"; --from names {known.file}")
    if known.checksum is not None:
        convert_it = f"upscore weights convert {path} --as {known.network or CLASSIFIER} --out DIR"
        verify(
            path,
            known.checksum,
            fix=f"It is not {known.file}; to use it as it is, type: {convert_it}",
        )
    return path


def _require_vgg(path: Path) -> None:
    fits = looks_like(read_layer_file(path))
    if CLASSIFIER not in fits:
        raise RunError(
            f"{path}: not VGG16; it looks like {' or '.join(fits) or 'no known network'}"
        )


def _require_file(path: Path, of: str = "") -> None:
    """``of``: what else to know about the file."""
    if path.is_dir():
        raise SettingsError(
            f"{path}: is a folder, and a file of weights is needed{of}; what is in a model folder "
            f"prints upscore info {path}"
        )
    refuse_pipe(path, SettingsError)
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file{of}")


def _require_free(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(files_in(out))):
        raise SettingsError(f"{out}: is there already; remove it, or choose another --out")


def _known(path: Path, candidates: Iterable[ReleasedFile]) -> ReleasedFile | None:
    """The known file with the checksum of ``path``."""
    digests: dict[str, str] = {}
    for one in candidates:
        algorithm, _, expected = (one.checksum or "").partition(":")
        if algorithm and algorithm not in digests:
            digests[algorithm] = checksum(path, algorithm)
        if algorithm and digests[algorithm] == expected:
            return one
    return None


def _convert(
    path: Path, network: str, out: Path, classes: Path | None, known: ReleasedFile | None
) -> WeightsResult:
    if network == CLASSIFIER:
        return _convert_classifier(path, out, classes, known)
    file = read_layer_file(path)
    model = load_released(file, network)
    labels = _labels(path, model.num_classes, classes)
    row = RELEASED[network]
    notes = {"note": row.note, "warning": row.warning}
    origin = _origin(path, known) | {key: note for key, note in notes.items() if note}
    save_model(
        out,
        model,
        labels=labels,
        input_spec=InputSpec.named(file.input_name),
        crops=row.crops,
        trained=origin,
    )
    upsampling = model.options.get("upsampling")
    return WeightsResult(path, out, network, labels.names, origin, upsampling)


def _convert_classifier(
    path: Path, out: Path, classes: Path | None, known: ReleasedFile | None
) -> WeightsResult:
    names = None if classes is None else read_list(classes)
    try:
        saved = read_classifier(path, classes=names)
    except SettingsError as error:  # another number of names
        raise SettingsError(f"{classes}: {error}") from error
    origin = _origin(path, known)
    save_classifier(
        out, saved.model, classes=saved.classes, input_spec=saved.input_spec, trained=origin
    )
    return WeightsResult(path, out, CLASSIFIER, saved.classes, origin)


def _origin(path: Path, known: ReleasedFile | None) -> dict[str, str]:
    """What config.json says about the weights."""
    if known is None:
        return {
            "weights": f"{path.name}, not one of the known files",
            "sha256": checksum(path, "sha256"),
            "licence": "unknown: that of the file's authors",
            "converted_by": f"upscore {__version__}",
        }
    checked = "" if known.checksum else ", as was said: no checksum of it is known"
    return {
        "weights": f"{known.name} ({path.name}{checked})",
        "address": known.address,
        "sha256": checksum(path, "sha256"),
        "licence": str(known.licence),
        "converted_by": f"upscore {__version__}",
    }


def _labels(path: Path, num: int, classes: Path | None) -> Labels:
    """Names of the classes. Released files hold none."""
    if classes is None:
        if num == len(VOC_LABELS):
            return VOC_LABELS
        raise SettingsError(
            f"{path}: the number of its classes is {num}, and their names are not in the file; "
            "name them with --classes FILE, one a line, in the order of the scores"
        )
    labels = read_class_table(classes).labels
    if len(labels) != num:
        raise SettingsError(
            f"{classes}: the number of its classes is {len(labels)}, that of {path} is {num}"
        )
    if labels.names == VOC_LABELS.names:
        return VOC_LABELS
    if {*labels.names} == {*VOC_LABELS.names}:
        place, found, want = next(
            (place, found, want)
            for place, (found, want) in enumerate(zip(labels.names, VOC_LABELS.names, strict=True))
            if found != want
        )
        raise SettingsError(
            f"{classes}: has PASCAL VOC's classes in another order: {quote(found)} is number "
            f"{place}, where VOC's masks and the released networks have {quote(want)}; leave "
            "--classes out"
        )
    return labels
