"""Networks without memory for their weights: only keys, shapes and types."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


@contextlib.contextmanager
def blueprint() -> Iterator[None]:
    """Layers that are made in this block have weights on the device "meta", without values.

    >>> with blueprint():
    ...     layer = torch.nn.Conv2d(3, 8, 3)
    >>> layer.weight.is_meta
    True
    """
    with _Unfilled(), torch.device("meta"):
        yield


RANDOM = {
    torch.Tensor.normal_,
    torch.Tensor.uniform_,
    nn.init.normal_,
    nn.init.uniform_,
    nn.init.kaiming_normal_,
    nn.init.kaiming_uniform_,
}
"""What layers and networks of this package draw their weights with."""


class _Unfilled(TorchFunctionMode):
    """Draws no random weights: on "meta" torch imports its compiler for that, which takes longer
    than all else in a short ``upscore predict``."""

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if function in RANDOM:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return function(*args, **kwargs)
