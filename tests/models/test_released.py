"""Released networks from files that tests write, against OpenCV's and torch's own layers.

tests/models/golden/caffe_scores.npz has what OpenCV 4 scores with the same caffemodels and a
prototxt of ours (``python tests/models/opencv_caffe.py`` makes it).
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.caffe_networks import CASES, CHANNELS, CLASSES, DEPTHS, FC, deconvnet, photo, sizes_of
from models.caffe_writer import layer, net, write_caffemodel
from models.torchvision_vgg import theirs
from upscore.core.images import InputSpec
from upscore.errors import RunError, SettingsError
from upscore.models.base import count_parameters
from upscore.models.classifier_files import read_classifier
from upscore.models.factory import create_model
from upscore.models.layer_files import read_layer_file
from upscore.models.pretrained import initialise
from upscore.models.released import (
    CONVOLUTIONS,
    RELEASED,
    find_network,
    load_released,
    looks_like,
)
from upscore.models.released_files import RELEASED_FILES

GOLDEN = np.load(Path(__file__).parent / "golden" / "caffe_scores.npz")
SEGMENTERS = [name for name in CASES if not name.startswith("vgg16")]
CAFFE = InputSpec.named("caffe")


def row(case: str) -> str:
    return case.removesuffix("-learned")


def written(path: Path, case: str, generation: int | None = None) -> Path:
    make, usual = CASES[case]
    write_caffemodel(path, make(case, 1, 1).layers, generation or usual)
    return path


@torch.no_grad()
@pytest.mark.parametrize("case", SEGMENTERS)
def test_scores_are_those_of_opencv(tmp_path: Path, case: str) -> None:
    file = read_layer_file(written(tmp_path / "net.caffemodel", case))
    assert looks_like(file)[0] == row(case) or case == "fcn8s-atonce"
    model = load_released(file, row(case))
    assert model.architecture == RELEASED[row(case)].architecture
    if "fcn" in case:
        kinds = {"fcn16s-learned": "learned", "fcn8s-cvpr": "intermediate"}
        assert model.options["upsampling"] == kinds.get(case, "fixed")
        assert model.options["geometry"] == "caffe"
    assert not model.training
    for height, width in sizes_of(case):
        want = GOLDEN[f"{case}-{height}x{width}"]
        got = model(torch.from_numpy(photo(height, width)))[0].numpy()
        assert got.shape == (CLASSES, height, width)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
        assert want.std() > 0.05  # what it is compared with says something


@torch.no_grad()
@pytest.mark.parametrize("generation", [0, 1, 2])
def test_vgg16_starts_a_network(tmp_path: Path, generation: int) -> None:
    """On 224x224 the middle of our fc7, whose 7x7 kernel meets no padding there, is Caffe's."""
    path = written(tmp_path / "vgg.caffemodel", "vgg16", generation)
    model = create_model("conv-vgg-bilinear", num_classes=2, channels=CHANNELS, fc_width=FC).eval()
    initialise(model, str(path), input_spec=CAFFE)
    fc7 = model.backbone(torch.from_numpy(photo(224, 224)), ("fc7",))["fc7"][0, :, 3, 3]
    np.testing.assert_allclose(fc7.numpy(), GOLDEN["vgg16-224x224"], rtol=0, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("generation", [1, 2])
def test_vgg16_as_a_classifier_scores_as_opencv(tmp_path: Path, generation: int) -> None:
    path = written(tmp_path / "vgg.caffemodel", "vgg16-classes", generation)
    saved = read_classifier(path)
    assert saved.input_spec == CAFFE
    assert len(saved.classes) == 5
    got = saved.model(torch.from_numpy(photo(224, 224)))[0].numpy()
    want = GOLDEN["vgg16-classes-224x224"]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-4)
    assert want.std() > 0.05


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fc8": None}, r"by torchvision's keys\): the features of vgg16 without its classifier"),
        ({"fc7": None}, r"no classifier\.3\.weight"),
        ({"conv3_2": None}, r"no weights features\.12\.weight"),
        ({"score_fr": [np.ones((2, 2), "f4")]}, "left-over weights of the layer 'score_fr'"),
        ({"fc6": [np.ones((8, 7, 3, 3), "f4"), np.ones(8, "f4")]},
         r"classifier\.0\.weight is \(8, 63\), the network needs \(8, 343\)"),
        ({"fc8": [np.full((5, 8), math.nan, "f4"), np.ones(5, "f4")]}, r"fc8\.weight holds NaN"),
    ],
)  # fmt: skip
def test_a_vgg16_that_is_no_classifier(
    tmp_path: Path, changes: dict[str, list[np.ndarray] | None], message: str
) -> None:
    with pytest.raises(RunError, match=message) as caught:
        read_classifier(vgg(tmp_path, **changes))
    assert str(tmp_path) in str(caught.value)


def reference_deconvnet(x: Tensor, file: dict[str, list[np.ndarray]], *, folded: bool) -> Tensor:
    """The released DeconvNet by torch's functions, layer by layer."""
    layers = {name: [torch.from_numpy(a) for a in arrays] for name, arrays in file.items()}

    def normed(x: Tensor, norm: str) -> Tensor:
        scale, shift = layers[norm]
        if not folded:
            x = F.batch_norm(x, None, None, training=True, eps=1e-9)
        return F.relu(x * scale + shift)

    positions = []
    for stage, depth in enumerate(DEPTHS, start=1):
        for name in (f"{stage}_{index}" for index in range(1, depth + 1)):
            x = normed(F.conv2d(x, *layers[f"conv{name}"], padding=1), f"bn{name}")
        size = x.shape
        x, places = F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)
        positions.append((places, size))
    x = normed(F.conv2d(x, *layers["fc6"]), "bnfc6")
    x = normed(F.conv2d(x, *layers["fc7"]), "bnfc7")
    x = normed(F.conv_transpose2d(x, *layers["fc6-deconv"]), "fc6-deconv-bn")
    for stage in (5, 4, 3, 2, 1):
        places, size = positions.pop()
        x = F.max_unpool2d(x, places, 2, 2, output_size=size[2:])
        for name in (f"{stage}_{index}" for index in range(1, DEPTHS[stage - 1] + 1)):
            x = F.conv_transpose2d(x, *layers[f"deconv{name}"], padding=1)
            x = normed(x, f"debn{name}")
    return F.conv2d(x, *layers["seg-score-voc"])


@torch.no_grad()
def test_deconvnet_scores_as_torchs_layers(tmp_path: Path) -> None:
    layers = deconvnet(folded=True)
    write_caffemodel(tmp_path / "d.caffemodel", layers, 1)
    file = read_layer_file(tmp_path / "d.caffemodel")
    assert looks_like(file) == ["deconvnet", "deconvnet-train"]
    model = load_released(file, "deconvnet").double()
    x = torch.from_numpy(photo(229, 243)).double()
    layers = {name: [a.astype(np.float64) for a in arrays] for name, arrays in layers.items()}
    want = reference_deconvnet(x, layers, folded=True)
    assert want.std() > 0.05
    torch.testing.assert_close(model(x), want, rtol=0, atol=1e-4)  # weights are merged in float32


@torch.no_grad()
def test_a_deconvnet_of_training_computes_with_the_statistics_of_its_batch(tmp_path: Path) -> None:
    layers = deconvnet(folded=False)
    write_caffemodel(tmp_path / "d.caffemodel", layers, 1)
    model = load_released(read_layer_file(tmp_path / "d.caffemodel"), "deconvnet-train").double()
    assert model.options["batch_norm"]
    x = torch.from_numpy(np.concatenate([photo(224, 224), photo(224, 224)[..., ::-1] * 0.7]))
    layers = {name: [a.astype(np.float64) for a in arrays] for name, arrays in layers.items()}
    want = reference_deconvnet(x.double(), layers, folded=False)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-9
    torch.testing.assert_close(model.train()(x.double()), want, rtol=0, atol=1e-4)


def test_the_full_sizes_are_the_released_ones() -> None:
    """Numbers of layers and parameters of deconvnet-reference.md section 1 and formats.md 1.3."""
    row_ = RELEASED["deconvnet-train"]
    assert len(row_.layers) == 15 + 14 + 1
    assert len(row_.norms) == 29
    assert {"conv1_1", "fc6-deconv", "deconv4_3", "seg-score-voc"} <= {*row_.layers}
    assert {"bn1_1", "bnfc6", "fc6-deconv-bn", "debn1_2"} <= {*row_.norms}
    with torch.device("meta"):
        model = create_model("deconvnet", num_classes=21)
    assert count_parameters(model) == 251_805_653
    assert len(CONVOLUTIONS) == 13


@pytest.mark.parametrize("case", ["fcn32s", "fcn8s-atonce"])
def test_files_of_pytorch_fcn(tmp_path: Path, case: str) -> None:
    """The same names and layouts; at-once has no layers for its constants."""
    make, _ = CASES[case]
    layers = make(case, 1, 1).layers
    state = {}
    for name, arrays in layers.items():
        if not name.startswith("scale_"):
            for part, array in zip(("weight", "bias"), arrays, strict=False):
                state[f"{name}.{part}"] = torch.from_numpy(array)
    torch.save(state, tmp_path / "net.pth")
    file = read_layer_file(tmp_path / "net.pth")
    assert (file.kind, file.input_name) == ("pytorch-fcn", "caffe")
    got = load_released(file, case)
    written(tmp_path / "net.caffemodel", case)
    want = load_released(read_layer_file(tmp_path / "net.caffemodel"), case)
    assert got.options == want.options
    for key, value in want.state_dict().items():
        torch.testing.assert_close(got.state_dict()[key], value, rtol=1e-6, atol=0)


def test_constants_of_at_once_that_differ_join_the_weights(tmp_path: Path) -> None:
    layers = CASES["fcn8s-atonce"][0]("fcn8s-atonce", 1, 1).layers
    usual, other = tmp_path / "a.caffemodel", tmp_path / "b.caffemodel"
    write_caffemodel(usual, layers)
    write_caffemodel(other, {**layers, "scale_pool4": [layers["scale_pool4"][0] * 3]})
    one, three = (load_released(read_layer_file(p), "fcn8s-atonce") for p in (usual, other))
    weight = one.get_parameter("scores.pool4.weight")
    torch.testing.assert_close(three.get_parameter("scores.pool4.weight"), weight * 3)


@torch.no_grad()
def test_names_of_deeplabs_last_layer(tmp_path: Path) -> None:
    layers = CASES["deeplab-largefov"][0]("deeplab-largefov", 1, 1).layers
    layers["fc8_pascal"] = layers.pop("fc8_voc12")
    write_caffemodel(tmp_path / "net.caffemodel", layers, 1)
    file = read_layer_file(tmp_path / "net.caffemodel")
    assert looks_like(file) == ["deeplab-largefov"]
    model = load_released(file, "deeplab-largefov")
    got = model(torch.from_numpy(photo(17, 23)))[0].numpy()
    np.testing.assert_allclose(got, GOLDEN["deeplab-largefov-17x23"], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("case", "changes", "message"),
    [
        ("fcn8s-cvpr", {"score2": [np.ones((2, 2, 4, 4), "f4")]}, "the layer score2 has no bias"),
        ("fcn8s-cvpr", {"score4": [np.ones((2, 2, 4, 4), "f4"), np.ones(2, "f4")]},
         r"left-over weights score4\.bias, for which fcn8s-cvpr has no place"),
        ("fcn8s-cvpr", {"score2": [np.ones((2, 2, 4, 4), "f4"), np.ones(3, "f4")]},
         r"score2\.bias is \(1, 1, 1, 3\), but by its other layers it has to be \(2,\)"),
        ("fcn8s-cvpr", {"score_fr": [np.ones((2, 8), "f4"), np.ones(2, "f4")]},
         "left-over weights score_fr"),
        ("deeplab-largefov", {"fc8_voc12": None}, "no layer fc8_voc12, which deeplab-largefov has"),
        ("deeplab-largefov", {"fc8_pascal": [np.ones((2, 8), "f4"), np.ones(2, "f4")]},
         "left-over weights fc8_voc12"),
        ("deeplab-largefov", {"fc8_coco": [np.ones((2, 8), "f4"), np.ones(2, "f4")]},
         "left-over weights fc8_coco"),
        ("deeplab-largefov", {"fc6": [np.ones((8, 7, 7, 7), "f4"), np.ones(8, "f4")]},
         r"fc6\.weight is \(8, 7, 7, 7\), but by its other layers it has to be \(8, 7, 3, 3\)"),
    ],
)  # fmt: skip
def test_further_networks_that_do_not_fit(
    tmp_path: Path, case: str, changes: dict[str, list[np.ndarray] | None], message: str
) -> None:
    layers = {**CASES[case][0](case, 1, 1).layers, **changes}
    path = tmp_path / "net.caffemodel"
    write_caffemodel(path, {name: a for name, a in layers.items() if a is not None}, 1)
    with pytest.raises(RunError, match=message):
        load_released(read_layer_file(path), case)


def test_a_file_is_read_the_same_way_twice(tmp_path: Path) -> None:
    """Biases are added to copies, not to what the file holds."""
    layers = CASES["fcn8s-cvpr"][0]("fcn8s-cvpr", 1, 1).layers
    state = {
        f"{name}.{part}": torch.from_numpy(array)
        for name, arrays in layers.items()
        for part, array in zip(("weight", "bias"), arrays, strict=False)
    }
    torch.save(state, tmp_path / "net.pth")
    file = read_layer_file(tmp_path / "net.pth")
    first, second = (load_released(file, "fcn8s-cvpr").state_dict() for _ in "ab")
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    want = torch.from_numpy(layers["score2"][1] + layers["score-pool4"][1])
    torch.testing.assert_close(first["scores.pool4.bias"], want)


def changed(tmp_path: Path, **changes: list[np.ndarray] | None) -> Path:
    layers = CASES["fcn8s"][0]("fcn8s", 1, 1).layers
    layers |= {name: arrays for name, arrays in changes.items() if arrays is not None}
    left = {name: arrays for name, arrays in layers.items() if changes.get(name, 1) is not None}
    write_caffemodel(tmp_path / "net.caffemodel", left)
    return tmp_path / "net.caffemodel"


A = np.ones((2, 2), np.float32)
NAN = np.full((2, 7, 1, 1), math.nan, np.float32)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score_pool3": None}, "no layer score_pool3, which fcn8s has"),
        ({"score_fr2": [A]}, r"left-over weights score_fr2\.weight, for which fcn8s has no place"),
        ({"upscore2": [np.ones((2, 2, 4, 4), "f4"), A]}, r"left-over weights upscore2\.bias"),
        ({"fc7": [np.ones((8, 8, 1, 1), "f4"), A, A]}, r"left-over weights fc7\.2"),
        ({"conv3_2": [np.ones((5, 4, 3, 3), "f4"), np.ones(5, "f4")]},
         r"conv3_2\.weight is \(5, 4, 3, 3\), but by its other layers it has to be \(5, 5, 3, 3\)"),
        ({"conv3_2": [np.ones((5, 5, 3, 3), "f4")]}, "the layer conv3_2 has no bias"),
        ({"score_pool4": [NAN[:, :6], np.ones(2, "f4")]}, r"score_pool4\.weight holds NaN"),
        ({"upscore2": [NAN]}, r"upscore2\.weight holds NaN"),
        ({"conv1_1": [np.ones((3, 4, 3, 3), "f4"), np.ones(3, "f4")]},
         r"conv1_1\.weight is \(3, 4, 3, 3\), expected three input"),
        ({"fc6": [np.ones((8, 7, 6, 6), "f4"), np.ones(8, "f4")]},
         "its sizes are those of no fcn8s: .*fc_kernel is 6"),
        ({"score_fr": [np.ones((300, 8, 1, 1), "f4"), np.ones(300, "f4")]}, "no fcn8s: .*num_cl"),
        ({"fc6": [np.ones((8, 0, 7, 7), "f4"), np.ones(8, "f4")]}, r"fc6\.weight.* no numbers"),
        ({"upscore2": [np.ones((2, 2, 5, 5), "f4")]}, r"upscore2\.weight is \(2, 2, 5, 5\)"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(
    tmp_path: Path, changes: dict[str, list[np.ndarray] | None], message: str
) -> None:
    path = changed(tmp_path, **changes)
    with pytest.raises(RunError, match=message) as caught:
        load_released(read_layer_file(path), "fcn8s")
    assert str(path) in str(caught.value)


def test_a_file_of_another_network_says_which_one(tmp_path: Path) -> None:
    path = written(tmp_path / "net.caffemodel", "fcn16s")
    with pytest.raises(RunError, match="it looks like fcn16s: use --as fcn16s"):
        load_released(read_layer_file(path), "fcn8s")
    with pytest.raises(SettingsError, match="no released network 'fcn8'; did you mean 'fcn8s'"):
        find_network("fcn8")


@pytest.mark.parametrize("kind", ["caffe", "torchvision", "torchvision-bn"])
def test_a_classifier_is_no_segmentation_network(tmp_path: Path, kind: str) -> None:
    if kind == "caffe":
        path = written(tmp_path / "vgg.caffemodel", "vgg16")
    else:
        path = tmp_path / "vgg.pth"
        torch.save(theirs(batch_norm="bn" in kind).state_dict(), path)
    file = read_layer_file(path)
    assert looks_like(file) == ["vgg16"]
    assert file.shapes["fc8.weight"] == ((1, 1, 5, 8) if kind == "caffe" else (10, 24))
    with pytest.raises(RunError, match=r"VGG16, .* --set init\.weights=.*vgg.*--as vgg16"):
        load_released(file, "fcn32s")


def test_a_layer_twice(tmp_path: Path) -> None:
    (tmp_path / "a.caffemodel").write_bytes(net([layer("a", "x", [A]), layer("a", "x", [A])]))
    with pytest.raises(RunError, match="the layer 'a' is in it twice"):
        read_layer_file(tmp_path / "a.caffemodel")


# -- a start from VGG16 --------------------------------------------------------------------------


def vgg(tmp_path: Path, **changes: list[np.ndarray] | None) -> Path:
    layers = {**CASES["vgg16"][0]("vgg16", 1, 1).layers, **changes}
    path = tmp_path / "vgg.caffemodel"
    write_caffemodel(path, {name: a for name, a in layers.items() if a is not None})
    return path


def test_a_trunk_without_fc6_and_fc7(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = vgg(tmp_path, fc6=None, fc7=None, fc8=None)
    model = create_model("fcn32s", num_classes=2, channels=CHANNELS, fc_width=FC)
    before = model.get_parameter("trunk.fc6.conv.weight").clone()
    with caplog.at_level(logging.INFO):
        initialise(model, str(path), input_spec=CAFFE)
    assert "fc6 and fc7 start fresh, none in the file" in caplog.text
    assert torch.equal(model.get_parameter("trunk.fc6.conv.weight"), before)


@torch.no_grad()
def test_the_reduced_vgg16_of_deeplab(tmp_path: Path) -> None:
    """Convolutional fc6 of 3x3 and other widths."""
    fc6 = np.random.default_rng(0).normal(size=(6, CHANNELS[-1], 3, 3)).astype("f4")
    fc7 = np.random.default_rng(1).normal(size=(6, 6, 1, 1)).astype("f4")
    bias = np.arange(6, dtype=np.float32)
    path = vgg(tmp_path, fc6=[fc6, bias], fc7=[fc7, bias], fc8=None)
    model = create_model("fcn32s", num_classes=2, channels=CHANNELS, fc_width=6, fc_kernel=3)
    initialise(model, str(path), input_spec=CAFFE)
    assert torch.equal(model.get_parameter("trunk.fc6.conv.weight"), torch.from_numpy(fc6))
    assert torch.equal(model.get_parameter("trunk.fc7.conv.weight"), torch.from_numpy(fc7))


def test_other_layers_in_it(tmp_path: Path) -> None:
    path = vgg(tmp_path, score_fr=[A, A[0]])
    model = create_model("fcn32s", num_classes=2, channels=CHANNELS, fc_width=FC)
    with pytest.raises(RunError, match=r"the layer 'score_fr'; expected VGG16.*weights convert"):
        initialise(model, str(path), input_spec=CAFFE)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"conv2_2": [NAN, NAN[:, 0, 0, 0]]}, r"conv2_2\.weight holds NaN"),
        ({"conv2_2": [np.ones((4, 3, 3, 3), "f4"), np.ones(4, "f4")]},
         r"by torchvision's keys\): features\.7\.weight is \(4, 3, 3, 3\), the network needs"),
        ({"conv2_2": None}, r"no weights features\.7\.weight"),
    ],
)  # fmt: skip
def test_a_vgg16_that_does_not_fit(
    tmp_path: Path, changes: dict[str, list[np.ndarray] | None], message: str
) -> None:
    model = create_model("fcn32s", num_classes=2, channels=CHANNELS, fc_width=FC)
    with pytest.raises(RunError, match=message):
        initialise(model, str(vgg(tmp_path, **changes)), input_spec=CAFFE)


def test_keras_files_by_layer(tmp_path: Path) -> None:
    """fc6's rows follow channel, height, width, as in Caffe."""
    pytest.importorskip("h5py")
    from models.test_keras_files import by_torchvision, write

    made = by_torchvision(write(tmp_path / "vgg.h5", "new", top=True))
    file = read_layer_file(tmp_path / "vgg.h5")
    assert looks_like(file) == ["vgg16"]
    assert file.input_name == "caffe"
    assert torch.equal(file.take("fc6.weight"), made["classifier.0.weight"])
    assert torch.equal(file.take("conv5_3.bias"), made["features.28.bias"])
    write(tmp_path / "hed.h5", "hed")
    assert looks_like(read_layer_file(tmp_path / "hed.h5")) == ["vgg16"]


def test_known_files_are_read_as_networks_that_exist() -> None:
    for one in RELEASED_FILES.values():
        assert one.network is None or one.network in RELEASED
        assert one.checksum is None or one.checksum.partition(":")[0] in ("sha1", "md5")
        assert one.licence
