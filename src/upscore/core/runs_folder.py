"""The folder ``runs``: where trainings go without ``--out``, and where the last one is found."""

from __future__ import annotations

from pathlib import Path

from upscore.core.lock import LOCK
from upscore.core.model_folder import DEFAULT_NETWORK, builtin_networks
from upscore.core.run_folder import RunFolder
from upscore.errors import NotFoundError, RunError

RUNS = Path("runs")
"""Below the current folder."""


def new_run(name: str) -> Path:
    """A path for a new run: ``runs/NAME``, or ``runs/NAME-2`` and so on where that is taken.

    A run that was stopped before it saved anything takes no name.
    """
    path, number = RUNS / name, 1
    while not _is_free(path):
        number += 1
        path = RUNS / f"{name}-{number}"
    return path


def _is_free(path: Path) -> bool:
    try:
        return not (path / LOCK).exists() and RunFolder(path).is_free()
    except RunError:  # a damaged manifest
        return False


def last_run(*, trained: bool = False) -> Path | None:
    """The run below ``runs`` that was begun last, as its manifest says; None without any.

    Args:
        trained: leave out runs that have no network yet.
    """
    found = []
    for manifest in RUNS.glob("*/manifest.json"):
        if trained and not RunFolder(manifest.parent).model.exists():
            continue
        try:
            started = RunFolder(manifest.parent).read_manifest().get("started")
        except RunError:  # damaged; it is named where it is asked for
            continue
        if isinstance(started, str):
            found.append((started, manifest.stat().st_mtime, manifest.parent))
    return max(found)[2] if found else None


def require_last_run() -> Path:
    """The last run that has a network, else the last one. Raises NotFoundError without any."""
    run = last_run(trained=True) or last_run()
    if run is None:
        raise NotFoundError(
            f"no run is named, and there is none in {RUNS}/; name a run folder, or train one: "
            "upscore train --data PHOTOS"
        )
    return run


def default_network() -> Path:
    """The network of a prediction that names none: the last run, else one of the package.

    Raises:
        NotFoundError: there is neither.
    """
    run = last_run(trained=True)
    networks = builtin_networks()
    names = [name for name in (DEFAULT_NETWORK, *networks) if name in networks]
    if run is None and not names:
        raise NotFoundError(
            "no network is named, and this installation includes none; name a run folder before "
            "the photos (`upscore train` makes one)"
        )
    return networks[names[0]] if run is None else run


def data_of(run: Path) -> Path:
    """The data set that a run was trained on, as its manifest says.

    Raises:
        NotFoundError: it is not known, or not there any more.
        RunError: no run folder, or a damaged one.
    """
    if run.is_dir() and not (run / "manifest.json").exists():
        raise RunError(
            f"{run}: not a run folder (no manifest.json in it). If it is a data set, type: upscore "
            f"evaluate --data {run}; a model folder, or a folder of label maps, needs --data PHOTOS"
        )
    recorded = RunFolder.open(run).read_manifest().get("data")
    path = recorded.get("path") if isinstance(recorded, dict) else None
    if not isinstance(path, str) or not Path(path).exists():
        where = f", which was at {path}," if isinstance(path, str) else ""
        raise NotFoundError(f"{run}: its data set{where} is not there; name one: --data PHOTOS")
    return Path(path)
