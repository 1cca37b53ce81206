"""A dense CRF around a segmenter, from Python and from the command line."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import upscore
from inference.support import ByColor, late_edge, random_photo, save_photo, two_halves
from upscore.cli import predict as verb
from upscore.cli.segmenter_options import SegmenterOptions
from upscore.core.labels import Labels
from upscore.crf.settings import BilateralSettings, CRFSettings, crf_settings
from upscore.errors import DataError, NotFoundError, SettingsError
from upscore.inference import test_time_augmentation as tta
from upscore.inference.load import load_segmenter
from upscore.inference.predict_files import predict_files
from upscore.inference.refine import CRF_TILE, Refine, crf_device
from upscore.inference.tiles import Tiled
from upscore.inference.whole_image import WholeImage

CRF = crf_settings("deconvnet").build()


class Late(ByColor):
    """Two classes whose edge is three pixels to the right of the photo's."""

    labels = Labels.of(["dark", "bright"])

    def probabilities(self, image):
        return late_edge(*image.shape[:2])


def test_it_is_the_crf_of_the_segmenters_probabilities(by_color, photo):
    refined = Refine(by_color, CRF)
    want = CRF(photo, probabilities=by_color.probabilities(photo))
    assert np.array_equal(refined.probabilities(photo), want)
    assert np.array_equal(refined.predict(photo), want.argmax(axis=0))
    assert refined.predict(photo).dtype == np.uint8
    assert refined.labels is by_color.labels
    assert not np.allclose(want, by_color.probabilities(photo), atol=0.01)


def test_the_edge_moves_to_where_the_photo_has_it():
    photo = two_halves(24, 40)
    truth = (photo[..., 0] > 100).astype(np.uint8)
    assert (Late().probabilities(photo).argmax(axis=0) != truth).sum() == 3 * 24
    assert np.array_equal(Refine(Late(), CRF).predict(photo), truth)


def test_softmax_of_scores_is_the_marginals(by_color, photo):
    refined = Refine(by_color, CRF)
    scores = refined.scores(photo)
    assert np.isfinite(scores).all()
    np.testing.assert_allclose(np.exp(scores), refined.probabilities(photo), atol=1e-6)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (13, 1), (17, 31)])
def test_odd_sizes(by_color, size):
    probabilities = Refine(by_color, CRF).probabilities(random_photo(*size))
    assert probabilities.shape == (3, *size)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)


def test_what_is_no_image_is_refused(by_color):
    with pytest.raises(DataError, match="dtype float64"):
        Refine(by_color, CRF).predict(np.zeros((3, 3, 3)))


def test_several_threads_get_what_one_gets(by_color):
    photos = [random_photo(20, 30 + number, seed=number) for number in range(6)]
    refined = Refine(by_color, CRF)
    want = [refined.predict(photo) for photo in photos]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(refined.predict, photos * 3))
    assert all(np.array_equal(a, b) for a, b in zip(got, want * 3, strict=True))


def test_a_batch_reads_and_writes_in_threads_meanwhile(tmp_path):
    for number in range(6):
        save_photo(tmp_path / f"photos/{number}.png", two_halves(20, 30 + 2 * number))
    summary = predict_files(Refine(Late(), CRF), [tmp_path / "photos"], tmp_path / "out")
    summary.check()
    for number in range(6):
        labels = np.asarray(Image.open(tmp_path / f"out/labels/{number}.png"))
        assert np.array_equal(labels[0], np.arange(30 + 2 * number) >= 15 + number)


# -- load_segmenter ------------------------------------------------------------------------------


def test_load_puts_the_crf_around_the_tiles(model_folder):
    outer = load_segmenter(model_folder, crf="deconvnet", tile=256, flip=True)
    assert isinstance(outer, Tiled)
    assert outer.tile == CRF_TILE
    assert isinstance(outer.base, Refine)
    inner = outer.base.segmenter
    assert isinstance(inner, Tiled)
    assert inner.tile == 256
    assert isinstance(inner.base, tta.TestTimeAugmentation)

    large = load_segmenter(model_folder, crf="deconvnet", tile=4096)
    assert isinstance(large, Tiled)
    assert large.tile == 4096

    whole = load_segmenter(model_folder, crf="deconvnet", tile=0)
    assert isinstance(whole, Refine)
    assert isinstance(whole.segmenter, WholeImage)


def test_the_crf_takes_a_photo_in_more_than_one_network_tile_whole(model_folder):
    photo = random_photo(150, 200)
    network = load_segmenter(model_folder, tile=128)
    assert network.scores(photo).shape == (3, 150, 200)
    want = CRF(photo, probabilities=network.probabilities(photo))
    got = load_segmenter(model_folder, tile=128, crf="deconvnet").probabilities(photo)
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_a_photo_too_large_for_the_crf_is_blended(by_color):
    """Its settings are short-ranged, so that a tile of 128 sees all that matters to its middle."""
    crf = CRFSettings(bilateral=BilateralSettings(sxy=4, srgb=8, weight=5), iterations=3).build()
    photo = random_photo(150, 200)
    whole = Refine(by_color, crf)
    tiled = Tiled(Refine(by_color, crf), tile=128)
    want, got = whole.probabilities(photo), tiled.probabilities(photo)
    changed = np.abs(want - by_color.probabilities(photo))
    assert np.abs(got - want).mean() < 0.05 * changed.mean()
    assert (tiled.predict(photo) == whole.predict(photo)).mean() > 0.99
    seam = np.abs(np.diff(got, axis=2)).max(axis=(0, 1))
    assert seam.max() < 1.5 * np.abs(np.diff(want, axis=2)).max()


def test_wrong_settings_are_reported_before_the_model_is_read(tmp_path):
    with pytest.raises(SettingsError, match="no CRF settings 'deconvnt'; did you mean"):
        load_segmenter(tmp_path / "no run", crf="deconvnt")
    with pytest.raises(NotFoundError, match=r"none\.yaml: no such file of CRF settings"):
        load_segmenter(tmp_path / "no run", crf=tmp_path / "none.yaml")


def test_three_lines(model_folder, tmp_path):
    path = save_photo(tmp_path / "photo.png", random_photo(40, 50))
    plain = upscore.load(model_folder).segment(path)
    refined = upscore.load(model_folder, crf="deeplab").segment(path)
    want = crf_settings("deeplab").build()(plain.image, probabilities=plain.probabilities)
    np.testing.assert_allclose(refined.probabilities, want, atol=1e-6)


# -- the verbs -----------------------------------------------------------------------------------


def test_predict_with_a_crf(model_folder, tmp_path, capsys):
    for number in range(4):
        save_photo(tmp_path / f"photos/{number}.png", random_photo(40, 50 + number, seed=number))
    options = SegmenterOptions(crf="deconvnet")
    out = tmp_path / "out"
    verb.predict((str(model_folder), str(tmp_path / "photos")), out=out, options=options)
    assert "Segmented 4 images in" in capsys.readouterr().out
    segmenter = load_segmenter(model_folder, crf="deconvnet")
    for number in range(4):
        photo = np.asarray(Image.open(tmp_path / f"photos/{number}.png"))
        labels = np.asarray(Image.open(out / f"labels/{number}.png"))
        assert np.array_equal(labels, segmenter.predict(photo))


def test_the_crf_takes_a_gpu_that_was_asked_for():
    assert [crf_device(name) for name in ("cpu", "auto", "cuda")] == ["cpu", "cpu", "cuda"]


def test_options_record_every_setting(tmp_path):
    path = tmp_path / "mine.yaml"
    settings = CRFSettings(bilateral=BilateralSettings(sxy=5, srgb=3, weight=2), prune=0.01)
    path.write_text(settings.to_yaml(), encoding="utf-8")
    about = SegmenterOptions(device="cpu", precision="fp32", crf=str(path)).to_dict()
    assert about["crf"] == settings.to_json()
    assert json.loads(json.dumps(about)) == about
    missing = set(asdict(SegmenterOptions())) - set(about) - {"max_pixels"}
    assert not missing
    assert "crf" not in SegmenterOptions().to_dict()


def test_evaluate_with_a_crf_records_its_settings(tmp_path: Path):
    from upscore.cli.evaluate import evaluate
    from upscore.core.images import InputSpec
    from upscore.core.run_folder import RunFolder
    from upscore.data import open_dataset
    from upscore.data.toy import make_toy
    from upscore.models.checkpoint import save_model
    from upscore.models.factory import create_model

    make_toy(tmp_path / "toy", num=4, seed=0)
    labels = open_dataset(tmp_path / "toy").labels
    run = RunFolder(tmp_path / "run")
    model = create_model("fcn32s", num_classes=len(labels), width=0.02, fc_width=4)
    save_model(run.model, model, labels=labels, input_spec=InputSpec.named("imagenet"))
    run.write_manifest({})
    evaluate(run.path, data=tmp_path / "toy", options=SegmenterOptions(crf="released"))
    content = json.loads((run.path / "evaluation/val/scores.json").read_text("utf-8"))
    assert content["about"]["settings"]["crf"] == crf_settings("released").to_json()
    assert content["failures"] == []
