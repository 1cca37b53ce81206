"""``upscore weights``: released weights of the papers and of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import OptionalDir, OptionalFile
from upscore.cli.progress import ProgressDisplay
from upscore.core.model_folder import CONFIG
from upscore.core.tables import Table
from upscore.models.released_files import CLASSIFIER, RELEASED_FILES, ReleasedFile, find_released

if TYPE_CHECKING:
    from upscore.workflows.weights import WeightsResult


def list_() -> None:
    """List the files of released weights that are known, and the networks they become."""
    files = [*RELEASED_FILES.values()]
    keep_result({"files": [{**vars(one), "licence": str(one.licence)} for one in files]})
    rows: list[tuple[Any, ...]] = [
        (
            one.name,
            one.network or CLASSIFIER,
            one.megabytes,
            "yes" if one.checksum else "no",
            "yes" if one.can_be_fetched else "in a browser",
            one.licence.name,
        )
        for one in files
    ]
    console.print(Table(("name", "--as", "MB", "checksum", "get", "licence"), rows).screen())
    console.print("Not one of these addresses was tried by upscore's authors; some may be gone.")
    console.print("Next: upscore weights get NAME, or upscore weights get NAME --from FILE")


def get(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    /,
    *,
    out: OptionalDir = None,
    from_: Annotated[Path | None, arg(name="from", metavar="FILE")] = None,
) -> None:
    """Fetch released weights and make a network of them; the licence is shown first.

    An interrupted download resumes where it stopped. The file is kept in ~/.cache/upscore, or in
    $UPSCORE_CACHE.

    Args:
        name: One of `upscore weights list`.
        out: Output folder, a model folder; by default NAME in the current folder, and none of a
            classifier, whose file is of use as it is.
        from_: Use this file instead of downloading it.
    """
    known = find_released(name)
    for line in _described(known):
        console.print(line)
    from upscore.workflows.weights import get as get_weights

    with ProgressDisplay() as on_progress:
        result = get_weights(name, out=out, file=from_, on_progress=on_progress)
    keep_result(result)
    _print_result(result)


def convert(
    file: Annotated[Positional[Path], arg(metavar="FILE")],
    /,
    *,
    as_: Annotated[str, arg(name="as", metavar="NETWORK")],
    out: Annotated[Path, arg(metavar="DIR")],
    classes: OptionalFile = None,
) -> None:
    """Make a network of a file of released weights, for predict, evaluate, pipelines and init.

    Files are .caffemodel, .pth of pytorch-fcn, or of VGG16 also torchvision's .pth and Keras' .h5;
    no code in them is run.

    Args:
        file: The file of weights.
        as_: What it is: fcn32s, fcn16s, fcn8s, fcn8s-atonce, fcn8s-cvpr (that of CVPR 2015),
            deeplab-largefov, deconvnet (the released model for inference), deconvnet-train (results
            of its two trainings), or vgg16 (a classifier, for classify and heatmap).
        out: Output folder, a model folder.
        classes: File with a class name a line, in the order of the scores; not needed for the 21
            of PASCAL VOC and the 1000 of ImageNet.
    """
    from upscore.workflows.weights import convert as convert_weights

    result = convert_weights(file, network=as_, out=out, classes=classes)
    keep_result(result)
    _print_result(result)


def show(file: Annotated[Positional[Path], arg(metavar="FILE")], /) -> None:
    """List the layers of a file of weights with their shapes, and what it looks like.

    Args:
        file: A .caffemodel, .pth, .safetensors or .h5 file.
    """
    from upscore.workflows.weights import show as show_weights

    result = show_weights(file)
    keep_result(result)
    rows: list[tuple[Any, ...]] = [
        (one.name, one.type, ", ".join("x".join(map(str, shape or (1,))) for shape in one.shapes))
        for one in result.layers
    ]
    if rows:
        console.print(Table(("layer", "type", "weights"), rows).screen())
    console.print(f"{file}: {result.kind}, {len(rows)} layers, {result.numbers:,} numbers")
    console.print(f"sha256 {result.sha256}")
    console.print(f"known as: {result.known or 'none of `upscore weights list`'}")
    if (file.parent / CONFIG).exists():
        console.print(f"a network of upscore: upscore info {file.parent}")
        return
    looks = " or ".join(result.looks_like)
    console.print(f"looks like: {looks or 'no network that is known'}")
    if CLASSIFIER in result.looks_like:
        has_classes = any(one.name == "fc8" for one in result.layers)
        _print_uses_of_classifier(file, classes=has_classes)
        return
    if len(result.looks_like) > 1:
        console.print("They have the same layers: only its publisher can say which one it is.")
    for count, name in enumerate(result.looks_like):
        word = "or" if count else "Next:"
        console.print(f"{word} upscore weights convert {file} --as {name} --out DIR")


def _described(known: ReleasedFile) -> list[str]:
    size = "size unknown" if known.megabytes is None else f"about {known.megabytes} MB"
    check = "no checksum is known" if known.checksum is None else known.checksum
    note = f" ({known.note})" if known.note else ""
    return [
        f"Licence of {known.name}: {known.licence}",
        f"{known.file}, {size}, {check}{note}",
        f"from {known.address}",
    ]


def _print_result(result: WeightsResult) -> None:
    if result.folder is None:
        console.print(f"{result.file}: a classifier of photos, from which a training can start.")
        _print_uses_of_classifier(result.file)
        return
    classes = f"{len(result.classes)} classes, {result.classes[0]} to {result.classes[-1]}"
    console.print(f"{result.folder}: {result.network} of {result.file.name}, {classes}")
    if result.upsampling in ("intermediate", "learned"):
        which = "All" if result.upsampling == "learned" else "All but the last"
        console.print(f"{which} of its upsampling layers are learned ones, as in the file.")
    for key in ("weights", "licence", "note", "warning"):
        if key in result.origin:
            console.print(f"{key}: {result.origin[key]}")
    if result.network == CLASSIFIER:
        console.print(f"Next: upscore classify PHOTO --model {result.folder}")
    elif "warning" in result.origin:
        console.print(
            "Next: upscore train deconvnet-stage2 --data PHOTOS --set "
            f"init.weights={result.folder} crops.store=BOXES"
        )
    else:
        console.print(f"Next: upscore predict {result.folder} PHOTO")


def _print_uses_of_classifier(file: Path, *, classes: bool = True) -> None:
    console.print(f"Next: upscore train fcn32s --data PHOTOS --set init.weights={file}")
    if classes:
        console.print(f"or, with its classes: upscore classify PHOTO --model {file}")
