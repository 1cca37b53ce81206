"""Trained networks in the package: predictions without a training."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import upscore
from upscore.cli import main
from upscore.core import model_folder
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.model_folder import WEIGHTS
from upscore.errors import SettingsError
from upscore.models.checkpoint import load_model, save_model
from upscore.models.factory import create_model
from upscore.models.pretrained import initialise, weights_path


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two tiny networks with kernels in half precision, in place of the package's."""
    folder = tmp_path / "networks"
    for name, classes in (("objects", ("background", "cow")), ("roads", ("road", "sky", "car"))):
        torch.manual_seed(len(classes))
        model = create_model(
            "fcn8s", num_classes=len(classes), width=1 / 32, batch_norm=True, score_init="normal"
        )
        spec = InputSpec.named("imagenet")
        save_model(folder / name, model, labels=Labels.of(classes), input_spec=spec)
        path = folder / name / WEIGHTS
        state = load_file(path)
        save_file({k: v.half() if v.ndim == 4 else v for k, v in state.items()}, path)
    monkeypatch.setattr(model_folder, "NETWORKS", folder)
    return folder


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, networks: Path) -> Path:
    assert networks.is_dir()
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)).save("a.jpg")
    return Path("a.jpg")


def run(*words: object) -> None:
    main([str(word) for word in words])


def test_a_photo_alone_is_labelled(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run("predict", photo)
    printed = " ".join(capsys.readouterr().out.split())
    known = "Network objects, with the classes background, cow."
    assert f"{known} Others: --model roads, --model RUN (your own)." in printed
    labels = np.asarray(Image.open("predictions/labels/a.png"))
    assert labels.shape == (40, 50)
    assert labels.max() <= 1


@pytest.mark.parametrize("words", [("predict", "a.jpg", "--model", "roads"),
                                   ("predict", "roads", "a.jpg")])  # fmt: skip
def test_by_name(photo: Path, words: tuple[str, ...]) -> None:
    run(*words)
    want = upscore.load("roads").segment(photo).labels
    np.testing.assert_array_equal(np.asarray(Image.open("predictions/labels/a.png")), want)


def test_a_run_comes_first_as_ever(
    photo: Path, networks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("predict", networks / "roads", photo, "--out", "o")
    assert "which knows" not in capsys.readouterr().out
    assert Path("o/labels/a.png").exists()
    run("predict", photo, "--model", networks / "roads", "--out", "p")
    assert Path("p/labels/a.png").read_bytes() == Path("o/labels/a.png").read_bytes()
    # in the place of photos, its own pictures would be segmented; a pattern still takes them
    Image.open(photo).save(networks / "roads" / "picture.png")
    with pytest.raises(SystemExit):
        run("predict", photo, networks / "roads", "--out", "q")
    assert not Path("q").exists()
    run("predict", networks / "roads", networks / "roads" / "*.png", "--out", "q")
    assert Path("q/labels/picture.png").exists()


HIDES_NOTHING = {
    "predictions": lambda folder: (folder / "overlay").mkdir(parents=True),
    "photos": lambda folder: (folder.mkdir(), Image.new("RGB", (40, 30)).save(folder / "b.jpg")),
    "several runs": lambda folder: write(folder / "one/manifest.json", "{}"),
    "a file": lambda folder: folder.write_text("text"),
}


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(text)


@pytest.mark.parametrize("what", HIDES_NOTHING)
@pytest.mark.parametrize("name", ["objects", "roads"])
def test_a_folder_without_a_network_does_not_hide_an_included_one(
    photo: Path, networks: Path, capsys: pytest.CaptureFixture[str], what: str, name: str
) -> None:
    want = upscore.load(networks / name).segment(photo).labels
    HIDES_NOTHING[what](Path(name))
    for words in (
        ("predict", photo, "--model", name, "--out", "o"),
        ("predict", name, photo, "--out", "p"),
        *((("predict", photo, "--out", "q"),) if name == "objects" else ()),
    ):
        run(*words)
        assert f"Network {name}, with the classes " in capsys.readouterr().out
        labels = np.asarray(Image.open(Path(str(words[-1])) / "labels/a.png"))
        np.testing.assert_array_equal(labels, want)
    run("info", name)
    assert str(networks / name) in capsys.readouterr().out.replace("\n", "")
    assert upscore.predict(name, photo, out="r").network == name
    assert upscore.load(name).labels == upscore.load(networks / name).labels
    assert weights_path(name) == networks / name
    write(
        Path("pipelines/one.yaml"), f"answer: a\nstages: {{a: {{whole_image: {{run: {name}}}}}}}\n"
    )
    run("predict", "pipelines/one.yaml", photo, "--out", "s")
    np.testing.assert_array_equal(np.asarray(Image.open("s/labels/a.png")), want)


def test_predictions_into_a_folder_so_called_can_be_repeated(photo: Path) -> None:
    for _ in range(2):
        run("predict", photo, "--model", "roads", "--out", "roads")
    assert Path("roads/labels/a.png").exists()


def test_the_default_network_is_not_a_run_in_this_folder(photo: Path, networks: Path) -> None:
    save_named("objects")
    assert upscore.predict(photo).classes == ("background", "cow")
    run("predict", photo, "--out", "o")
    want = upscore.load(networks / "objects").segment(photo).labels
    np.testing.assert_array_equal(np.asarray(Image.open("o/labels/a.png")), want)


@pytest.mark.parametrize("name", ["objects", "roads"])
def test_a_folder_of_photos_so_called_is_segmented(
    photo: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    HIDES_NOTHING["photos"](Path(name))
    run("predict", name)
    assert "Network objects, " in capsys.readouterr().out
    assert Path("predictions/labels/b.png").exists()
    assert upscore.predict(name, out="o").summary.images == 1
    run("predict", "roads", name, "--out", "p")
    assert "Network roads, " in capsys.readouterr().out
    assert Path("p/labels/b.png").exists()
    run("predict", name, photo, "--out", "q")
    assert f"{name} is the network; for photos in the folder type ./{name}" in (
        capsys.readouterr().out
    )
    run("predict", f"./{name}", photo, "--out", "r")
    assert {path.name for path in Path("r/labels").iterdir()} == {"a.png", "b.png"}


def save_named(name: str) -> None:
    save_model(
        name,
        create_model("fcn8s", num_classes=1, width=1 / 32),
        labels=Labels.of(["mine"]),
        input_spec=InputSpec.named("imagenet"),
    )


@pytest.mark.parametrize("place", [".", "runs"])
def test_the_network_and_its_classes_are_said(
    photo: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    save_named(f"{place}/mine/model")
    write_manifest(Path(place, "mine"))
    for words in ((f"{place}/mine", photo), (photo, "--model", f"{place}/mine")):
        run("predict", *words)
        name = Path(place, "mine")
        assert f"Network {name}, with the classes mine." in capsys.readouterr().out
    run("predict", photo)
    said = capsys.readouterr().out
    if place == "runs":
        assert "Using the last run, runs/mine, with the classes mine." in said
    else:
        assert "Network objects, with the classes background, cow. Others: --model roads" in said


def write_manifest(folder: Path) -> None:
    manifest = {"format_version": 1, "started": "2026-01-01T00:00:00+00:00"}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_run_so_called_comes_first_and_it_is_said(
    photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_named("roads/model")
    write_manifest(Path("roads"))
    for words in (("roads", photo), (photo, "--model", "roads")):
        run("predict", *words)
        said = capsys.readouterr()
        assert "Network roads, with the classes mine." in said.out
        note = "roads: the network in this folder is used, not the included one so called"
        assert note in said.err + said.out
    assert weights_path("roads") == Path("roads")


@pytest.mark.usefixtures("photo")
def test_a_folder_of_the_same_name_comes_first(networks: Path) -> None:
    save_model(
        "roads",
        create_model("fcn8s", num_classes=1, width=1 / 32),
        labels=Labels.of(["mine"]),
        input_spec=InputSpec.named("imagenet"),
    )
    assert upscore.load("roads").labels.names == ("mine",)
    assert upscore.load(networks / "roads").labels.names == ("road", "sky", "car")


def test_the_shares_of_one_photo_are_printed(
    photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("predict", photo)
    lines = capsys.readouterr().out.splitlines()
    (shares,) = [line for line in lines if line.startswith("Shares: ")]
    labels = np.asarray(Image.open("predictions/labels/a.png"))
    assert f"cow {(labels == 1).mean():.1%}" in shares
    assert "  summary: predictions/summary.csv (the share of each class in each photo)" in lines
    Image.open(photo).save("b.jpg")
    run("predict", photo, "b.jpg", "--mm-per-pixel", "0.5", "--count-objects", "50")
    printed = capsys.readouterr().out
    assert "(the share of each class in each photo, areas in mm2, numbers of objects)" in printed
    assert "Shares: " not in printed


def test_json_has_the_network_its_classes_and_their_shares(
    photo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("predict", photo, "--json", "--log", "json")
    said = capsys.readouterr()
    result = json.loads(said.out)["result"]
    assert (result["network"], result["classes"]) == ("objects", ["background", "cow"])
    labels = np.asarray(Image.open("predictions/labels/a.png"))
    assert result["shares"]["cow"] == pytest.approx((labels == 1).mean())
    events = [json.loads(line) for line in said.err.splitlines()]
    found = [(event["stage"], event["done"]) for event in events if "stage" in event]
    assert found == [("segmenting", 0), ("segmenting", 1)]


@pytest.mark.parametrize("several", [False, True])
def test_in_python_a_photo_alone_is_segmented_by_the_included_network(
    photo: Path, *, several: bool
) -> None:
    result = upscore.predict([photo] if several else photo)
    assert result.network == "objects"
    assert Path("predictions/labels/a.png").exists()
    assert set(result.shares) == {"background", "cow"}
    assert upscore.predict("roads", photo, out="o").classes == ("road", "sky", "car")
    with pytest.raises(SettingsError, match=r"name photos too: predict\('roads', PHOTOS\)"):
        upscore.predict("roads")
    with pytest.raises(SettingsError, match="expected one run, model folder or pipeline"):
        upscore.predict(["roads"], photo)


@pytest.mark.parametrize("what", [None, *HIDES_NOTHING])
def test_scores_of_a_network_by_name(photo: Path, what: str | None) -> None:
    for folder, suffix in (("images", ".jpg"), ("masks", ".png")):
        (Path("data") / folder).mkdir(parents=True)
        for name in ("a", "b"):
            image = Image.open(photo) if suffix == ".jpg" else Image.new("L", (50, 40), 2)
            image.save(Path("data") / folder / (name + suffix))
    Path("data/classes.txt").write_text("road\nsky\ncar\n")
    Path("data/val.txt").write_text("a\nb\n")
    Path("data/train.txt").write_text("a\nb\n")
    run("evaluate", "roads", "--data", "data")
    assert Path("roads-evaluation/val/scores.json").exists()
    assert not Path("roads").exists()
    if what is not None:
        shutil.rmtree("roads-evaluation")
        HIDES_NOTHING[what](Path("roads"))
        run("evaluate", "roads", "--data", "data")
        assert Path("roads-evaluation/val/scores.json").exists()


def test_half_precision_is_read_as_float32(networks: Path) -> None:
    state = load_model(networks / "roads").model.state_dict()
    assert {v.dtype for v in state.values() if v.is_floating_point()} == {torch.float32}


@pytest.mark.usefixtures("photo")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("predict", "nothing.jpg"), "nothing.jpg"),
        (("predict", "objects"), "no photo is named; type: upscore predict objects PHOTO.jpg"),
        (("predict",), "no photo is named; type: upscore predict PHOTO.jpg$"),
        (
            ("predict", "a.jpg", "roads"),
            r"roads is a network, not photos\. Type: upscore predict PHOTO.jpg --model roads$",
        ),
        (
            ("predict", "roads", "a.jpg", "--model", "objects"),
            "roads is a network, not photos, and objects is already the",
        ),
        (
            ("predict", "roads", "objects"),
            "objects is a network, not photos, and roads is",
        ),
        (("predict", "runs/gone", "a.jpg"), "no such run folder.*name one of objects, roads"),
        (("predict", "a.jpg", "--model", "road"), "road: no such run folder"),
    ],
)
def test_what_is_missing(
    words: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code not in (0, None)
    assert re.search(message, " ".join(capsys.readouterr().err.split()))


def damaged(folder: Path, damage: str) -> None:
    """Do to a model folder what a bad disk or an interrupted installation does."""
    config, weights = folder / "config.json", folder / WEIGHTS
    if damage == "no config":
        config.unlink()
    elif damage == "no weights":
        weights.unlink()
    elif damage == "nothing":
        config.unlink()
        weights.unlink()
    elif damage == "empty config":
        config.write_text("")
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-9])
    elif damage == "other config":
        save_file(load_file(weights), weights, {"upscore": '{"architecture": "fcn32s"}'})
    else:
        raise ValueError(damage)


DAMAGES = ["no config", "no weights", "nothing", "empty config", "cut", "other config"]


@pytest.mark.parametrize("words", [("predict", "a.jpg"), ("info", "objects")])
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.usefixtures("photo")
def test_a_damaged_one_is_installed_again(
    damage: str, words: tuple[str, ...], networks: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And no other network is used in its place."""
    damaged(networks / "objects", damage)
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert str(networks / "objects") in said
    assert said.endswith("pip install --force-reinstall --no-deps upscore")
    assert "train again" not in said


@pytest.mark.parametrize("damage", DAMAGES[:2] + DAMAGES[3:])
@pytest.mark.usefixtures("photo")
def test_info_of_a_damaged_folder(
    damage: str, networks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(networks / "roads", tmp_path / "own")
    run("info", tmp_path / "own")
    damaged(tmp_path / "own", damage)
    with pytest.raises(SystemExit) as ended:
        run("info", tmp_path / "own")
    assert ended.value.code == 2
    assert "copy the folder again or train again" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    "words",
    [("predict", "x" * 300, "a.jpg"), ("predict", "a.jpg", "--model", "x" * 300),
     ("predict", "a.jpg", "--model", "x" * 300 + ".yaml"),
     ("predict", "a.jpg", "--model", "x" * 300 + "/model"),
     ("evaluate", "x" * 300, "--data", "."), ("info", "x" * 300)],
)  # fmt: skip
@pytest.mark.usefixtures("photo")
def test_a_name_that_is_too_long(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2
    assert re.search(r"no such (run folder|pipeline file)", capsys.readouterr().err)


@pytest.mark.usefixtures("photo")
def test_links_in_a_circle(capsys: pytest.CaptureFixture[str]) -> None:
    Path("one").symlink_to("two")
    Path("two").symlink_to("one")
    with pytest.raises(SystemExit):
        run("predict", "a.jpg", "--model", "one")
    said = " ".join(capsys.readouterr().err.split())
    assert "one: no such run folder (one is a link that leads nowhere)" in said


def test_an_install_without_networks(
    photo: Path, networks: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(model_folder, "NETWORKS", networks / "none")
    with pytest.raises(SystemExit):
        run("predict", photo)
    assert "upscore train" in capsys.readouterr().err


@pytest.mark.usefixtures("photo")
def test_training_starts_from_a_network_by_name() -> None:
    model = create_model("fcn8s", num_classes=7, width=1 / 32, batch_norm=True)
    initialise(model, "roads", input_spec=InputSpec.named("imagenet"))
    key = "trunk.conv3_1.conv.weight"
    want = load_model(model_folder.NETWORKS / "roads").model.state_dict()[key]
    assert torch.equal(model.state_dict()[key], want)
