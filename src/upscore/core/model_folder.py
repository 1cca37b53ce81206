"""Where networks are: model folders, run folders, pipelines, and those in this package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from upscore.core.choices import near_path
from upscore.core.files import exists
from upscore.core.quoting import shorten
from upscore.core.run_folder import RunFolder
from upscore.errors import NotFoundError, RunError

CONFIG = "config.json"
WEIGHTS = "model.safetensors"

NETWORKS = Path(str(resources.files("upscore"))) / "networks"
"""Model folders in this package."""

DEFAULT_NETWORK = "objects"
"""The one that predictions use if none is named, if it is there."""


def builtin_networks() -> dict[str, Path]:
    """Names and folders of the trained networks in this package, sorted by name.

    Damaged ones too: without them, another network would be used in their place.
    """
    return {path.name: path for path in sorted(NETWORKS.glob("*/"))}


def repair(folder: Path) -> str:
    """What to do about a damaged model folder."""
    if folder.parent == NETWORKS:
        return "install upscore again: pip install --force-reinstall --no-deps upscore"
    return "copy the folder again or train again"


def names_builtin(path: Path) -> bool:
    """Whether this is the name of a network in this package, and no file or folder is called so."""
    return not exists(path) and str(path) in builtin_networks()


def is_pipeline(path: Path) -> bool:
    """Whether a path is meant as a pipeline file (and not as a run folder), by its suffix."""
    return path.suffix.lower() in (".yaml", ".yml") and not (exists(path) and path.is_dir())


def require_network(path: Path) -> None:
    """Check that there is a network or a pipeline file of that name, without opening it.

    Raises:
        NotFoundError, RunError: see :func:`find_model`; or no such file.
    """
    if not is_pipeline(path):
        find_model(path)
    elif not exists(path):
        raise NotFoundError(f"{shorten(str(path))}: no such pipeline file{near_path(path)}")


def require_source(path: Path) -> None:
    """Raise NotFoundError where there is no network, pipeline file or folder of label maps."""
    if not exists(path) and not holds_model(path):
        raise NotFoundError(
            f"{shorten(str(path))}: no such run folder, pipeline file (.yaml) or folder of label "
            f"maps{near_path(path, builtin_networks())}; `upscore train` makes run folders"
        )


def holds_model(path: Path) -> bool:
    """Whether ``find_model`` would take this path for a network, complete or not."""
    if exists(path) and path.is_dir():
        return any((path / name).exists() for name in (CONFIG, WEIGHTS, "manifest.json"))
    return names_builtin(path)


def find_model(path: Path) -> Path:
    """The model folder of a run folder or of a trained network by name, or ``path`` itself.

    A folder of the same name comes before a name of :func:`builtin_networks`.

    Raises:
        NotFoundError: no such folder.
        RunError: neither a run folder nor a model folder, or a run without a model so far.
    """
    if not exists(path):
        networks = builtin_networks()
        if str(path) in networks:
            return networks[str(path)]
        names = f", or name one of {', '.join(networks)}" if networks else ""
        meant = near_path(path, networks)
        raise NotFoundError(
            f"{shorten(str(path))}: no such run folder{meant}; `upscore train` makes one{names}"
        )
    if path.is_dir() and ((path / CONFIG).exists() or (path / WEIGHTS).exists()):
        return path
    if path.is_dir() and not (path / "manifest.json").exists():
        inside = sorted(one.parent.name for one in path.glob("*/manifest.json"))
        if inside:
            raise RunError(
                f"{path}: a folder of several runs; name one of them, such as {path / inside[0]}"
            )
        raise RunError(
            f"{path}: neither a run folder (no manifest.json in it) nor a model folder (no "
            "config.json in it); name the folder given to `upscore train --out`"
        )
    run = RunFolder.open(path)
    if not run.model.exists():
        raise RunError(
            f"{path}: this run has no model yet, as its training has not reached the first "
            "validation; if it is not running, continue with the same `upscore train` command and "
            "--resume"
        )
    return run.model
