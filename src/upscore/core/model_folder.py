"""Where networks are: model folders, run folders, pipelines, and those in this package.

The networks in this package have names. A folder of the same name comes first if it is a run
folder or a model folder; any other folder or file does not hide the name (see :func:`included`).
"""

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
MANIFEST = "manifest.json"

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


def is_network_folder(path: Path) -> bool:
    """Whether this is a run folder or a model folder, complete or not."""
    return (
        exists(path)
        and path.is_dir()
        and any((path / name).exists() for name in (CONFIG, WEIGHTS, MANIFEST))
    )


def included(name: str | Path, *, place: Path = Path()) -> Path | None:
    """The network in this package of that name; None if ``place`` has one in a folder so called."""
    return None if is_network_folder(place / name) else builtin_networks().get(str(name))


def name_of(path: Path) -> str:
    """The name of a network in this package, else the path."""
    return path.name if path in builtin_networks().values() else str(path)


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


def means_network(word: str | Path) -> bool:
    """Whether an input of a prediction is a network or a pipeline, and no photo or folder."""
    path = Path(word)
    if exists(path):
        return is_network_folder(path) or is_pipeline(path)
    return is_pipeline(path) or included(word) is not None


def holds_model(path: Path) -> bool:
    """Whether ``find_model`` would take this path for a network, complete or not."""
    return is_network_folder(path) or included(path) is not None


def find_model(path: Path) -> Path:
    """The model folder of a run folder or of a trained network by name, or ``path`` itself.

    Raises:
        NotFoundError: no such folder.
        RunError: neither a run folder nor a model folder, or a run without a model so far.
    """
    found = included(path)
    if found is not None:
        return found
    if not exists(path):
        networks = builtin_networks()
        names = f", or name one of {', '.join(networks)}" if networks else ""
        meant = near_path(path, networks)
        raise NotFoundError(
            f"{shorten(str(path))}: no such run folder{meant}; `upscore train` makes one{names}"
        )
    if path in builtin_networks().values() or (
        path.is_dir() and ((path / CONFIG).exists() or (path / WEIGHTS).exists())
    ):
        return path
    if path.is_dir() and not (path / MANIFEST).exists():
        inside = sorted(one.parent.name for one in path.glob(f"*/{MANIFEST}"))
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
