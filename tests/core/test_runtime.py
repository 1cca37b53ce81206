"""``auto`` follows what the machine can do; wrong choices list the right ones."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from upscore.core import runtime
from upscore.core.runtime import Runtime, describe_machine, matrix_rate, select_runtime
from upscore.errors import SettingsError


@pytest.mark.parametrize(("fast", "precision"), [(True, "bf16"), (False, "fp32")])
def test_auto_on_a_cpu_follows_the_hardware(
    monkeypatch: pytest.MonkeyPatch, fast: bool, precision: str
) -> None:
    monkeypatch.setattr(runtime, "cpu_has_fast_bf16", lambda: fast)
    assert select_runtime("cpu") == Runtime("cpu", precision)  # type: ignore[arg-type]


@pytest.mark.parametrize(("bf16", "precision"), [(True, "bf16"), (False, "fp16")])
def test_auto_with_a_gpu(monkeypatch: pytest.MonkeyPatch, bf16: bool, precision: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    # a GPU that emulates bf16, which torch counts as support unless asked not to
    monkeypatch.setattr(
        torch.cuda,
        "is_bf16_supported",
        lambda including_emulation=True: bf16 or including_emulation,
    )
    assert select_runtime() == Runtime("cuda", precision)  # type: ignore[arg-type]
    assert select_runtime("cpu", "fp32") == Runtime("cpu", "fp32")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("tpu", "auto"), "device is 'tpu'; allowed: auto, cpu, cuda"),
        (("cpu", "fp8"), "precision is 'fp8'; allowed: auto, fp32, bf16, fp16"),
        (("cpu", "fp16"), "fp16 needs a GPU"),
        (("cuda", "auto"), "torch sees no GPU here"),
    ],
)
def test_what_cannot_be(monkeypatch: pytest.MonkeyPatch, arguments: Any, message: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SettingsError, match=message):
        select_runtime(*arguments)


def test_flags_of_the_processor_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    for flags, fast in [("fma avx512_vnni", False), ("amx_bf16", True), ("avx512_bf16", True)]:
        monkeypatch.setattr(runtime.Path, "read_text", lambda *_a, text=flags, **_k: text)
        assert runtime.cpu_has_fast_bf16() is fast


def test_no_cpuinfo_means_no(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*_arguments: object, **_options: object) -> str:
        raise OSError

    monkeypatch.setattr(runtime.Path, "read_text", missing)
    assert runtime.cpu_has_fast_bf16() is False


def test_matrix_rate_is_a_rate() -> None:
    assert matrix_rate(Runtime("cpu", "fp32"), size=64, seconds=0.01) > 1e6


def test_machine_is_described() -> None:
    machine = describe_machine()
    assert machine["versions"]["torch"]
    assert machine["cores"] >= 1
    assert machine["cpu"]
