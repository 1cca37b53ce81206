"""Cross-entropy against float64 by hand; void, all-void, class weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from upscore.core.settings import build
from upscore.errors import SettingsError
from upscore.training.loss import class_weights, cross_entropy_sum, median_frequency_weights
from upscore.training.settings import LossSettings


def brute_force(scores: np.ndarray, labels: np.ndarray, weights: np.ndarray | None) -> float:
    total = 0.0
    for n, h, w in np.ndindex(*labels.shape):
        label = labels[n, h, w]
        if label == 255:
            continue
        row = scores[n, :, h, w].astype(np.float64)
        row = row - row.max()
        loss = np.log(np.exp(row).sum()) - row[label]
        total += loss * (1.0 if weights is None else weights[label])
    return total


@pytest.mark.parametrize("weighted", [False, True])
def test_matches_float64_by_hand(weighted: bool) -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 4, 5, 3)).astype(np.float32) * 5
    labels = rng.choice([0, 1, 2, 3, 255], size=(2, 5, 3))
    weights = rng.uniform(0.1, 4, 4).astype(np.float32) if weighted else None
    ours = cross_entropy_sum(
        torch.from_numpy(scores),
        torch.from_numpy(labels),
        None if weights is None else torch.from_numpy(weights),
    )
    assert float(ours) == pytest.approx(brute_force(scores, labels, weights), rel=1e-5)


def test_all_void_is_zero_with_zero_gradient() -> None:
    scores = torch.randn(1, 3, 4, 4, requires_grad=True)
    loss = cross_entropy_sum(scores, torch.full((1, 4, 4), 255))
    loss.backward()
    assert float(loss.detach()) == 0.0
    assert scores.grad is not None
    assert torch.equal(scores.grad, torch.zeros_like(scores))


def test_bf16_scores_are_summed_in_float32() -> None:
    scores = torch.randn(1, 3, 40, 40)
    labels = torch.randint(0, 3, (1, 40, 40))
    exact = cross_entropy_sum(scores.bfloat16().float(), labels)
    assert float(cross_entropy_sum(scores.bfloat16(), labels)) == pytest.approx(float(exact))


def test_median_frequency_is_one_for_the_median_class() -> None:
    # three classes seen in 100 pixels each: frequencies 0.5, 0.2, 0.1
    weights = median_frequency_weights(torch.tensor([50, 20, 10]), torch.tensor([100, 100, 100]))
    assert weights.tolist() == pytest.approx([0.4, 1.0, 2.0])


def test_a_class_that_never_occurs_has_weight_zero() -> None:
    weights = median_frequency_weights(torch.tensor([50, 0, 10]), torch.tensor([100, 0, 100]))
    assert weights[1] == 0
    assert torch.isfinite(weights).all()
    assert median_frequency_weights(torch.tensor([0]), torch.tensor([0])).tolist() == [0.0]


@pytest.mark.parametrize("num_classes", [2, 11, 150])
@pytest.mark.parametrize("root", [False, True])
@pytest.mark.parametrize("cap", [None, 3.0])
def test_weights_by_definition(num_classes: int, root: bool, cap: float | None) -> None:
    """Frequencies over six decades; of 11 and more classes, some never occur."""
    rng = np.random.default_rng(num_classes)
    present = rng.integers(10**7, 10**8, num_classes)
    pixels = np.maximum(1, present * 10.0 ** rng.uniform(-6, -0.3, num_classes)).astype(np.int64)
    if num_classes > 2:
        pixels[[1, num_classes // 2]] = present[[1, num_classes // 2]] = 0
    settings = LossSettings(
        class_weights="sqrt_median_frequency" if root else "median_frequency", max_weight=cap
    )
    found = class_weights(settings, torch.from_numpy(pixels), torch.from_numpy(present))
    assert found is not None
    assert found.dtype == torch.float32
    shares = [p / q for p, q in zip(pixels, present, strict=True) if p]
    for weight, p, q in zip(found.tolist(), pixels, present, strict=True):
        expected = np.median(shares) / (p / q) if p else 0.0
        expected = min(expected**0.5 if root else expected, cap or np.inf)
        assert weight == pytest.approx(expected, rel=1e-5)
    assert cap is None or num_classes == 2 or max(found.tolist()) == cap


def test_no_weights_unless_asked_for_and_none_without_a_pixel() -> None:
    counts = torch.tensor([5, 0, 2]), torch.tensor([7, 0, 7])
    assert class_weights(LossSettings(), *counts) is None
    capped = LossSettings(class_weights="median_frequency", max_weight=1.0)
    nothing = torch.zeros(150, dtype=torch.int64)
    weights = class_weights(capped, nothing, nothing)
    assert weights is not None
    assert weights.tolist() == [0.0] * 150
    # the loss is a number even where only classes of weight 0 are labelled
    loss = cross_entropy_sum(torch.randn(1, 150, 2, 2), torch.ones(1, 2, 2).long(), weights)
    assert float(loss) == 0.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_weight": 5}, "max_weight is 5, but class_weights is none; set class_weights to"),
        (
            {"region": "tversky", "tversky": [0, 0]},
            "with which no mistake counts; expected a number",
        ),
        ({"max_weight": 0, "class_weights": "median_frequency"}, "max_weight: .*greater than 0"),
    ],
)
def test_wrong_caps(settings: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        build(LossSettings, settings, "recipe")
