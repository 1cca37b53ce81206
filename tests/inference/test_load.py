from __future__ import annotations

import json
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import upscore
from inference.support import random_photo, save_photo
from new_process import run_python
from upscore.errors import DataError, NotFoundError, RunError, SettingsError
from upscore.inference import test_time_augmentation as tta
from upscore.inference.load import load_segmenter
from upscore.inference.tiles import Tiled
from upscore.inference.whole_image import WholeImage

SOURCE = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(model_folder, tmp_path) -> Path:
    folder = tmp_path / "run"
    shutil.copytree(model_folder, folder / "model")
    (folder / "manifest.json").write_text(json.dumps({"format_version": 1}))
    return folder


def test_a_run_and_a_model_folder_load_alike(run, model_folder, photo):
    from_run, from_model = load_segmenter(run), load_segmenter(model_folder)
    assert from_run.labels == from_model.labels
    assert np.array_equal(from_run.predict(photo), from_model.predict(photo))


def test_options_have_their_effect(run):
    plain = load_segmenter(run, tile=0)
    assert isinstance(plain, WholeImage)
    default = load_segmenter(run)
    assert isinstance(default, Tiled)
    assert isinstance(default.base, WholeImage)
    averaged = load_segmenter(run, tile=0, flip=True)
    assert isinstance(averaged, tta.TestTimeAugmentation)
    scaled = load_segmenter(run, tile=256, scales=(0.5, 1.0))
    assert isinstance(scaled, Tiled)
    assert isinstance(scaled.base, tta.TestTimeAugmentation)
    assert scaled.base.scales == (0.5, 1.0)


def test_a_run_without_a_model_yet(run):
    shutil.rmtree(run / "model")
    with pytest.raises(RunError, match=r"no model yet, .* --resume"):
        load_segmenter(run)


def test_a_missing_folder(tmp_path):
    with pytest.raises(NotFoundError, match="no such run folder; `upscore train` makes one"):
        load_segmenter(tmp_path / "nothing")


def test_a_folder_that_is_neither(tmp_path):
    (tmp_path / "sweep/seed=0").mkdir(parents=True)
    (tmp_path / "sweep/seed=0/manifest.json").touch()
    with pytest.raises(RunError, match=r"several runs; name one of them, such as .*seed=0"):
        load_segmenter(tmp_path / "sweep")
    with pytest.raises(RunError, match=r"neither a run folder .* nor a model folder"):
        load_segmenter(tmp_path)


def test_a_file(tmp_path):
    (tmp_path / "weights.pth").touch()
    with pytest.raises(RunError, match="is a file; name the run folder"):
        load_segmenter(tmp_path / "weights.pth")


def test_a_newer_run(run):
    (run / "manifest.json").write_text(json.dumps({"format_version": 99}))
    with pytest.raises(RunError, match="written by a newer upscore"):
        load_segmenter(run)


def test_a_half_written_model(run):
    (run / "model/model.safetensors").unlink()
    with pytest.raises((RunError, NotFoundError), match=r"model"):
        load_segmenter(run)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tile": 100}, "tile is 100"),
        ({"scales": ()}, "scales are empty"),
        ({"device": "tpu"}, "device is 'tpu'"),
        ({"precision": "fp8"}, "precision is 'fp8'"),
        ({"precision": "fp16", "device": "cpu"}, "fp16 needs a GPU"),
    ],
)
def test_wrong_options(run, options, message):
    with pytest.raises(SettingsError, match=message):
        load_segmenter(run, **options)


def test_three_lines(run, tmp_path):
    path = save_photo(tmp_path / "photo.png", random_photo(40, 50))
    segmenter = upscore.load(run)
    result = segmenter.segment(path)
    assert segmenter.labels.names == ("ground", "tree", "sky")
    assert result.label_set == segmenter.labels
    assert result.labels.shape == (40, 50)
    assert result.labels.dtype == np.uint8
    assert result.probabilities.shape == (3, 40, 50)
    assert result.probabilities.dtype == np.float32
    assert np.array_equal(result.labels, result.probabilities.argmax(axis=0))
    assert result.overlay(legend=False).size == (50, 40)
    assert result.overlay(alpha=0.3).height > 40
    sky, ground = result.shares["sky"], result.shares["ground"]
    assert sky > ground > 0.1  # by how much depends on how this CPU rounds
    assert repr(result) == f"<Segmentation 50x40: sky {sky:.1%}, ground {ground:.1%}>"
    assert sum(result.shares.values()) == pytest.approx(1)
    assert result.shares["sky"] == pytest.approx((result.labels == 2).mean())
    assert result._repr_png_().startswith(b"\x89PNG")
    result.save(tmp_path / "labels.png")
    with Image.open(tmp_path / "labels.png") as stored:
        assert stored.mode == "P"
        assert np.array_equal(np.asarray(stored), result.labels)


def test_paths_pictures_and_arrays_give_the_same(run, tmp_path):
    image = random_photo(30, 40)
    path = save_photo(tmp_path / "photo.png", image)
    segmenter = upscore.load(str(run))
    want = segmenter.segment(image).labels
    for form in (path, str(path), Image.fromarray(image), Image.fromarray(image).convert("RGBA")):
        assert np.array_equal(segmenter.segment(form).labels, want)


def test_files_pictures_and_arrays_are_limited_alike(run, tmp_path):
    image = random_photo(30, 40)
    segmenter = upscore.load(run)
    for form in (save_photo(tmp_path / "a.png", image), Image.fromarray(image), image):
        with pytest.raises(DataError, match=r"40x30 is .* over the limit .* --max-pixels 1200"):
            segmenter.segment(form, max_pixels=1199)
        assert segmenter.segment(form, max_pixels=1200).labels.shape == (30, 40)


def test_pictures_are_turned_upright(run):
    picture = Image.fromarray(random_photo(20, 40))
    picture.getexif()[0x0112] = 6
    assert upscore.load(run).segment(picture).labels.shape == (40, 20)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3)), "dtype float64; expected uint8"),
        (np.zeros((4, 4), np.uint8), r"for a grey one: np\.repeat\(image\[:, :, None\]"),
        (np.zeros((4, 4, 1), np.uint8), r"for a grey one: np\.repeat\(image, 3, axis=2\)"),
        (np.zeros((4, 4, 4), np.uint8), r"without the fourth channel: image\[:, :, :3\]"),
        (np.zeros((0, 0, 3), np.uint8), "at least one pixel"),
        (None, "an image is a NoneType"),
    ],
)
def test_what_is_no_image_is_refused(run, image, message):
    with pytest.raises(DataError, match=message):
        upscore.load(run).segment(image)


def test_files_that_are_no_photos(run, tmp_path):
    with pytest.raises(NotFoundError, match="no such file"):
        upscore.load(run).segment(tmp_path / "no.jpg")
    (tmp_path / "text.jpg").write_text("hello")
    with pytest.raises(DataError, match="not an image"):
        upscore.load(run).segment(tmp_path / "text.jpg")


def test_label_maps_are_saved_as_png_only(run, photo, tmp_path):
    with pytest.raises(SettingsError, match=r"saved as \.png; for a picture to look at"):
        upscore.load(run).segment(photo).save(tmp_path / "labels.jpg")


def test_the_package_imports_nothing_heavy():
    code = (
        "import sys, upscore; heavy = {'torch', 'numpy', 'PIL', 'matplotlib'} & set(sys.modules); "
        "assert not heavy, heavy; assert 'load' in upscore.__all__"
    )
    run_python(code)


def test_version_is_that_of_the_project():
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    assert upscore.__version__ == project["version"]


def test_unknown_names_of_the_package():
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        upscore.lod  # noqa: B018
