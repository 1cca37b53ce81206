"""Interface between networks and their backbones, so that decoders work on any backbone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol, Self

from torch import Tensor, nn

from upscore.core.choices import unknown_choice
from upscore.core.settings import Settings
from upscore.errors import SettingsError
from upscore.models.weight_files import WeightFile

ALL = "all"
"""In place of a stage: the whole backbone is frozen."""


class Stage(NamedTuple):
    """One named feature map of a backbone."""

    name: str
    stride: int
    """Pixels of the image per element; an image side n gives ceil(n / stride) elements."""
    channels: int


class FirstBlock(Protocol):
    """The block that takes the image: a convolution, then a batch norm or nothing."""

    @property
    def conv(self) -> nn.Conv2d: ...
    @property
    def norm(self) -> nn.Module: ...


class Backbone(nn.Module):
    """Base class of backbones: images (N, in_channels, H, W) -> feature maps by name.

    A new backbone is one file with a subclass and one row in ``backbones.BACKBONES``. Networks
    build it as ``kind(options, in_channels=..., classifier=..., dropout=..., geometry=...)``:

    - ``options``: an instance of ``classifier_options`` or, without ``classifier``, of
      ``feature_options``;
    - ``classifier``: whether to keep the layers between the last features and the ImageNet scores
      (fc6 and fc7 of VGG16);
    - ``dropout``: probability after each of these layers, element by element as in Caffe;
    - ``geometry``: one of ``geometries``.
    """

    feature_options: ClassVar[type[Settings]]
    """Model options of the feature layers."""
    classifier_options: ClassVar[type[Settings]]
    """Model options of the feature layers and the classifier's."""
    imagenet_files: ClassVar[Mapping[str, WeightFile]] = {}
    """Files of ImageNet weights by the names that ``init.weights`` takes."""
    input_name: ClassVar[str] = "imagenet"
    """Name of the input specification that these weights were trained with."""
    geometries: ClassVar[tuple[str, ...]] = ("same",)
    """Paddings that it can be built with. With ``same`` the sizes are those of :class:`Stage`."""

    corner: ClassVar[bool] = False
    """Where element i of a map of stride s is registered: in the middle of its pixels
    [i s, (i + 1) s), or (True) on the last of them."""
    norms_frozen = False
    """Whether batch norms keep their statistics in training, too."""
    frozen: tuple[nn.Module, ...] = ()
    """Layers that do not learn (:meth:`freeze`), whose norms keep their statistics."""

    stages: tuple[Stage, ...]
    """Outputs after each downsampling, from fine to coarse. The last one of a stride is the one
    that networks score."""
    skips: tuple[Stage, ...]
    """The last features of each stride before the next downsampling, from fine to coarse, each of
    twice the stride of the one before: what U-Net concatenates."""

    def forward(self, images: Tensor, outputs: Sequence[str]) -> dict[str, Tensor]:
        """(N, in_channels, H, W) -> the feature maps (N, C, h, w) named in ``outputs``."""
        raise NotImplementedError

    @property
    def first_block(self) -> FirstBlock:
        """The block that takes the image; it is changed for another input specification."""
        raise NotImplementedError

    def load_imagenet(self, state: Mapping[str, Tensor], *, source: str) -> None:
        """Copy published weights into this backbone as they are; ImageNet scores are left out.

        Args:
            state: tensors by the publisher's keys.
            source: file or name for messages.

        Raises:
            RunError: a key is missing, left over, not finite or of another shape; it is named.
        """
        raise NotImplementedError

    def layers_until(self, stage: str) -> tuple[nn.Module, ...]:
        """The layers that the output of a stage depends on."""
        raise NotImplementedError

    def freeze(self, until: str) -> None:
        """Let the layers up to a stage learn nothing: no gradients, and norms keep statistics.

        Args:
            until: name of the last stage that is frozen, or ``all`` for the whole backbone.

        Raises:
            SettingsError: no such stage; the message lists all.
        """
        names = [stage.name for stage in self.stages]
        if until not in (ALL, *names):
            raise SettingsError(unknown_choice("stage", until, [*names, ALL]))
        self.frozen = (self,) if until == ALL else self.layers_until(until)
        for layer in self.frozen:
            layer.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        for layer in (self,) if self.norms_frozen else self.frozen:
            for module in layer.modules():
                if isinstance(module, nn.modules.batchnorm._BatchNorm):
                    module.eval()
        return self

    def stage_at(self, stride: int) -> Stage:
        """The last stage of ``stride``."""
        return next(stage for stage in reversed(self.stages) if stage.stride == stride)
