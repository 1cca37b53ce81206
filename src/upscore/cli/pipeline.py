"""``upscore pipeline``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, UseAppendAction, arg

from upscore.cli.console import console, keep_result
from upscore.cli.options import OptionalFile
from upscore.errors import SettingsError


def pipeline(
    name: Annotated[Positional[str], arg(metavar="NAME")],
    /,
    *,
    run: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="STAGE=RUN")] = (),
    store: OptionalFile = None,
    out: Annotated[Path, arg(metavar="FILE")],
) -> None:
    """Write a pipeline file, which combines several networks for predict and evaluate.

    Args:
        name: A shipped pipeline: edeconvnet-crf (FCN, DeconvNet over proposals, both
            together, each with and without a CRF; needs --run fcn=RUN --run deconvnet=RUN);
            edeconvnet-crf-quick for quickly trained networks, edeconvnet-crf-released for those
            of `upscore weights`; two-networks-crf (two networks with flips and scales, their mean
            and a CRF; needs --run first=RUN --run second=RUN).
        run: A run folder or an included network for each network of the pipeline: --run
            fcn=runs/fcn --run deconvnet=runs/deconvnet.
        store: Boxes from `upscore proposals make`; without it they are computed for each photo.
        out: Output file, for example edeconvnet-crf.yaml. You can edit it.
    """
    from upscore.inference.pipeline.templates import write_pipeline

    settings = write_pipeline(name, out, runs=_runs(run), store=store)
    stages = ", ".join(settings.stages)
    keep_result({"file": str(out), "stages": [*settings.stages], "output": settings.output})
    console.print(f"Wrote {out}: stages {stages}; the answer is {settings.output}.")
    console.print(f"Next: upscore predict {out} PHOTOS --out DIR")
    console.print(f"      upscore evaluate {out} --data PATH")


def _runs(assignments: tuple[str, ...]) -> dict[str, Path]:
    """``STAGE=RUN`` as typed. Raises SettingsError."""
    runs: dict[str, Path] = {}
    for assignment in assignments:
        stage, equals, folder = assignment.partition("=")
        if not equals or not stage.strip() or not folder:
            raise SettingsError(f"--run {assignment!r}: write it as STAGE=RUN, as fcn=runs/fcn")
        if stage.strip() in runs:
            raise SettingsError(f"--run {stage.strip()} is given twice")
        runs[stage.strip()] = Path(folder)
    return runs
