"""``DenseCRF`` in torch, its path for GPUs: equal to the numba one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from upscore.crf import Bilateral, DenseCRF, Features, Gaussian, Potts, torch_mean_field
from upscore.errors import SettingsError

BOTH = DenseCRF(gaussian=Gaussian(3, 3), bilateral=Bilateral(20, 10, 5), iterations=4)


def batch(num=2, classes=3, height=9, width=12, channels=3, seed=0):
    """Smooth images (B, K, H, W) uint8 and random scores (B, C, H, W) float32."""
    torch.manual_seed(seed)
    images = F.interpolate(255 * torch.rand(num, channels, 3, 3), (height, width), mode="bilinear")
    return images.to(torch.uint8), torch.randn(num, classes, height, width)


MU = np.array([[0.0, 1.0, 0.3], [2.0, 0.1, 0.5], [0.2, 0.8, -0.4]], np.float32)


@pytest.fixture
def torch_on_the_cpu(monkeypatch):
    """What DenseCRF(device="cuda") runs, but on the CPU."""
    infer = torch_mean_field.infer_with_torch

    def on_the_cpu(*arguments, device, **more):
        assert device == "cuda"
        return infer(*arguments, device="cpu", **more)

    monkeypatch.setattr(torch_mean_field, "infer_with_torch", on_the_cpu)


@pytest.mark.usefixtures("torch_on_the_cpu")
@pytest.mark.parametrize(
    "crf",
    [
        BOTH,
        DenseCRF(gaussian=Gaussian((1.5, 4), 2), iterations=3),
        DenseCRF(bilateral=Bilateral((10, 30), (5, 10, 20), 4), iterations=10),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, iterations=3, normalization="before"),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, iterations=3, normalization="after"),
        DenseCRF(Gaussian(2, 0.05), Bilateral(20, 10, 0.02), normalization="none"),
        DenseCRF(Gaussian(3, 3, "after"), Bilateral(20, 10, 5, "before"), iterations=3),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, compatibility=Potts(0.4)),
        DenseCRF(BOTH.gaussian, None, [Gaussian(1, 2), Bilateral(5, 40, 1), Gaussian(6, 0)]),
        DenseCRF(terms=[Features(np.random.default_rng(0).random((1, 9, 12), np.float32) * 5, 3)]),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, compatibility=MU),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, prune=0.7),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, compatibility=MU, prune=0.7),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, iterations=50, tolerance=1e-3),
        DenseCRF(BOTH.gaussian, iterations=0),
        DenseCRF(),
    ],
    ids=["both", "gaussian", "bilateral", "before", "after", "unnormalised", "own", "potts", "more",
         "features", "matrix", "prune", "prune-matrix", "tolerance", "no-iterations", "none"],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["probabilities", "energies"])
def test_dense_crf_in_torch_equals_numba(crf, kind):
    images, scores = batch(num=1)
    image = images[0].permute(1, 2, 0).numpy()
    scores[0, 2] -= 3  # a class that prune leaves out
    probabilities = scores[0].softmax(0).numpy()
    given = {kind: probabilities if kind == "probabilities" else -np.log(probabilities)}
    want = crf.infer(image, **given)
    got = replace(crf, device="cuda").infer(image, **given)
    assert got.iterations == want.iterations
    assert (got.marginals.dtype, got.marginals.shape) == (np.float32, want.marginals.shape)
    np.testing.assert_allclose(got.marginals, want.marginals, atol=1e-4)


def test_prune_leaves_out_a_class_there():
    """So that the comparison above says something of pruning."""
    _, scores = batch(num=1)
    scores[0, 2] -= 3
    assert (scores[0].softmax(0).flatten(1).amax(1) >= 0.7).tolist() == [True, True, False]


@pytest.mark.parametrize("device", ["mps", "gpu", "cuda:", "", 0, None])
def test_a_wrong_device(device):
    with pytest.raises(SettingsError, match="expected cpu, cuda or cuda:N"):
        DenseCRF(device=device)


@pytest.mark.parametrize("device", ["cuda", "cuda:99"])
def test_a_gpu_that_is_not_there(device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    crf = DenseCRF(device=device)
    with pytest.raises(SettingsError, match=f"device is {device}, but torch sees 0 GPUs here"):
        crf(None, probabilities=np.full((2, 3, 3), 0.5, np.float32))


def test_divergences_are_for_the_cpu():
    crf = DenseCRF(device="cuda")
    with pytest.raises(SettingsError, match="kl=True works with device='cpu' only"):
        crf.infer(None, probabilities=np.full((2, 3, 3), 0.5, np.float32), kl=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_dense_crf_on_a_gpu_equals_numba():
    images, scores = batch(num=1, height=60, width=81)
    image, energies = images[0].permute(1, 2, 0).numpy(), -scores[0].numpy()
    got = replace(BOTH, device="cuda")(image, energies=energies)
    np.testing.assert_allclose(got, BOTH(image, energies=energies), atol=1e-4)
