"""``upscore doctor``."""

from __future__ import annotations

from upscore.cli.console import console, keep_result
from upscore.core.tables import Table


def doctor() -> None:
    """Check this machine: versions, device and precision, measured speed, and extras."""
    from upscore.core.extras import EXTRAS, install_command, missing_modules
    from upscore.core.runtime import (
        Runtime,
        cpu_has_fast_bf16,
        describe_machine,
        matrix_rate,
        select_runtime,
    )

    machine = describe_machine()
    runtime = select_runtime()
    rows = [(name, version or "not installed") for name, version in machine["versions"].items()]
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
    for extra in EXTRAS:
        missing = missing_modules(extra)
        how = f"{', '.join(missing)} not installed; type: {install_command(extra)}"
        rows.append((f"extra {extra}", how if missing else "installed"))
    keep_result({name.replace(" ", "_").replace("-", "_"): value for name, value in rows})
    console.print(Table((), rows).screen())
