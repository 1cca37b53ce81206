"""The machine: device, precision, versions, how fast it multiplies."""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from upscore.errors import SettingsError

if TYPE_CHECKING:
    import torch

Precision = Literal["auto", "fp32", "bf16", "fp16"]
DeviceName = Literal["auto", "cpu", "cuda"]


@dataclass(frozen=True)
class Runtime:
    """Device and precision, with ``auto`` resolved."""

    device: Literal["cpu", "cuda"]
    precision: Literal["fp32", "bf16", "fp16"]

    @property
    def torch_device(self) -> torch.device:
        import torch

        return torch.device(self.device)

    @property
    def dtype(self) -> torch.dtype:
        import torch

        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[
            self.precision
        ]


def cpu_has_fast_bf16() -> bool:
    """Whether this CPU multiplies bf16 in hardware (AMX or AVX512-BF16)."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return "amx_bf16" in flags or "avx512_bf16" in flags


def select_runtime(device: DeviceName = "auto", precision: Precision = "auto") -> Runtime:
    """Resolve ``auto``: the GPU where there is one; bf16 where the hardware has it, else fp32.

    Raises:
        SettingsError: a device that this machine lacks, or fp16 on a CPU.
    """
    import torch

    if device not in get_args(DeviceName):
        raise SettingsError(f"device is {device!r}; allowed: {', '.join(get_args(DeviceName))}")
    if precision not in get_args(Precision):
        raise SettingsError(
            f"precision is {precision!r}; allowed: {', '.join(get_args(Precision))}"
        )
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise SettingsError(
            "device is cuda, but torch sees no GPU here; use --device cpu, or see `upscore doctor`"
        )
    chosen: Literal["cpu", "cuda"] = "cuda" if device != "cpu" and has_gpu else "cpu"
    if precision != "auto":
        if precision == "fp16" and chosen == "cpu":
            raise SettingsError("precision fp16 needs a GPU; on a CPU use bf16, fp32 or auto")
        return Runtime(chosen, precision)
    if chosen == "cuda":
        return Runtime(
            chosen, "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
        )
    return Runtime(chosen, "bf16" if cpu_has_fast_bf16() else "fp32")


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Run the block with ``count`` CPU threads of torch; None does not change their number."""
    import torch

    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def matrix_rate(runtime: Runtime, *, size: int = 2048, seconds: float = 0.5) -> float:
    """Measured rate of a square matrix product in FLOP/s (two per multiply-add)."""
    import torch

    def wait() -> None:
        if runtime.device == "cuda":
            torch.cuda.synchronize()

    a = torch.randn(size, size, device=runtime.torch_device, dtype=runtime.dtype)
    for _ in range(3):
        a @ a
    wait()
    count, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        a @ a
        wait()
        count += 1
    return 2.0 * size**3 * count / spent


def peak_memory_bytes() -> int:
    """Largest resident size of this process so far; 0 where the system does not report it."""
    try:
        import resource
    except ImportError:
        return 0
    scale = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale


def installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def describe_machine() -> dict[str, Any]:
    """Machine and versions for a manifest; ``cores`` are those that this process may use."""
    from upscore.core.parallel.processes import num_cores

    packages = ["upscore", "torch", "numpy", "pillow", "scipy", "lightning-fabric", "safetensors"]
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cores": num_cores(),
        "versions": {name: installed_version(name) for name in packages},
    }


def describe_start() -> dict[str, Any]:
    """The start of a run for its manifest: command, time, commit, machine."""
    return {
        "command": command_line(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "git_commit": git_commit(),
        "machine": describe_machine(),
    }


def describe_result() -> dict[str, Any]:
    """The program that made a file of results: command, time, version, peak memory."""
    return {
        "command": command_line(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "upscore": installed_version("upscore"),
        "peak_memory_mib": round(peak_memory_bytes() / 2**20),
    }


def command_line() -> str | None:
    """The `upscore` command that this process runs, or None in another program (a notebook)."""
    program = Path(sys.argv[0])
    is_module = Path(__file__).resolve().parents[1] in program.resolve().parents  # python -m
    if program.stem == "upscore" or is_module:
        return shlex.join(["upscore", *sys.argv[1:]])
    return None


def git_commit() -> str | None:
    """Commit of the checkout that this package runs from, or None when installed elsewhere."""
    here = Path(__file__).resolve().parent
    if "site-packages" in here.parts:
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(here), "rev-parse", "HEAD"],
            capture_output=True, text=True, timeout=5, check=False,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() or None
