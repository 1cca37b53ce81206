"""Published ImageNet weights that are being copied into a backbone, key by key."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from upscore.core.tensor_files import not_real
from upscore.errors import RunError


class ImageNetState:
    """Tensors by the publisher's keys; each must be taken, unless the backbone has no use for it.

    Args:
        state: tensors by key.
        source: file or name for messages.
        unused: how keys begin that the backbone has no place for.
        expected: the files that fit, for messages.
    """

    def __init__(
        self, state: Mapping[str, Tensor], source: str, *, unused: tuple[str, ...], expected: str
    ) -> None:
        self._state = state
        self._source = source
        self._expected = expected
        self._left = {
            key
            for key in state
            if not key.startswith(unused) and not key.endswith(".num_batches_tracked")
        }

    def take(self, key: str, shape: tuple[int, ...]) -> Tensor:
        """The tensor at ``key``.

        Raises:
            RunError: there is none, it has another shape, or a value is not finite.
        """
        if key not in self._state:
            raise RunError(f"{self._source}: no weights {key}; expected {self._expected}")
        self._left.discard(key)
        value = self._state[key]
        if tuple(value.shape) != shape:
            raise RunError(
                f"{self._source}: {key} is {tuple(value.shape)}, the network needs {shape}; "
                "such weights fit a network of the default layer sizes, for photos of 3 channels"
            )
        if not value.is_floating_point():
            raise RunError(not_real(self._source, key, value))
        if not bool(torch.isfinite(value).all()):
            raise RunError(f"{self._source}: {key} holds NaN or infinity; use another file")
        return value

    def finish(self) -> None:
        """Raise RunError where tensors have not been taken."""
        if self._left:
            raise RunError(
                f"{self._source}: left-over weights {', '.join(sorted(self._left)[:3])}; expected "
                f"{self._expected}"
            )
