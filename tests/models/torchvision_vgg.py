"""torchvision's VGG16, narrow, and networks of ours of the same layer sizes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from upscore.models.base import Network
from upscore.models.factory import create_model

CHANNELS = [4, 8, 16, 32, 32]
FC = 24


class TorchvisionVGG(nn.Module):
    """torchvision's vgg16 and vgg16_bn, written from its documentation, any width."""

    def __init__(self, *, batch_norm: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for after, depth in zip(CHANNELS, (2, 2, 3, 3, 3), strict=True):
            for _ in range(depth):
                layers.append(nn.Conv2d(before, after, 3, padding=1))
                if batch_norm:
                    layers.append(nn.BatchNorm2d(after))
                layers.append(nn.ReLU())
                before = after
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(before * 49, FC), nn.ReLU(), nn.Dropout(), nn.Linear(FC, FC), nn.ReLU(),
            nn.Dropout(), nn.Linear(FC, 10),
        )  # fmt: skip
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                assert module.running_mean is not None
                assert module.running_var is not None
                nn.init.uniform_(module.weight, 0.5, 1.5)
                nn.init.normal_(module.bias)
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)
                assert module.bias is not None
                nn.init.normal_(module.bias, std=0.1)

    def features_and_fc7(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pool5 = self.features(x)
        return pool5, self.classifier[:5](pool5.flatten(1))


def theirs(*, batch_norm: bool) -> TorchvisionVGG:
    torch.manual_seed(1)
    return TorchvisionVGG(batch_norm=batch_norm).eval()


def ours(name: str = "fcn8s", **options: Any) -> Network:
    settings = {"num_classes": 2, "channels": CHANNELS, "fc_width": FC, **options}
    return create_model(name, **settings)
