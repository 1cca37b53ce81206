"""Cross-entropy against float64 by hand; void, all-void, class weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from upscore.training.loss import cross_entropy_sum, median_frequency_weights


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
