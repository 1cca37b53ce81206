"""``upscore doctor``."""

from __future__ import annotations


def doctor() -> None:
    """Print versions, the device and precision that are chosen, measured speed, and extras."""
    import importlib.util

    from rich.table import Table

    from upscore.cli.console import console
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
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    for name, version in machine["versions"].items():
        table.add_row(name, version or "not installed (running from source)")
    table.add_row("python", machine["python"])
    table.add_row("system", machine["system"])
    table.add_row("processor", f"{machine['cpu']}, {machine['cores']} cores")
    table.add_row("device chosen", runtime.device)
    table.add_row("precision chosen", runtime.precision)
    if runtime.device == "cpu":
        fast = "yes" if cpu_has_fast_bf16() else "no (bf16 would be slower than fp32 here)"
        table.add_row("bf16 in hardware", fast)
    for precision in sorted({"fp32", runtime.precision}):
        rate = matrix_rate(Runtime(runtime.device, precision))
        table.add_row(f"matrix product {precision}", f"{rate / 1e12:.2f} TFLOP/s measured")
    for extra, module in EXTRAS.items():
        there = importlib.util.find_spec(module) is not None
        how = (
            "installed" if there else f'not installed; get it with: pip install "upscore[{extra}]"'
        )
        table.add_row(f"extra {extra}", how)
    console.print(table, markup=False)
