"""State dicts of any origin: tensors by key, from safetensors and PyTorch files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from upscore.core.tensor_files import (
    FLOATS,
    SAFETENSORS,
    read_safetensors,
    read_torch,
    require_usable,
)
from upscore.errors import RunError

FIX = "fetch it again, or name another file"
BY_SUFFIX = f"{FIX}; files of other kinds need their suffix: .caffemodel, .h5 or .safetensors"


INNER = ("state_dict", "model_state_dict", "model", "net")
"""Where checkpoints of other programs have the weights."""


def read_weight_file(path: Path) -> dict[str, Tensor]:
    """Tensors by key from a .safetensors file or a PyTorch file (which may run no code); floats
    become float32.

    Raises:
        RunError: damaged, something else than tensors by key, or numbers of no use.
    """
    if path.suffix.lower() == SAFETENSORS:
        state: Any = read_safetensors(path, FIX)[0]
    else:
        state = read_torch(path, BY_SUFFIX)
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        inner = next((key for key in INNER if isinstance(state, Mapping) and key in state), None)
        fix = (
            f"; it is a checkpoint with the weights inside: torch.save(torch.load({str(path)!r})"
            f"[{inner!r}], 'weights.pth') writes them alone, if you trust the file"
            if inner
            else ""
        )
        raise RunError(f"{path}: expected tensors by key (a state dict), found something else{fix}")
    weights = {key: v.float() if v.dtype in FLOATS else v for key, v in state.items()}
    require_usable(weights, path)
    return weights
