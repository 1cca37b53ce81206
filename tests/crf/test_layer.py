"""The CRF as a layer: equal to DenseCRF, differentiable, learning."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck
from torch.func import functional_call

from crf.brute_force import brute_force
from upscore.crf import Bilateral, DenseCRF, Features, Gaussian, Potts, torch_mean_field
from upscore.crf.layer import CRFLayer
from upscore.errors import DataError, SettingsError

REPOSITORY = Path(__file__).resolve().parents[2]

BOTH = DenseCRF(gaussian=Gaussian(3, 3), bilateral=Bilateral(20, 10, 5), iterations=4)


def batch(num=2, classes=3, height=9, width=12, channels=3, seed=0):
    """Smooth images (B, K, H, W) uint8 and random scores (B, C, H, W) float32."""
    torch.manual_seed(seed)
    images = F.interpolate(255 * torch.rand(num, channels, 3, 3), (height, width), mode="bilinear")
    return images.to(torch.uint8), torch.randn(num, classes, height, width)


def dense_marginals(crf, images, scores):
    """DenseCRF on each image of a batch, (B, C, H, W)."""
    results = [
        crf(image.permute(1, 2, 0).numpy(), energies=-score.numpy())
        for image, score in zip(images, scores, strict=True)
    ]
    return torch.from_numpy(np.stack(results))


MU = np.array([[0.0, 1.0, 0.3], [2.0, 0.1, 0.5], [0.2, 0.8, -0.4]], np.float32)


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
        DenseCRF(BOTH.gaussian, BOTH.bilateral, compatibility=MU),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, compatibility=Potts(0.4)),
        DenseCRF(BOTH.gaussian, None, [Gaussian(1, 2), Bilateral(5, 40, 1), Gaussian(6, 0)]),
        DenseCRF(BOTH.gaussian, iterations=0),
    ],
    ids=["both", "gaussian", "bilateral", "before", "after", "none", "own", "matrix", "potts",
         "more", "no-iterations"],
)  # fmt: skip
@pytest.mark.parametrize("size", [(9, 12), (1, 1), (1, 7), (8, 5)])
def test_equals_dense_crf(crf, size):
    images, scores = batch(height=size[0], width=size[1])
    with torch.no_grad():
        log_marginals = CRFLayer(crf, num_classes=3)(images, scores)
    assert (log_marginals.shape, log_marginals.dtype) == (scores.shape, torch.float32)
    assert log_marginals.is_contiguous()
    torch.testing.assert_close(log_marginals.exp().sum(dim=1), torch.ones(2, *size))
    want = dense_marginals(crf, images, scores)
    torch.testing.assert_close(log_marginals.exp(), want, rtol=0, atol=1e-4)


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
        DenseCRF(BOTH.gaussian, BOTH.bilateral, iterations=3, normalization="before"),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, compatibility=MU),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, prune=0.7),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, compatibility=MU, prune=0.7),
        DenseCRF(BOTH.gaussian, BOTH.bilateral, iterations=50, tolerance=1e-3),
        DenseCRF(BOTH.gaussian, iterations=0),
        DenseCRF(),
    ],
    ids=["both", "before", "matrix", "prune", "prune-matrix", "tolerance", "no-iterations", "none"],
)
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
    with pytest.raises(SettingsError, match="want cpu, cuda or cuda:N"):
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


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_any_number_of_channels(channels):
    images, scores = batch(channels=channels)
    crf = DenseCRF(bilateral=Bilateral(10, tuple(range(5, 5 + channels)), 4))
    with torch.no_grad():
        got = CRFLayer(crf, num_classes=3)(images, scores).exp()
    torch.testing.assert_close(got, dense_marginals(crf, images, scores), rtol=0, atol=1e-4)


def test_features_of_ones_own():
    images, scores = batch()
    depth = np.random.default_rng(0).random((1, 9, 12), np.float32) * 5
    crf = DenseCRF(terms=[Features(depth, 3)])
    with torch.no_grad():
        got = CRFLayer(crf, num_classes=3)(None, scores).exp()
    torch.testing.assert_close(got, dense_marginals(crf, images, scores), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("crf", "mean", "worst"),
    [
        (DenseCRF(Gaussian(3, 3), iterations=4), 0.005, 0.04),
        (DenseCRF(Gaussian(3, 1), Bilateral(20, 10, 2), iterations=4), 0.02, 0.3),
    ],
    ids=["positions", "colours"],
)
def test_close_to_the_exact_sum_over_all_pairs(crf, mean, worst):
    images, scores = batch(num=3, height=20, width=24)
    with torch.no_grad():
        got = CRFLayer(crf, num_classes=3)(images, scores).exp()
    exact = torch.from_numpy(
        np.stack(
            [
                brute_force(crf, image.permute(1, 2, 0).numpy(), energies=-score.numpy()).marginals
                for image, score in zip(images, scores, strict=True)
            ]
        )
    )
    error = (got - exact).abs()
    assert error.mean() < mean
    assert error.max() < worst
    # it is the CRF that agrees, not the unary
    assert error.mean() < (scores.softmax(1) - exact).abs().mean() / 3


def test_one_class_is_certain():
    images, scores = batch(classes=1)
    assert (CRFLayer(BOTH, num_classes=1)(images, scores) == 0).all()


def test_images_of_a_batch_do_not_mix():
    images, scores = batch(num=3)
    layer = CRFLayer(BOTH, num_classes=3)
    with torch.no_grad():
        whole = layer(images, scores)
        alone = [layer(images[i : i + 1], scores[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(whole, torch.cat(alone))


@pytest.mark.parametrize("normalization", ["symmetric", "before", "after", "none"])
def test_gradcheck_in_scores_weights_and_compatibility(normalization):
    crf = DenseCRF(
        Gaussian(1.5, 0.3), Bilateral(3, 60, 0.4), iterations=3, normalization=normalization
    )
    layer = CRFLayer(crf, num_classes=2, learn_compatibility=True).double()
    images, scores = batch(num=1, classes=2, height=2, width=3)
    inputs = [scores.double(), layer.weights.detach(), MU[:2, :2]]
    inputs = [torch.as_tensor(x, dtype=torch.float64).requires_grad_() for x in inputs]

    def refine(scores, weights, compatibility):
        parameters = {"weights": weights, "compatibility": compatibility}
        return functional_call(layer, parameters, (images, scores))

    assert refine(*inputs).dtype == torch.float64
    assert gradcheck(refine, inputs)


def test_learned_weights_lower_the_loss():
    # halves of two colours under noisy scores: the bilateral term is the one to trust
    torch.manual_seed(0)
    labels = torch.zeros(2, 12, 12, dtype=torch.long)
    labels[0, :, 5:] = 1
    labels[1, 7:] = 1
    images = (60 + 120 * labels)[:, None].expand(-1, 3, -1, -1).to(torch.uint8)
    scores = F.one_hot(labels, 2).permute(0, 3, 1, 2) + torch.randn(2, 2, 12, 12)
    crf = DenseCRF(Gaussian(1, 0.1), Bilateral(5, 20, 0.1), iterations=3)
    layer = CRFLayer(crf, num_classes=2, learn_compatibility=True)
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.2)
    losses = []
    for _ in range(12):
        loss = F.nll_loss(layer(images, scores), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]
    assert layer.weights[1] > 1
    # and what was learned is taken along to the quick one
    learned = layer.dense_crf()
    with torch.no_grad():
        got = layer(images, scores).exp()
    torch.testing.assert_close(got, dense_marginals(learned, images, scores), rtol=0, atol=1e-4)


def test_without_learning_compatibility_weights_and_scores_alone_get_gradients():
    images, scores = batch()
    scores.requires_grad_()
    layer = CRFLayer(BOTH, num_classes=3)
    layer(images, scores)[:, 0].sum().backward()
    assert layer.compatibility.grad is None
    assert layer.weights.grad.abs().min() > 0
    assert scores.grad.isfinite().all()
    assert scores.grad.abs().max() > 0
    assert layer.dense_crf().compatibility == Potts(1.0)


def test_a_weight_of_zero_learns():
    images, scores = batch()
    layer = CRFLayer(DenseCRF(Gaussian(3, 0), Bilateral(20, 10, 0)), num_classes=3)
    out = layer(images, scores)
    torch.testing.assert_close(out, scores.log_softmax(1))
    out[:, 0].sum().backward()
    assert layer.weights.grad.abs().min() > 0


def test_autocast_computes_in_float32():
    images, scores = batch()
    layer = CRFLayer(BOTH, num_classes=3)
    with torch.no_grad():
        want = layer(images, scores)
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(layer(images, scores), want, rtol=0, atol=0)
            low = layer(images, scores.bfloat16())
    assert low.dtype == torch.float32
    torch.testing.assert_close(low, layer(images, scores.bfloat16().float()).detach())


def test_state_copies_and_pickles():
    images, scores = batch()
    layer = CRFLayer(BOTH, num_classes=3)
    with torch.no_grad():
        layer.weights += torch.tensor([1.0, -6.5])  # below zero is allowed
        layer.compatibility += 0.1 * torch.eye(3)
        want = layer(images, scores)
    other = CRFLayer(DenseCRF(Gaussian(3, 1), Bilateral(20, 10, 1), iterations=4), num_classes=3)
    other.load_state_dict(layer.state_dict())
    for twin in (other, copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(twin(images, scores).detach(), want)
    dense = layer.dense_crf()
    assert dense.gaussian == Gaussian(3, 4)
    assert dense.bilateral == Bilateral(20, 10, -1.5)
    torch.testing.assert_close(
        want.exp(), dense_marginals(dense, images, scores), rtol=0, atol=1e-4
    )


def test_impossible_classes_stay_impossible():
    images, scores = batch()
    scores[:, 1] = -torch.inf
    scores.requires_grad_()
    out = CRFLayer(BOTH, num_classes=3)(images, scores)
    assert (out[:, 1] == -torch.inf).all()
    assert out[:, [0, 2]].isfinite().all()
    out[:, 0].sum().backward()
    assert scores.grad.isfinite().all()


@pytest.mark.parametrize(
    ("crf", "num_classes", "message"),
    [
        (DenseCRF(), 3, "no pairwise term"),
        (BOTH, 0, "num_classes is 0; want at least 1"),
        (DenseCRF(Gaussian(), compatibility=MU), 4, "for 3 classes"),
    ],
)
def test_bad_settings(crf, num_classes, message):
    with pytest.raises(SettingsError, match=message):
        CRFLayer(crf, num_classes=num_classes)


def test_deviations_for_another_number_of_channels_or_axes():
    images, scores = batch()
    layer = CRFLayer(DenseCRF(bilateral=Bilateral(3, (1, 2), 1)), num_classes=3)
    with pytest.raises(SettingsError, match=r"srgb has 2 numbers .* 3 channels"):
        layer(images, scores)
    layer = CRFLayer(DenseCRF(bilateral=Bilateral((1, 2, 3), 3, 1)), num_classes=3)
    with pytest.raises(SettingsError, match="Bilateral: sxy has 3 numbers"):
        layer(images, scores)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda _, s: (None, s), "no images"),
        (lambda i, s: (i / 255, s), "float32; want uint8"),
        (lambda i, s: (i.permute(0, 2, 3, 1), s), r"\(2, 9, 12, 3\); want \(2, channels, 9, 12\)"),
        (lambda i, s: (i[0], s), r"\(3, 9, 12\); want \(2, "),
        (lambda i, s: (i[:1], s), r"\(1, 3, 9, 12\); want \(2, "),
        (lambda i, s: (i.to("meta"), s), "images are on meta, scores on cpu"),
        (lambda i, s: (i, s.long()), "int64; want floating"),
        (lambda i, s: (i, s[0]), r"\(3, 9, 12\); want \(B, 3, H, W\)"),
        (lambda i, s: (i, s[:, :2]), r"\(2, 2, 9, 12\); want \(B, 3, H, W\)"),
        (lambda i, s: (i[:0], s[:0]), "not empty"),
        (lambda i, s: (i.to("meta"), s.to("meta")), "scores are on meta, the layer is on cpu"),
        (lambda i, s: (i, s.where(s < 1, torch.nan)), "NaN"),
        (lambda i, s: (i, s.where(s < 1, torch.inf)), "plus infinity"),
        (lambda i, s: (i, torch.full_like(s, -torch.inf)), "minus infinity for all"),
    ],
)
def test_bad_inputs(change, message):
    images, scores = change(*batch())
    with pytest.raises(DataError, match=message):
        CRFLayer(BOTH, num_classes=3)(images, scores)


def test_the_example_of_the_docs_runs():
    page = (REPOSITORY / "docs" / "crf.md").read_text(encoding="utf-8")
    example = page.split("## As a layer")[1].split("```python\n")[1].split("```")[0]
    names = {}
    exec(compile(example, "docs/crf.md", "exec"), names)
    assert names["scores"].grad.abs().max() > 0
    assert isinstance(names["crf"], DenseCRF)


def test_no_images_where_no_term_looks_at_them():
    _, scores = batch()
    layer = CRFLayer(DenseCRF(gaussian=Gaussian(2, 1)), num_classes=3)
    torch.testing.assert_close(layer(None, scores), layer(batch()[0], scores))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_a_gpu_agrees_with_the_cpu():
    images, scores = batch(height=60, width=81)
    results = []
    for device in ("cpu", "cuda"):
        layer = CRFLayer(BOTH, num_classes=3, learn_compatibility=True).to(device)
        x = scores.to(device, copy=True).requires_grad_()
        with torch.autocast(device, torch.bfloat16):
            out = layer(images.to(device), x)
        F.nll_loss(out, torch.ones(2, 60, 81, dtype=torch.long, device=device)).backward()
        gradients = (x.grad, layer.weights.grad, layer.compatibility.grad)
        results.append([t.detach().cpu() for t in (out.exp(), *gradients)])
    for got, want in zip(results[1], results[0], strict=True):
        torch.testing.assert_close(got, want, rtol=1e-3, atol=1e-4)
