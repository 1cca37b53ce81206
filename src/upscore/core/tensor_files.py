"""Files of tensors of any origin: safetensors, and PyTorch's, of which no code is run."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from upscore.core.damage import reading
from upscore.core.quoting import shorten
from upscore.errors import RunError, UpscoreError

SAFETENSORS = ".safetensors"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
WHOLE = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)


def read_safetensors(
    path: Path, fix: str, *, error: type[UpscoreError] = RunError
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by key on the CPU, and the metadata.

    Args:
        fix: what to do about a file that is damaged.
        error: the type of the error.

    Raises:
        NotFoundError: no such file.
        UpscoreError: of the type ``error``: damaged, or of another format.
    """
    if path.is_dir():
        raise error(f"{path}: is a folder, and a file of weights is needed; {fix}")
    with (
        reading(path, "damaged or truncated, not weights that can be read", fix, error=error),
        safe_open(path, framework="pt") as file,
    ):
        return {key: file.get_tensor(key) for key in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


def write_safetensors(
    tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write tensors and texts.

    Not by the library's ``save_file``: it writes to a private file beside ``path``, which a killed
    process leaves there and which is gone when the system is asked why it could not be written.
    """
    path.write_bytes(save(dict(tensors), dict(metadata or {})))


def read_torch(path: Path, fix: str, *, what: str = "cannot be read as weights") -> Any:
    """The content of a file of ``torch.save``: tensors on the CPU, numbers, texts, containers.

    Args:
        fix: what to do about a file that is damaged.
        what: it is said to be then.

    Raises:
        NotFoundError: no such file.
        RunError: damaged, something else, or tensors larger than what the file holds.
    """
    with reading(path, what, fix, error=RunError):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                unpacked = sum(item.file_size for item in packed.infolist())
            if unpacked > path.stat().st_size:
                raise ValueError(f"unpacks to {unpacked} bytes, more than it has")
        try:
            with warnings.catch_warnings():  # of torch, about its own code
                warnings.simplefilter("ignore")
                content = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:  # torch's advice is to run the code
            raise ValueError(_refusal(str(error))) from error
        except EOFError as error:
            raise ValueError("it is empty, or ends too early") from error
        for tensor in _tensors(content):
            if tensor.is_nested or tensor.layout != torch.strided:
                raise ValueError("a tensor that is nested or sparse")
            # strides of 0 would show one number as millions
            size = 0 if tensor.is_meta else tensor.untyped_storage().nbytes()
            if tensor.numel() * tensor.element_size() > size:
                raise ValueError(f"a tensor of shape {tuple(tensor.shape)} without its numbers")
        return content


def not_real(source: object, key: str, value: Tensor) -> str:
    """Why integers and floats of 8 bits, of a quantised network, and complex numbers are no weights
    here."""
    return (
        f"{source}: {key} holds {str(value.dtype).removeprefix('torch.')} numbers, and weights are "
        "real numbers; use the file of a network that is not quantised"
    )


def require_usable(state: Mapping[str, Tensor], path: Path) -> None:
    """Refuse weights of other numbers than :data:`FLOATS` and :data:`WHOLE`, and those by which
    every score would be NaN: NaN, infinity, or a variance below 0.

    Raises:
        RunError: names the first of them.
    """
    for key, value in state.items():
        if value.dtype not in (*FLOATS, *WHOLE):
            raise RunError(not_real(path, key, value))
        # the sum costs no memory; a sum of finite numbers may be infinite
        if not bool(value.sum().isfinite()) and not bool(value.isfinite().all()):
            raise RunError(
                f"{path}: {key} holds NaN or infinity, so that the network would label nothing; "
                "take other weights, or train again (with a lower optim.lr)"
            )
        if key.endswith("running_var") and bool((value < 0).any()):
            raise RunError(
                f"{path}: {key} holds variances below 0, so that the network would label nothing; "
                "take other weights"
            )


def _refusal(told: str) -> str:
    """Why a file is none of tensors alone, from torch's message."""
    code = re.search(r"GLOBAL (\S+)", told)
    if code is None:
        return "it is no PyTorch file, or a damaged one"
    return f"besides weights it holds Python code, {shorten(code[1], 80)}, which upscore never runs"


def _tensors(content: Any) -> Iterator[Tensor]:
    """The tensors in nested containers, each container once."""
    waiting, seen = [content], set()
    while waiting:
        value = waiting.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict | list | tuple | set) and id(value) not in seen:
            seen.add(id(value))
            waiting += value.values() if isinstance(value, dict) else value
