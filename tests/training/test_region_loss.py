"""Focal, Dice, Tversky and Lovasz losses against definitions written pixel by pixel."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from upscore.training.loss import cross_entropy_sum, region_loss
from upscore.training.settings import LossSettings


def example(seed: int = 0) -> tuple[Tensor, Tensor]:
    """(2, 4, 3, 5) scores; labels with void, and class 2 nowhere."""
    generator = torch.Generator().manual_seed(seed)
    scores = torch.randn(2, 4, 3, 5, generator=generator) * 2
    labels = torch.tensor([0, 1, 3, 255])[torch.randint(0, 4, (2, 3, 5), generator=generator)]
    return scores, labels


def pixels(scores: Tensor, labels: Tensor) -> list[tuple[list[float], int]]:
    """(probabilities, label) of each valid pixel, softmax by hand."""
    found = []
    for n, y, x in itertools.product(*(range(size) for size in labels.shape)):
        powers = [math.exp(value) for value in scores[n, :, y, x].tolist()]
        if labels[n, y, x] != 255:
            found.append(([p / sum(powers) for p in powers], int(labels[n, y, x])))
    return found


def jaccard_loss(truth: list[int], wrong: set[int]) -> float:
    """1 - IoU of a class whose pixels ``wrong`` are mislabelled (Berman et al., equation 6)."""
    positives = {i for i, value in enumerate(truth) if value}
    return len(wrong) / len(positives | wrong)


def lovasz_extension(truth: list[int], errors: list[float]) -> float:
    """Equation 7: sum of errors in falling order times the growth of the set function."""
    order = sorted(range(len(errors)), key=lambda i: -errors[i])
    total, before = 0.0, 0.0
    for count, i in enumerate(order, 1):
        now = jaccard_loss(truth, set(order[:count]))
        total, before = total + errors[i] * (now - before), now
    return total


def expected(name: str, scores: Tensor, labels: Tensor, weights: list[float]) -> float:
    found = pixels(scores, labels)
    total = shares = 0.0
    for c in range(scores.shape[1]):
        truth = [int(label == c) for _, label in found]
        if not any(truth):
            continue
        p = [probabilities[c] for probabilities, _ in found]
        if name == "lovasz":
            loss = lovasz_extension(truth, [abs(t - q) for t, q in zip(truth, p, strict=True)])
        else:
            a, b = {"dice": (0.5, 0.5), "tversky": (0.2, 0.9)}[name]
            hits = sum(q for q, t in zip(p, truth, strict=True) if t)
            false_positives = sum(q for q, t in zip(p, truth, strict=True) if not t)
            misses = sum(1 - q for q, t in zip(p, truth, strict=True) if t)
            loss = 1 - hits / (hits + a * false_positives + b * misses)
        total, shares = total + weights[c] * loss, shares + weights[c]
    return total / shares


@pytest.mark.parametrize("weights", [[1.0] * 4, [0.5, 2.0, 7.0, 1.0]])
@pytest.mark.parametrize("name", ["dice", "tversky", "lovasz"])
def test_regions(name: Any, weights: list[float]) -> None:
    scores, labels = example()
    settings = LossSettings(region=name, tversky=(0.2, 0.9))
    got = region_loss(scores, labels, torch.tensor(weights), settings=settings)
    assert got.item() == pytest.approx(expected(name, scores, labels, weights), abs=1e-6)


def test_every_second_row_and_column() -> None:
    scores, labels = example()
    coarse = LossSettings(region="dice", region_step=2)
    got = region_loss(scores, labels, settings=coarse)
    want = expected("dice", scores[..., ::2, ::2], labels[:, ::2, ::2], [1.0] * 4)
    assert got.item() == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize("name", ["dice", "tversky", "lovasz"])
def test_regions_from_perfect_to_wrong(name: Any) -> None:
    settings = LossSettings(region=name)
    labels = torch.tensor([[[0, 0, 1, 255]]])
    right = torch.tensor([[40.0, 40, -40, 0], [-40, -40, 40, 0]]).view(1, 2, 1, 4)
    assert region_loss(right, labels, settings=settings).item() == pytest.approx(0, abs=1e-6)
    assert region_loss(-right, labels, settings=settings).item() == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("name", ["dice", "tversky", "lovasz"])
def test_gradients_of_regions(name: Any) -> None:
    scores, labels = example(1)
    settings = LossSettings(region=name)
    scores = scores.requires_grad_()
    region_loss(scores, labels, settings=settings).backward()
    gradient = scores.grad
    assert gradient is not None
    assert torch.isfinite(gradient).all()
    assert not gradient.movedim(1, -1)[labels == 255].any()
    step = scores.detach() - 0.5 * gradient
    after = region_loss(step, labels, settings=settings)
    assert after < region_loss(scores.detach(), labels, settings=settings)
    nothing = torch.full_like(labels, 255)
    scores.grad = None
    loss = region_loss(scores, nothing, settings=settings)
    loss.backward()
    assert loss == 0
    assert scores.grad is not None
    assert not scores.grad.any()


@pytest.mark.parametrize("weights", [None, [0.5, 2.0, 7.0, 1.0]])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal(gamma: float, weights: list[float] | None) -> None:
    scores, labels = example(2)
    want = sum(
        (1 if weights is None else weights[label]) * (1 - p[label]) ** gamma * -math.log(p[label])
        for p, label in pixels(scores, labels)
    )
    given = None if weights is None else torch.tensor(weights)
    got = cross_entropy_sum(scores, labels, given, focal=gamma)
    assert got.item() == pytest.approx(want, rel=1e-5)


def test_focal_of_sure_pixels_has_finite_gradients() -> None:
    scores = torch.tensor([[200.0, -200.0], [-200.0, 200.0]]).view(1, 2, 1, 2).requires_grad_()
    cross_entropy_sum(scores, torch.zeros(1, 1, 2, dtype=torch.int64), focal=0.5).backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
