"""The parts of an FCN's scores, against networks in which the other parts are really gone."""

from __future__ import annotations

import copy

import pytest
import torch

from upscore.models.factory import create_model


def network(name, **options):
    torch.manual_seed(3)
    model = create_model(name, num_classes=4, width=0.0625, fc_width=8, **options)
    for layer in model.scores.values():  # zero at the start, which would test nothing
        torch.nn.init.normal_(layer.weight)
        torch.nn.init.normal_(layer.bias)
    for step in model.upsample.values():
        if step.weight is not None:
            torch.nn.init.normal_(step.weight, std=0.1)
    return model.double().eval()


def silenced(model, *stages, weights=True, biases=True):
    """A copy whose score layers of ``stages`` give nothing."""
    copied = copy.deepcopy(model)
    with torch.no_grad():
        for stage in stages:
            if weights:
                copied.scores[stage].weight.zero_()
            if biases:
                copied.scores[stage].bias.zero_()
    return copied


@pytest.mark.parametrize("name", ["fcn32s", "fcn16s", "fcn8s"])
@pytest.mark.parametrize("geometry", ["same", "caffe"])
@pytest.mark.parametrize("upsampling", ["fixed", "learned"])
def test_each_part_is_what_a_network_of_that_part_alone_says(name, geometry, upsampling):
    model = network(name, geometry=geometry, upsampling=upsampling)
    images = torch.rand(1, 3, 61, 83, dtype=torch.float64)
    stages = list(model.scores)
    with torch.inference_mode():
        parts = model.contributions(images)
        assert list(parts) == [*stages, "biases"]
        for stage in stages:
            others = [other for other in stages if other != stage]
            alone = silenced(silenced(model, *others), stage, weights=False)(images)
            torch.testing.assert_close(parts[stage], alone)
        only_biases = silenced(model, *stages, biases=False)(images)
        torch.testing.assert_close(parts["biases"], only_biases)
        torch.testing.assert_close(sum(parts.values()), model(images))


def test_the_factors_scale_their_parts():
    """The same weights with and without at_once: 1, 0.01 and 0.0001 of each part."""
    plain, scaled = network("fcn8s"), network("fcn8s", at_once=True)
    scaled.load_state_dict(plain.state_dict())
    images = torch.rand(1, 3, 48, 64, dtype=torch.float64)
    with torch.inference_mode():
        before, after = plain.contributions(images), scaled.contributions(images)
    for part, factor in {"fc7": 1, "pool4": 0.01, "pool3": 0.0001, "biases": 1}.items():
        torch.testing.assert_close(after[part], factor * before[part])
