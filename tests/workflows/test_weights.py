"""``upscore weights``: from a file to a network that all commands take, and the known files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from file_server import Server, serving
from inference.pipeline_world import FixedBoxes, make_store
from models import caffe_networks
from models.caffe_networks import CHANNELS, FC, deconvnet, fcn, vgg16
from models.caffe_writer import write_caffemodel
from models.torchvision_vgg import theirs
from upscore.cli.main import main
from upscore.core.images import InputSpec
from upscore.core.labels import VOC_LABELS
from upscore.core.model_folder import builtin_networks
from upscore.core.runtime import select_runtime
from upscore.errors import (
    NotFoundError,
    RunError,
    SettingsError,
    UpscoreError,
    WorkError,
)
from upscore.inference.pipeline.run import load_pipeline
from upscore.inference.run_model import load_network, load_trained
from upscore.inference.trained_crops import load_instance_wise, trained_settings
from upscore.models import released_files
from upscore.models.checkpoint import load_model
from upscore.models.classifier_folder import imagenet_classes, load_classifier_folder
from upscore.models.factory import create_model
from upscore.models.pretrained import initialise
from upscore.models.released_files import RELEASED_FILES, find_released
from upscore.workflows.weights import convert, get, show

VOC = list(VOC_LABELS.names)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder, with a cache in it; networks have VOC's 21 classes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPSCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(caffe_networks, "CLASSES", 21)
    return tmp_path


def fcn_file(name: str = "fcn8s") -> Path:
    path = Path(f"{name}.caffemodel")
    write_caffemodel(path, fcn(name, 1, 1).layers)
    return path


def deconvnet_file() -> Path:
    write_caffemodel(Path("d.caffemodel"), deconvnet(folded=True), 1)
    return Path("d.caffemodel")


def photo_file(height: int, width: int) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("photo.png")
    return Path("photo.png")


def test_a_network_for_every_command(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = fcn_file()
    main(["weights", "convert", str(file), "--as", "fcn8s", "--out", "net"])
    told = capsys.readouterr().out
    assert "net: fcn8s of fcn8s.caffemodel, 21 classes, background to tvmonitor" in told
    assert "licence: unknown: that of the file's authors" in told
    saved = load_model(here / "net")
    assert saved.labels == VOC_LABELS
    assert saved.input_spec == InputSpec.named("caffe")
    origin = json.loads((here / "net" / "config.json").read_text())["trained"]
    assert origin["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert origin["weights"] == "fcn8s.caffemodel, not one of the known files"

    photo_file(19, 23)
    main(["predict", "net", "photo.png", "--out", "out"])
    assert (here / "out" / "labels" / "photo.png").exists()
    main(["info", "net"])
    assert origin["sha256"] in capsys.readouterr().out.replace("\n", "").replace(" ", "")

    finer = create_model("fcn8s", num_classes=4, channels=CHANNELS, fc_width=FC, geometry="caffe")
    initialise(finer, "net", input_spec=InputSpec.named("caffe"))
    key = "trunk.conv1_1.conv.weight"
    assert torch.equal(finer.get_parameter(key), saved.model.get_parameter(key))


def test_a_classifier_for_its_commands(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(caffe_networks, "FC", 2)
    layers = vgg16("vgg16", 1, 1).layers
    rng = np.random.default_rng(0)
    layers["fc8"] = [rng.normal(size=(1000, 2)).astype("f4"), rng.normal(size=1000).astype("f4")]
    write_caffemodel(Path("vgg.caffemodel"), layers, 1)
    main(["weights", "convert", "vgg.caffemodel", "--as", "vgg16", "--out", "net"])
    told = capsys.readouterr().out
    assert "net: vgg16 of vgg.caffemodel, 1000 classes, tench to toilet tissue" in told
    assert "Next: upscore classify PHOTO --model net" in told
    saved = load_classifier_folder(here / "net")
    assert saved.classes == imagenet_classes()
    assert saved.input_spec == InputSpec.named("caffe")

    photo_file(230, 240)
    results = []
    for model in ("net", "vgg.caffemodel"):
        main(["classify", "photo.png", "--model", model, "--top", "1000", "--json"])
        results.append(json.loads(capsys.readouterr().out)["result"])
    assert results[0] == results[1]
    assert len(results[0]["photos"][0]["classes"]) == 1000
    main(["heatmap", "photo.png", "--class", "tench", "--model", "net", "--out", "map.png"])
    assert Image.open("map.png").width == 240
    main(["info", "net"])
    assert "vgg.caffemodel, not one of the known" in capsys.readouterr().out.replace("\n", "")

    Path("classes.txt").write_text("a\nb\n")
    with pytest.raises(SettingsError, match=r"classes\.txt: the classifier scores 1000 classes"):
        convert("vgg.caffemodel", network="vgg16", out="other", classes=Path("classes.txt"))
    with pytest.raises(RunError, match="left-over weights of the layer 'score_fr'"):
        convert(fcn_file(), network="vgg16", out="other")
    with pytest.raises(NotFoundError, match=r"none\.caffemodel: no such file"):
        convert("none.caffemodel", network="vgg16", out="other")
    assert not (here / "other").exists()


def test_torchvisions_file_becomes_a_classifier(here: Path) -> None:
    torch.save(theirs(batch_norm=True).state_dict(), "vgg.pth")
    Path("classes.txt").write_text("\n".join("abcdefghia"))
    convert("vgg.pth", network="vgg16", out="net", classes=Path("classes.txt"))
    saved = load_classifier_folder(here / "net")
    assert saved.classes == tuple("abcdefghia")
    assert saved.input_spec == InputSpec.named("imagenet")


def test_a_network_without_statistics_warns(
    here: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    convert(deconvnet_file(), network="deconvnet", out="ready")
    main(["weights", "convert", "d.caffemodel", "--as", "deconvnet-train", "--out", "raw"])
    told = capsys.readouterr().out
    assert "warning: its batch norms have no statistics" in told
    assert "Next: upscore train deconvnet-stage2 --data PHOTOS --set init.weights=raw" in told
    runtime = select_runtime("cpu", "fp32")
    load_trained(here / "ready")
    assert not caplog.records
    load_network(here / "raw", runtime)
    load_instance_wise(here / "raw", FixedBoxes(), runtime)
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert "raw: its batch norms have no statistics, which such files" in caplog.text


def test_the_released_pipeline(here: Path) -> None:
    convert(fcn_file(), network="fcn8s", out="fcn")
    convert(deconvnet_file(), network="deconvnet", out="deconv")
    assert trained_settings(here / "deconv") == {
        "growth": 1.2, "square": True, "leave_image": True, "input_size": (224, 224),
    }  # fmt: skip
    photo = np.asarray(Image.open(photo_file(150, 170)))
    make_store(Path("boxes.parquet"), {"photo": photo})
    main(["pipeline", "edeconvnet-crf-released", "--run", "fcn=fcn", "--run", "deconvnet=deconv",
          "--store", "boxes.parquet", "--out", "both.yaml"])  # fmt: skip
    pipeline = load_pipeline(Path("both.yaml"), stages=["edeconvnet"])
    assert pipeline.predict(photo).shape == (150, 170)
    settings = Path("both.yaml").read_text("utf-8")
    assert "combine: product" in settings
    assert settings.count("crf: released") == 3
    assert "preset: released" in settings


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, None),
        (VOC, None),
        (["void", *VOC[1:]], "the number of its classes is 20, that of .* is 21"),
        (VOC[:20], "the number of its classes is 20, that of .* is 21"),
        (sorted(VOC), "other order: 'aeroplane' is number 0, where VOC's masks .* have 'backgr"),
        ([f"c{i}" for i in range(21)], None),
    ],
)
def test_classes(here: Path, names: list[str] | None, message: str | None) -> None:
    path = None
    if names is not None:
        path = Path("classes.txt")
        path.write_text("\n".join(names))
    if message is not None:
        with pytest.raises(SettingsError, match=message):
            convert(fcn_file(), network="fcn8s", out="net", classes=path)
        assert not (here / "net").exists()
        return
    result = convert(fcn_file(), network="fcn8s", out="net", classes=path)
    assert list(result.classes) == (names or VOC)
    own_colors = names is not None and names[0] == "c0"
    assert (load_model(here / "net").labels == VOC_LABELS) is not own_colors


def test_what_convert_refuses(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFoundError, match=r"none\.caffemodel: no such file"):
        convert("none.caffemodel", network="fcn8s", out="net")
    with pytest.raises(SettingsError, match="no released network 'fcn9s'"):
        convert(fcn_file(), network="fcn9s", out="net")
    (here / "taken").mkdir()
    (here / "taken" / "a.txt").touch()
    with pytest.raises(SettingsError, match="taken: is there already"):
        convert(fcn_file(), network="fcn8s", out="taken")
    write_caffemodel(Path("vgg.caffemodel"), vgg16("vgg16", 1, 1).layers, 1)
    with pytest.raises(RunError, match="VGG16, a classifier of whole photos: start a training"):
        convert("vgg.caffemodel", network="fcn8s", out="net")
    Path("cut.caffemodel").write_bytes(fcn_file().read_bytes()[:-100])
    with pytest.raises(RunError, match=r"cut\.caffemodel: .*truncated"):
        convert("cut.caffemodel", network="fcn8s", out="net")
    monkeypatch.setattr(caffe_networks, "CLASSES", 3)
    with pytest.raises(SettingsError, match=r"number of its classes is 3, and .* --classes FILE"):
        convert(fcn_file(), network="fcn8s", out="net")
    with pytest.raises(SettingsError, match=r"taken: is a folder, .*; .* upscore info taken"):
        convert("taken", network="fcn8s", out="net")
    with pytest.raises(SettingsError, match="taken: is a folder"):
        show("taken")
    with pytest.raises(SettingsError, match=r"is a folder, .*--from names fcn-8s-pascal"):
        get("fcn8s-cvpr", out="net", file="taken")
    assert not (here / "net").exists()


@pytest.mark.usefixtures("here")
def test_what_show_proposes(capsys: pytest.CaptureFixture[str]) -> None:
    """Only what will work, and every network that has these layers."""
    layers = fcn("fcn8s", 1, 1).layers
    parts = ("weight", "bias")
    state = {
        f"{name}.{part}": torch.from_numpy(blob)
        for name, blobs in layers.items()
        for part, blob in zip(parts, blobs, strict=False)
    }
    torch.save(state, "fcn.pth")
    main(["weights", "show", "fcn.pth"])
    told = capsys.readouterr().out
    assert "They have the same layers: only its publisher can say" in told
    assert "Next: upscore weights convert fcn.pth --as fcn8s --out DIR" in told
    assert "or upscore weights convert fcn.pth --as fcn8s-atonce --out DIR" in told
    vgg = vgg16("vgg16", 1, 1).layers
    write_caffemodel(Path("VGG.CAFFEMODEL"), vgg)
    main(["weights", "show", "VGG.CAFFEMODEL"])
    assert "upscore classify PHOTO --model VGG.CAFFEMODEL" in capsys.readouterr().out
    trunk = {name: blobs for name, blobs in vgg.items() if name.startswith("conv")}
    write_caffemodel(Path("trunk.caffemodel"), trunk)
    main(["weights", "show", "trunk.caffemodel"])
    told = capsys.readouterr().out
    assert "init.weights=trunk.caffemodel" in told
    assert "classify" not in told


@pytest.mark.usefixtures("here")
def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    main(["weights", "show", str(fcn_file("fcn16s")), "--json"])
    shown = json.loads(capsys.readouterr().out)["result"]
    assert shown["kind"] == "caffemodel"
    assert shown["known"] is None
    assert shown["looks_like"] == ["fcn16s"]
    layers = {one["name"]: one for one in shown["layers"]}
    assert layers["upscore16"] == {
        "name": "upscore16", "type": "Deconvolution", "shapes": [[21, 21, 32, 32]],
    }  # fmt: skip
    main(["weights", "show", "fcn16s.caffemodel"])
    told = capsys.readouterr().out
    assert "Next: upscore weights convert fcn16s.caffemodel --as fcn16s --out DIR" in told
    with pytest.raises(SystemExit):
        main(["weights", "show", "fcn8s-heavy"])
    assert "fetch it first: upscore weights get fcn8s-heavy" in capsys.readouterr().err
    weights = builtin_networks()["objects"] / "model.safetensors"
    main(["weights", "show", str(weights)])
    assert f"a network of upscore: upscore info {weights.parent}" in capsys.readouterr().out
    torch.save({"layer.weight": torch.ones(2, 3)}, "a.pth")
    main(["weights", "show", "a.pth"])
    assert "looks like: no network that is known" in capsys.readouterr().out


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    main(["weights", "list"])
    told = capsys.readouterr().out
    assert all(name in told for name in RELEASED_FILES)
    assert re.search(r"vgg16-caffe +vgg16 ", told)  # as --as takes it
    main(["weights", "list", "--json"])
    files = json.loads(capsys.readouterr().out)["result"]["files"]
    (one,) = [file for file in files if file["name"] == "deconvnet"]
    assert one["licence"].startswith("research only; not for commercial use")
    assert one["checksum"] is None


# -- known files, from a server on this machine ----------------------------------------------------


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


def publish(
    server: Server, monkeypatch: pytest.MonkeyPatch, name: str, file: Path, *, known: bool = True
) -> None:
    """Let the server have ``file`` as the released file ``name``."""
    server.content = file.read_bytes()
    digest = hashlib.sha1(server.content).hexdigest()
    entry = replace(
        find_released(name),
        address=server.url.replace("file.bin", find_released(name).file),
        checksum=f"sha1:{digest}" if known else None,
    )
    monkeypatch.setitem(released_files.RELEASED_FILES, name, entry)


def test_get_resumes_after_the_licence(
    here: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    publish(server, monkeypatch, "deconvnet", deconvnet_file())
    server.break_after = 40_000
    with pytest.raises(SystemExit):
        main(["weights", "get", "deconvnet", "--out", "net"])
    told = capsys.readouterr()
    assert told.out.startswith("Licence of deconvnet: research only; not for commercial use")
    assert "the connection broke after 40000" in told.err
    server.break_after = None
    main(["weights", "get", "deconvnet", "--out", "net"])
    assert server.requests == [None, "bytes=40000-"]
    kept = here / "cache" / "DeconvNet_trainval_inference.caffemodel"
    assert kept.read_bytes() == server.content
    assert load_model(here / "net").model.architecture == "deconvnet"
    origin = json.loads((here / "net" / "config.json").read_text())["trained"]
    assert origin["weights"] == "deconvnet (DeconvNet_trainval_inference.caffemodel)"
    assert origin["licence"].startswith("research only")
    assert show(kept).known == "deconvnet"
    get("deconvnet", out="again")  # from the cache
    assert len(server.requests) == 2


def test_a_file_with_another_checksum(
    here: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, monkeypatch, "fcn8s-heavy", fcn_file())
    server.content = server.content[:-1] + b"?"
    with pytest.raises(WorkError, match=r"sha1 is .* expected"):
        get("fcn8s-heavy", out="net")
    assert not [*(here / "cache").glob("*")]
    Path("other").write_bytes(server.content)
    with pytest.raises(WorkError, match=r"It is not fcn8s-heavy-pascal.caffemodel; .* --as fcn8s"):
        get("fcn8s-heavy", out="net", file="other")


@pytest.mark.usefixtures("here")
def test_a_page_in_place_of_a_file_without_checksum(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(server, monkeypatch, "fcn16s-heavy", fcn_file("fcn16s"), known=False)
    server.content = b"<html>moved</html>"
    with pytest.raises(WorkError, match=r"is not fcn16s-heavy-pascal.caffemodel and was removed"):
        get("fcn16s-heavy", out="net")
    server.content = Path("fcn16s.caffemodel").read_bytes()
    result = get("fcn16s-heavy")
    assert result.folder == Path("fcn16s-heavy")
    assert "no checksum of it is known" in result.origin["weights"]


def test_a_page_in_place_of_a_classifier(
    here: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder is made of it, so that nothing else would read it."""
    publish(server, monkeypatch, "vgg16-conv", fcn_file(), known=False)
    with pytest.raises(WorkError, match=r"was removed.*not VGG16; it looks like fcn8s"):
        get("vgg16-conv")
    server.content = b"<html>moved</html>"
    with pytest.raises(WorkError, match=r"is not VGG_ILSVRC_16_layers_conv\.caffemodel and was"):
        get("vgg16-conv")
    assert not [*(here / "cache").glob("*.caffemodel")]


@pytest.mark.usefixtures("here")
def test_a_file_at_hand() -> None:
    result = get("deconvnet", out="net", file=deconvnet_file())
    assert result.origin["weights"].startswith("deconvnet (d.caffemodel, as was said")
    with pytest.raises(NotFoundError, match="none: no such file; --from names DeconvNet_trainval"):
        get("deconvnet", out="other", file="none")
    with pytest.raises(SettingsError, match="net: is there already"):
        get("deconvnet", out="net", file="d.caffemodel")


@pytest.mark.usefixtures("here")
def test_get_makes_a_folder_of_a_classifier_where_it_is_asked_for(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_caffemodel(Path("vgg"), vgg16("vgg16", 1, 1).layers, 1)
    publish(server, monkeypatch, "vgg16-caffe", Path("vgg"))
    result = get("vgg16-caffe", out="net")
    assert result.network == "vgg16"
    assert result.origin["weights"] == "vgg16-caffe (VGG_ILSVRC_16_layers.caffemodel)"
    assert len(load_classifier_folder(Path("net")).classes) == 5


def test_a_classifier_is_fetched_only(
    here: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_caffemodel(Path("vgg"), vgg16("vgg16", 1, 1).layers, 1)
    publish(server, monkeypatch, "vgg16-caffe", Path("vgg"))
    main(["weights", "get", "vgg16-caffe"])
    path = here / "cache" / "VGG_ILSVRC_16_layers.caffemodel"
    told = capsys.readouterr().out.replace("\n", "")
    assert f"--set init.weights={path}" in told
    assert f"upscore classify PHOTO --model {path}" in told
    assert not (here / "vgg16-caffe").exists()


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("fcn8s-pytorch-fcn", SettingsError, r"Google Drive, id .*browser can fetch; .* --from"),
        ("fcn8s-hevy", SettingsError, "no released file 'fcn8s-hevy'; did you mean 'fcn8s-heavy'"),
    ],
)
@pytest.mark.usefixtures("here")
def test_what_get_refuses(name: str, error: type[UpscoreError], message: str) -> None:
    with pytest.raises(error, match=message):
        get(name)
