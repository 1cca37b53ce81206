"""Released networks: a table of layer names for each, and their weights in our networks.

A further network is one row in :data:`RELEASED`. Every layer of a row must be in the file and every
array of the file must have its place; what does not fit is named.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import torch
from torch import Tensor

from upscore.core.choices import unknown_choice
from upscore.core.crop_geometry import CropGeometry
from upscore.core.quoting import join
from upscore.errors import RunError, SettingsError
from upscore.models.base import Network
from upscore.models.blueprint import blueprint
from upscore.models.factory import create_model
from upscore.models.fcn import AT_ONCE_SCALES
from upscore.models.layer_files import LayerFile, without_ones
from upscore.models.layers import bilinear_kernel
from upscore.models.released_files import CLASSIFIER
from upscore.models.vgg import CHANNELS, DEPTHS, FC_WIDTH

Options = Callable[[LayerFile], dict[str, Any]]
"""From the shapes in a file the options of a network."""


@dataclass(frozen=True)
class Released:
    """How the layers of a released network become one of ours.

    Attributes:
        architecture: of ours.
        layers: layers in the file -> paths of our modules with a weight and, where ours have one, a
            bias. Those below ``upsample`` may be bilinear, see :func:`load_released`.
        score: the layer whose outputs are the classes.
        options: of ours.
        sizes: further options, by the shapes in the file.
        aliases: names that layers have in other files -> their names in ``layers``.
        biases: layers below ``upsample`` with a bias, which ours do not have -> the layer in the
            file that is added to their output, and that gets their bias in ours.
        norms: batch norms in the file (scale and shift) -> the layer in the file before each.
        folded: whether the norms have their statistics in scale and shift: then they are merged
            into the layers before them, and ours has none.
        scales: layers that multiply features by a constant -> (the layer in the file that takes
            these features, the constant of ours). Only caffemodels have them.
        crops: the boxes that the network was trained on.
        note: what to know before use.
        warning: why predictions cannot be trusted; commands that predict show it.
    """

    architecture: str
    layers: Mapping[str, str]
    score: str
    options: Mapping[str, Any] = field(default_factory=dict)
    sizes: Options = lambda _: {}
    aliases: Mapping[str, str] = field(default_factory=dict)
    biases: Mapping[str, str] = field(default_factory=dict)
    norms: Mapping[str, str] = field(default_factory=dict)
    folded: bool = False
    scales: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    crops: CropGeometry | None = None
    note: str = ""
    warning: str = ""


def vgg_sizes(file: LayerFile) -> dict[str, Any]:
    """Options for widths of VGG16 that are not the usual ones, and its fc6."""

    def outputs(layer: str) -> int:
        return without_ones(file.shapes[f"{layer}.weight"])[0]

    channels = tuple(outputs(f"conv{stage}_1") for stage in range(1, len(DEPTHS) + 1))
    options: dict[str, Any] = {} if channels == CHANNELS else {"channels": channels}
    if "fc6.weight" in file.shapes:
        width, shape = outputs("fc6"), file.shapes["fc6.weight"]
        kernel = round((prod(shape) / (width * channels[-1])) ** 0.5)
        options |= {} if width == FC_WIDTH else {"fc_width": width}
        options |= {} if kernel == 7 else {"fc_kernel": kernel}
    return options


def deeplab_sizes(file: LayerFile) -> dict[str, Any]:
    """As :func:`vgg_sizes`, without fc6's kernel: the dilation of other kernels is in no file."""
    options = {"fc_width": FC_WIDTH, **vgg_sizes(file)}
    return {key: value for key, value in options.items() if key != "fc_kernel"}


CONVOLUTIONS = tuple(
    f"conv{stage}_{index}"
    for stage, depth in enumerate(DEPTHS, start=1)
    for index in range(1, depth + 1)
)
"""VGG16's, conv1_1 ... conv5_3."""

TRUNK = {name: f"trunk.{name}.conv" for name in (*CONVOLUTIONS, "fc6", "fc7")}
"""VGG16 down to fc7."""

_DECONVOLUTIONS = tuple(
    f"deconv{name.removeprefix('conv')}"
    for stage in (5, 4, 3, 2, 1)
    for name in CONVOLUTIONS
    if name[4] == str(stage)
)
"""deconv5_1 ... deconv1_2."""

_DECONVNET_LAYERS = {
    **TRUNK,
    "fc6-deconv": "fc6_deconv.deconv",
    **{name: f"decoder.{name}.deconv" for name in _DECONVOLUTIONS},
    "seg-score-voc": "seg_score",
}
_DECONVNET_NORMS = {
    **{name.replace("conv", "bn"): name for name in CONVOLUTIONS},
    "bnfc6": "fc6",
    "bnfc7": "fc7",
    "fc6-deconv-bn": "fc6-deconv",
    **{name.replace("deconv", "debn"): name for name in _DECONVOLUTIONS},
}
_DECONVNET_CROPS = CropGeometry(growth=1.2, square=True, leave_image=True, size=(224, 224))


def _fcn(
    architecture: str,
    layers: Mapping[str, str],
    *,
    score: str = "score_fr",
    scales: Mapping[str, tuple[str, float]] | None = None,
    biases: Mapping[str, str] | None = None,
) -> Released:
    """A network of the FCN paper's code, in Caffe or in pytorch-fcn."""
    return Released(
        architecture,
        {**TRUNK, score: "scores.fc7", **layers},
        score=score,
        sizes=vgg_sizes,
        biases=biases or {},
        options={"geometry": "caffe", **({"at_once": True} if scales else {})},
        scales=scales or {},
    )


_FCN16S = {"upscore2": "upsample.pool4", "score_pool4": "scores.pool4"}
_FCN8S = {
    **_FCN16S,
    "upscore_pool4": "upsample.pool3",
    "score_pool3": "scores.pool3",
    "upscore8": "upsample.input",
}

RELEASED: dict[str, Released] = {
    "fcn32s": _fcn("fcn32s", {"upscore": "upsample.input"}),
    "fcn16s": _fcn("fcn16s", {**_FCN16S, "upscore16": "upsample.input"}),
    "fcn8s": _fcn("fcn8s", _FCN8S),
    "fcn8s-atonce": _fcn(
        "fcn8s",
        _FCN8S,
        scales={
            "scale_pool4": ("score_pool4", AT_ONCE_SCALES[16]),
            "scale_pool3": ("score_pool3", AT_ONCE_SCALES[8]),
        },
    ),
    "fcn8s-cvpr": _fcn(
        "fcn8s-cvpr",
        {
            "score2": "upsample.pool4",
            "score-pool4": "scores.pool4",
            "score4": "upsample.pool3",
            "score-pool3": "scores.pool3",
            "upsample": "upsample.input",
        },
        score="score-fr",
        biases={"score2": "score-pool4"},
    ),
    "deeplab-largefov": Released(
        "deeplab-largefov",
        {**TRUNK, "fc8_voc12": "fc8"},
        score="fc8_voc12",
        sizes=deeplab_sizes,
        aliases={"fc8_pascal": "fc8_voc12"},
        note="in its paper a CRF follows: upscore predict --crf deeplab-largefov",
    ),
    "deconvnet": Released(
        "deconvnet",
        _DECONVNET_LAYERS,
        score="seg-score-voc",
        sizes=vgg_sizes,
        options={"batch_norm": False},
        norms=_DECONVNET_NORMS,
        folded=True,
        crops=_DECONVNET_CROPS,
        note="its batch norms are part of the convolutions",
    ),
    "deconvnet-train": Released(
        "deconvnet",
        _DECONVNET_LAYERS,
        score="seg-score-voc",
        sizes=vgg_sizes,
        norms=_DECONVNET_NORMS,
        crops=_DECONVNET_CROPS,
        warning="its batch norms have no statistics, which such files do not hold: train on from "
        "it (init.weights) before you predict",
    ),
}
"""What ``upscore weights convert --as`` takes."""


def find_network(name: str) -> Released:
    """A row by name. Raises SettingsError that lists all names of ``--as``."""
    if name not in RELEASED:
        raise SettingsError(unknown_choice("released network", name, [*RELEASED, CLASSIFIER]))
    return RELEASED[name]


def _named_as_in(file: LayerFile, row: Released) -> Released:
    """The row with the file's names of layers."""
    found = {ours: alias for alias, ours in row.aliases.items() if f"{alias}.weight" in file.shapes}
    layers = {found.get(name, name): path for name, path in row.layers.items()}
    return replace(row, layers=layers, score=found.get(row.score, row.score))


def misfits(file: LayerFile, row: Released) -> tuple[list[str], list[str]]:
    """(layers of a row that a file has not, keys of the file that the row has no place for)."""
    row = _named_as_in(file, row)
    layers = [*row.layers, *row.norms, *(row.scales if file.types else ())]
    missing = [name for name in layers if f"{name}.weight" not in file.shapes]
    known = {f"{name}.{part}" for name in layers for part in ("weight", "bias")}
    known |= {f"{name}.weight" for name in row.scales}
    known -= {f"{name}.bias" for name in _upsampling(row) if name not in row.biases}
    return missing, [key for key in file.shapes if key not in known]


def looks_like(file: LayerFile) -> list[str]:
    """The rows whose layers are those of a file, and CLASSIFIER for its layers or its trunk."""
    found = [name for name, row in RELEASED.items() if not any(misfits(file, row))]
    of_vgg = {*CONVOLUTIONS, "fc6", "fc7", "fc8", *(n.replace("conv", "bn") for n in CONVOLUTIONS)}
    if {*CONVOLUTIONS} <= {*file.layers} <= of_vgg:
        found.append(CLASSIFIER)
    return found


def load_released(file: LayerFile, name: str) -> Network:
    """One of our networks in eval mode with the weights of a file.

    Widths and the number of classes are those of the file. Where all upsampling layers are bilinear
    from each class to itself, as in the files of FCN, ours is ``fixed``; where the last one is,
    ``intermediate``, else ``learned``, with the weights of the file.

    Args:
        name: a row of :data:`RELEASED`.

    Raises:
        SettingsError: no such row.
        RunError: layers that are missing, left over, of other shapes or not finite; they are named.
    """
    row = find_network(name)
    missing, left = misfits(file, row)
    if missing or left:
        what = (
            f"no layer {join(missing, most=3)}, which {name} has"
            if missing
            else f"left-over weights {join(left, most=3)}, for which {name} has no place"
        )
        raise RunError(f"{file.path}: {what}; {_advice(file)}")
    row = _named_as_in(file, row)
    options = {**row.options, **row.sizes(file)}
    upsampling = _upsampling(row)
    if upsampling:
        learned = {
            path
            for layer, path in upsampling.items()
            if not _is_bilinear(file.take(f"{layer}.weight"))
        }
        part = "learned" if "upsample.input" in learned else "intermediate"
        options["upsampling"] = part if learned else "fixed"
    num_classes = without_ones(file.shapes[f"{row.score}.weight"])[0]
    first = file.shapes["conv1_1.weight"]
    if first[1:2] != (3,):
        raise RunError(f"{file.path}: conv1_1.weight is {first}, expected three input channels")
    try:
        with blueprint():
            model = create_model(row.architecture, num_classes=num_classes, **options)
    except SettingsError as error:
        raise RunError(f"{file.path}: its sizes are those of no {name}: {error}") from error
    wanted = model.state_dict()
    state: dict[str, Tensor] = {}
    for layer, path in row.layers.items():
        for part in ("weight", "bias"):
            key = f"{path}.{part}"
            if key in wanted:
                state[key] = _fitted(file, f"{layer}.{part}", wanted[key].shape)
    for layer, added in row.biases.items():
        key = f"{row.layers[added]}.bias"
        state[key] = state[key] + _fitted(file, f"{layer}.bias", state[key].shape)
    for scale, (layer, factor) in row.scales.items():
        if f"{scale}.weight" in file.shapes:
            weight = state[f"{row.layers[layer]}.weight"]
            values = _fitted(file, f"{scale}.weight", weight.shape[1:2])
            weight *= (values.double() / factor).float().view(1, -1, 1, 1)
    for norm, layer in row.norms.items():
        _add_norm(state, file, norm, row.layers[layer], folded=row.folded)
    model.load_state_dict(state, strict=True, assign=True)
    return model.eval()


def _upsampling(row: Released) -> dict[str, str]:
    """The upsampling layers among ``layers``."""
    return {name: path for name, path in row.layers.items() if path.startswith("upsample.")}


def _advice(file: LayerFile) -> str:
    """What a file can be used for."""
    fits = looks_like(file)
    if CLASSIFIER in fits:
        return (
            "it looks like VGG16, a classifier of whole photos: start a training from it, as in "
            f"upscore train fcn32s --data PHOTOS --set init.weights={file.path}, or classify "
            f"photos with it: --as {CLASSIFIER}"
        )
    if fits:
        return f"it looks like {' or '.join(fits)}: use --as {fits[0]}"
    names = ", ".join([*RELEASED, CLASSIFIER])
    return f"there are {names}; `upscore weights show {file.path}` lists its layers"


def _is_bilinear(weight: Tensor) -> bool:
    """Whether a transposed convolution interpolates each class on its own."""
    if weight.ndim != 4 or len({*weight.shape[:2]}) != 1 or len({*weight.shape[2:]}) != 1:
        return False
    classes, size = weight.shape[0], weight.shape[-1]
    wanted = torch.zeros_like(weight)
    wanted[range(classes), range(classes)] = bilinear_kernel(size)
    return torch.allclose(weight, wanted, rtol=0, atol=1e-6)


def _fitted(file: LayerFile, key: str, shape: torch.Size) -> Tensor:
    """An array in the shape of ours. Inner products and older files have other sides of 1."""
    if key not in file.shapes:
        raise RunError(f"{file.path}: the layer {key.rpartition('.')[0]} has no bias")
    found = file.shapes[key]
    flat = (shape[0], prod(shape[1:]))
    if without_ones(found) not in (without_ones(tuple(shape)), without_ones(flat)):
        raise RunError(
            f"{file.path}: {key} is {found}, but by its other layers it has to be {tuple(shape)}"
        )
    return file.take(key).reshape(shape)


def _add_norm(
    state: dict[str, Tensor], file: LayerFile, norm: str, path: str, *, folded: bool
) -> None:
    """Put a norm behind a layer, or merge it into that layer."""
    bias = state[f"{path}.bias"]
    scale, shift = (_fitted(file, f"{norm}.{part}", bias.shape) for part in ("weight", "bias"))
    if folded:
        side = 1 if path.endswith(".deconv") else 0  # of the outputs
        weight = state[f"{path}.weight"]
        weight *= scale.view([-1 if index == side else 1 for index in range(weight.ndim)])
        bias *= scale
        bias += shift
        return
    prefix = f"{path.rpartition('.')[0]}.norm"
    state[f"{prefix}.weight"], state[f"{prefix}.bias"] = scale, shift
    state[f"{prefix}.running_mean"] = torch.zeros_like(shift)
    state[f"{prefix}.running_var"] = torch.ones_like(scale)
    state[f"{prefix}.num_batches_tracked"] = torch.tensor(0)
