"""Weights of the edge network: read and write; the shipped ones."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import torch
from torch import Tensor

from upscore.core.choices import near_path
from upscore.core.damage import reading
from upscore.core.files import atomic_path
from upscore.core.tensor_files import read_safetensors, require_usable, write_safetensors
from upscore.edges.network import EdgeNetwork
from upscore.errors import DataError, NotFoundError


def shipped_edge_weights() -> Path:
    """The file inside the package; its card is README.md in the same folder."""
    return Path(str(resources.files("upscore") / "edges" / "weights")) / (
        "learned-edges.safetensors"
    )


def save_edge_network(state: Mapping[str, Tensor], path: Path) -> None:
    """Write the state of an ``EdgeNetwork`` as safetensors, atomically."""
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in state.items()
        if tensor.dtype.is_floating_point  # not the counters of batch norm
    }
    with atomic_path(path) as temporary:
        write_safetensors(tensors, temporary)


def require_weights(path: Path) -> None:
    """Raise NotFoundError where there is no such file."""
    if not path.exists():
        raise NotFoundError(
            f"{path}: no such file{near_path(path)}; `upscore edges train` writes model.safetensors"
        )


def load_edge_network(path: Path) -> EdgeNetwork:
    """A network in eval mode with the weights of ``path``, float32 on the CPU.

    Raises:
        NotFoundError: no such file.
        DataError: damaged, or weights of another network.
    """
    require_weights(path)
    network = EdgeNetwork()
    fix = "make them anew with `upscore edges train`"
    tensors, _ = read_safetensors(path, fix, error=DataError)
    with reading(path, "not the weights of the edge network", fix):
        counters = {
            name: tensor
            for name, tensor in network.state_dict().items()
            if not tensor.dtype.is_floating_point
        }
        network.load_state_dict(
            {name: tensor.to(torch.float32) for name, tensor in tensors.items()} | counters
        )
    require_usable(tensors, path)
    return network.eval()
