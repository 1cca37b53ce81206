"""Decoder of DeconvNet and SegNet: unpooling by the encoder's switches, then convolutions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from upscore.models.unpooling import Switches, Unpool


class UnpoolDecoder(nn.Module):
    """Mirror image of VGG16's convolutions: features at pool5's size -> at the image's size.

    (N, channels[4], h, w) -> (N, channels[0], H, W). Stage K restores the size before the encoder's
    poolK. Its layers keep the number of channels, except that the last one reduces it to that of
    stage K - 1, which that pool's switches need; stage 1 keeps its own.

    Layers are called unpool5, ``{prefix}5_1`` ... ``{prefix}1_2``, in the order of execution.

    Args:
        channels: of the encoder's five stages.
        depths: number of layers of the stages 1 to 5.
        prefix: of the layers' names.
        block: makes a layer that keeps the size from its numbers of input and output channels.
    """

    def __init__(
        self,
        channels: Sequence[int],
        depths: Sequence[int],
        *,
        prefix: str,
        block: Callable[[int, int], nn.Module],
    ) -> None:
        super().__init__()
        self._layers: list[str] = []
        for stage in range(len(depths), 0, -1):
            before = channels[stage - 1]
            self.add_module(f"unpool{stage}", Unpool())
            names = [f"{prefix}{stage}_{index}" for index in range(1, depths[stage - 1] + 1)]
            for name in names:
                steps_down = name == names[-1] and stage > 1
                after = channels[stage - 2] if steps_down else before
                self.add_module(name, block(before, after))
            self._layers += [f"unpool{stage}", *names]

    def forward(self, x: Tensor, switches: Sequence[Switches]) -> Tensor:
        """``switches`` in the order of the pools, 1 to 5."""
        left = list(switches)
        for name in self._layers:
            layer = getattr(self, name)
            x = layer(x, left.pop()) if isinstance(layer, Unpool) else layer(x)
        return x
