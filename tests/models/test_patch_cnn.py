"""The patch classifier: slid, in one pass, and in training."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscore.models.factory import create_model
from upscore.models.fold import fold_batch_norm
from upscore.models.patch_cnn import PATCH, STRIDE, PatchCNN

SIZES = [(1, 1), (7, 40), (8, 9), (75, 75), (83, 61), (90, 128)]


def network(**options: float) -> PatchCNN:
    torch.manual_seed(0)
    model = create_model("patch-cnn", num_classes=4, width=1 / 8, score_init="he", **options)
    assert isinstance(model, PatchCNN)
    model.train()(torch.randn(4, 3, 100, 90))  # moves the running statistics
    return model.eval()


def photos(*size: int) -> Tensor:
    return torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("batch_norm", [True, False])
def test_slid_and_convolutional_scores_are_equal(size: tuple[int, int], batch_norm: bool) -> None:
    model, images = network(batch_norm=batch_norm), photos(*size)
    slid = model.slide(images, batch=5)
    assert slid.shape == (2, 4, *size)
    assert slid.std() > 0.01
    torch.testing.assert_close(model(images), slid, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(fold_batch_norm(model)(images), slid, rtol=1e-4, atol=1e-4)


def fully_connected(model: PatchCNN, patch: Tensor) -> Tensor:
    """(3, 75, 75) -> (C,), written with linear layers."""
    x = patch[None]
    for name in ("conv1", "conv2", "conv3"):
        conv = model.get_submodule(name).conv
        x = F.max_pool2d(F.relu(F.conv2d(x, conv.weight, conv.bias)), 3, 2)
    assert x.shape[2:] == (5, 5)
    fc, score = model.fc4.conv, model.score
    x = F.relu(F.linear(x.flatten(1), fc.weight.flatten(1), fc.bias))
    return F.linear(x, score.weight.flatten(1), score.bias)[0]


@torch.no_grad()
def test_the_score_of_a_pixel_is_that_of_the_patch_around_it() -> None:
    """Every eighth pixel, corners of the photo included, by a classifier of linear layers."""
    model, images = network(batch_norm=False), photos(50, 41)
    scores = model(images)
    half = PATCH // 2
    padded = F.pad(images, (half,) * 4)  # zeros: the mean colour
    for row in range(0, 50, STRIDE):
        for column in range(0, 41, STRIDE):
            patch = padded[1, :, row : row + PATCH, column : column + PATCH]
            want = fully_connected(model, patch)
            torch.testing.assert_close(scores[1, :, row, column], want, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_scores_between_the_patches_are_interpolated() -> None:
    scores = network()(photos(30, 41))
    for step in range(1, STRIDE):
        near, far = scores[..., 8, 16], scores[..., 8, 24]
        want = near + (far - near) * step / STRIDE
        torch.testing.assert_close(scores[..., 8, 16 + step], want, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_a_pixel_sees_its_patch_and_nothing_else() -> None:
    model, images = network(), photos(160, 160)[:1]
    plain = model(images)[..., 80, 80]
    for distance, changes in ((PATCH // 2, True), (PATCH // 2 + 1, False)):
        for place in ((80 - distance, 80), (80, 80 + distance)):
            other = images.clone()
            other[:, :, place[0], place[1]] += 100
            assert (not torch.equal(model(other)[..., 80, 80], plain)) is changes, place


def test_in_training_images_of_the_patch_s_size_are_patches() -> None:
    model = network(dropout=0.0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    patches = photos(PATCH, PATCH)
    middle = model(patches)[..., PATCH // 2, PATCH // 2]
    model.training = True
    scores = model(patches)
    assert scores.shape == (2, 4, PATCH, PATCH)
    assert torch.equal(scores, scores[..., :1, :1].expand_as(scores))
    own = model.classify(patches)[..., 0, 0]
    torch.testing.assert_close(scores[..., 0, 0], own)
    # pixel 37 lies between the patches around 32 and 40, so a pass over a photo interpolates
    assert not torch.allclose(middle, own)
    assert model(photos(80, 75)).shape == (2, 4, 80, 75)
