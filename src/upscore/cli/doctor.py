"""``upscore doctor``."""

from __future__ import annotations

from upscore.cli.console import console, keep_result
from upscore.core.tables import Table


def doctor() -> None:
    """Check this machine: versions, device and precision, measured speed, and extras."""
    import importlib.util

    from upscore.core.runtime import (
        EXTRAS,
        Runtime,
        cpu_has_fast_bf16,
        describe_machine,
        matrix_rate,
        select_runtime,
    )

    machine = describe_machine()
    runtime = select_runtime()
    rows = [
        (name, version or "not installed (running from source)")
        for name, version in machine["versions"].items()
    ]
    rows += [
        ("python", machine["python"]),
        ("system", machine["system"]),
        ("processor", f"{machine['cpu']}, {machine['cores']} cores"),
        ("device chosen", runtime.device),
        ("precision chosen", runtime.precision),
    ]
    if runtime.device == "cpu":
        fast = "yes" if cpu_has_fast_bf16() else "no (bf16 would be slower than fp32 here)"
        rows.append(("bf16 in hardware", fast))
    for precision in sorted({"fp32", runtime.precision}):
        rate = matrix_rate(Runtime(runtime.device, precision))
        rows.append((f"matrix product {precision}", f"{rate / 1e12:.2f} TFLOP/s measured"))
    for extra, module in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        how = f'not installed; get it with: pip install "upscore[{extra}]"'
        rows.append((f"extra {extra}", "installed" if there else how))
    keep_result(dict(rows))
    console.print(Table((), rows).screen())
