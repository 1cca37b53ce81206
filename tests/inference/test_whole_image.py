from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from inference.support import CPU, PLAIN, THREE, random_photo, wrap
from upscore.core.images import InputSpec
from upscore.core.labels import Labels
from upscore.core.runtime import Runtime
from upscore.errors import DataError, RunError
from upscore.inference.segmenter import softmax
from upscore.inference.whole_image import WholeImage
from upscore.models.checkpoint import load_model
from upscore.models.factory import create_model


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (37, 2), (33, 65)])
def test_every_method_at_any_size(model_folder, size):
    saved = load_model(model_folder)
    segmenter = WholeImage(saved.model, saved.labels, saved.input_spec, CPU)
    image = random_photo(*size)
    scores, probabilities = segmenter.scores(image), segmenter.probabilities(image)
    labels = segmenter.predict(image)
    assert scores.dtype == probabilities.dtype == np.float32
    assert scores.shape == probabilities.shape == (3, *size)
    assert scores.flags.c_contiguous
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, scores.argmax(axis=0))
    np.testing.assert_allclose(probabilities, softmax(scores.copy()), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=0), 1, atol=1e-5)


def test_scores_are_those_of_the_plain_network(model_folder, photo):
    """Folding, channels last and numpy on the way change nothing but rounding."""
    saved = load_model(model_folder)
    x = saved.input_spec.apply(torch.from_numpy(photo).permute(2, 0, 1)[None].contiguous())
    with torch.no_grad():
        want = saved.model(x)[0].numpy()
    segmenter = WholeImage(saved.model, saved.labels, saved.input_spec, CPU)
    got = segmenter.scores(photo)
    np.testing.assert_allclose(got, want, atol=1e-4 * np.abs(want).max())


def test_bf16_is_close_to_fp32(model_folder, photo):
    saved = load_model(model_folder)
    fp32 = WholeImage(saved.model, saved.labels, saved.input_spec, CPU)
    bf16 = WholeImage(saved.model, saved.labels, saved.input_spec, Runtime("cpu", "bf16"))
    want, got = fp32.scores(photo), bf16.scores(photo)
    assert got.dtype == np.float32
    assert np.abs(got - want).max() < 0.05 * np.abs(want).max()
    assert (bf16.predict(photo) == fp32.predict(photo)).mean() > 0.95
    assert next(saved.model.parameters()).dtype == torch.float32


def test_the_model_given_stays_as_it_is(photo):
    model = create_model("fcn8s", num_classes=3, width=1 / 16, fc_width=16, batch_norm=True)
    before = copy.deepcopy(model.state_dict())
    wrap(model).predict(photo)
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_channel_order_and_scale_come_from_the_input_spec(photo):
    identity = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        identity.weight.copy_(torch.eye(3).view(3, 3, 1, 1))
    spec = InputSpec("bgr", (10.0, 20.0, 30.0), (1.0, 2.0, 4.0))
    got = WholeImage(identity, THREE, spec, CPU).scores(photo)
    want = (photo[..., ::-1].astype(np.float64) - (10, 20, 30)) / (1, 2, 4)
    np.testing.assert_allclose(got, want.transpose(2, 0, 1), rtol=1e-5, atol=1e-5)


def test_views_are_taken(model_folder):
    saved = load_model(model_folder)
    segmenter = WholeImage(saved.model, saved.labels, saved.input_spec, CPU)
    image = random_photo(40, 50)
    turned = np.ascontiguousarray(image[:, ::-1])
    assert np.array_equal(segmenter.scores(image[:, ::-1]), segmenter.scores(turned))
    image.flags.writeable = False
    segmenter.predict(image)


@pytest.mark.filterwarnings("error")
def test_read_only_images_warn_of_nothing(photo):
    photo.flags.writeable = False
    wrap(nn.Conv2d(3, 3, 1)).predict(photo)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4, 3), np.float32), r"dtype float32; expected uint8 .* \* 255"),
        (np.zeros((4, 4), np.uint8), r"shape \(4, 4\); expected \(H, W, 3\)"),
        (np.zeros((3, 4, 4), np.uint8), r"shape \(3, 4, 4\); expected \(H, W, 3\)"),
        (np.zeros((4, 4, 4), np.uint8), r"shape \(4, 4, 4\)"),
        (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
        ([[1, 2, 3]], "an image is a list"),
    ],
)
def test_what_is_no_image_is_refused(image, message):
    segmenter = wrap(nn.Conv2d(3, 3, 1))
    for method in (segmenter.scores, segmenter.probabilities, segmenter.predict):
        with pytest.raises(DataError, match=message):
            method(image)


def test_another_number_of_classes_is_refused(photo):
    segmenter = WholeImage(nn.Conv2d(3, 5, 1), THREE, PLAIN, CPU)
    with pytest.raises(RunError, match=r"scores of shape \(1, 5, 48, 64\).*its 3 classes"):
        segmenter.predict(photo)


def test_255_classes(photo):
    labels = Labels.of(f"c{i}" for i in range(255))
    assert WholeImage(nn.Conv2d(3, 255, 1), labels, PLAIN, CPU).predict(photo).max() <= 254
