"""The run folder: files of training, evaluation and reports."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from upscore.core.choices import near_path
from upscore.core.files import atomic_path, read_json, write_text
from upscore.core.lock import files_in
from upscore.errors import NotFoundError, RunError, SettingsError

FORMAT_VERSION = 1
"""Raised when a run folder of this program could not be read by an older one."""

DRAWN_VALIDATION = "drawn_validation"
"""Key in the manifest's ``data``: names of the photos that validated, where they were drawn from
the training split."""


GUESS = "guess"
"""Key in the manifest's ``data``: mask values and the classes that they were guessed to mean."""


class RunFolder:
    """Paths inside a run folder. It can be moved, zipped, resumed, compared."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.recipe = path / "recipe.yaml"
        """Every setting as resolved, YAML."""
        self.model = path / "model"
        """Folder of the weights to use (best on validation): config.json, model.safetensors."""
        self.state = path / "state"
        """Folder of what resuming needs."""
        self.data = self.state / "data.json"
        """The data set when the training began: see :mod:`upscore.data.record`."""
        self.last = self.state / "last"
        """Folder of the weights of the last state; of a finished training the final ones."""
        self.log = path / "log.csv"
        """One row for the first iteration, each ``log_every`` ones and each validation, CSV."""
        self.evaluation = path / "evaluation"
        """Folder of scores: one ``<split>/`` each."""
        self.report = path / "report.html"
        self.manifest = path / "manifest.json"
        """Versions, command, git commit, data fingerprint, machine, JSON."""

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """An existing run folder.

        Raises:
            NotFoundError: no such folder.
            RunError: a folder that is no run, is half-written, or comes from a newer upscore.
        """
        run = cls(path)
        if not path.exists():
            raise NotFoundError(
                f"{path}: no such run folder{near_path(path)}; `upscore train` makes one"
            )
        if not path.is_dir():
            raise RunError(f"{path}: is a file; name the run folder that `upscore train` wrote")
        if not run.manifest.exists():
            raise RunError(f"{path}: not a run folder (no manifest.json in it)")
        version = run.read_manifest().get("format_version")
        if not isinstance(version, int):
            raise RunError(f"{run.manifest}: no format_version; the file is damaged")
        if version > FORMAT_VERSION:
            raise RunError(
                f"{path}: written by a newer upscore (run format {version}, this one reads up to "
                f"{FORMAT_VERSION}); upgrade with: pip install -U upscore"
            )
        return run

    def is_begun(self, *, resume: bool) -> bool:
        """Whether there is a run here to resume; if not, the folder is free for a new one.

        Raises:
            SettingsError: the folder is taken: by a run while ``resume`` is false, or by something
                else.
        """
        begun = self.manifest.exists() and self.recipe.exists()
        if begun and not resume:
            if self.is_free():
                return False
            raise SettingsError(
                f"{self.path}: holds a run already; continue it with --resume, or choose another "
                "--out"
            )
        if not begun and not self.is_free():
            raise SettingsError(f"{self.path}: exists and is no run folder; choose another --out")
        return begun

    def is_free(self) -> bool:
        """Whether there is no such folder, an empty one, or one of a training that saved nothing.

        Such a training was stopped before its first state; resuming it would begin it again, too.
        """
        if not self.path.exists():
            return True
        if not self.path.is_dir():
            return False
        first = {self.data, self.manifest}
        if self.manifest.exists():
            first |= {self.recipe, self.log}
        if any(path not in first for path in files_in(self.path)):
            return False
        return not self.manifest.exists() or "format_version" in self.read_manifest()

    def begin(self, recipe: str, manifest: dict[str, Any]) -> None:
        """Write the first files of a run. Without the last of them it has not begun."""
        self.recipe.unlink(missing_ok=True)  # of a training that saved nothing
        self.write_manifest(manifest)
        write_text(self.recipe, recipe)

    def read_manifest(self) -> dict[str, Any]:
        return read_json(self.manifest)

    def write_manifest(self, content: dict[str, Any]) -> None:
        with atomic_path(self.manifest) as temporary:
            text = json.dumps({"format_version": FORMAT_VERSION, **content}, indent=2)
            temporary.write_text(text + "\n", encoding="utf-8")

    def update_manifest(self, **entries: Any) -> None:
        """Add ``entries`` to the manifest, or replace them."""
        self.write_manifest({**self.read_manifest(), **entries})


def told_guess(path: Path) -> dict[str, str] | None:
    """What the mask values were guessed to mean when the run at ``path`` was trained, and told.

    None where nothing was guessed, and for anything but a run folder.
    """
    run = RunFolder(path)
    if not run.manifest.is_file():
        return None
    try:
        data = run.read_manifest().get("data")
    except RunError:  # a damaged manifest is reported where it is needed
        return None
    guess = data.get(GUESS) if isinstance(data, dict) else None
    return guess if isinstance(guess, dict) else None


def unique_names(paths: Sequence[Path]) -> list[str]:
    """Short names of runs and pipelines: the last part of the path, without ``.yaml``.

    Whole paths for those that share one, numbered for the same path twice.
    """
    short = [
        path.stem if path.suffix in (".yaml", ".yml") else path.resolve().name for path in paths
    ]
    unique: list[str] = []
    for path, name in zip(paths, short, strict=True):
        label = str(path) if not name or short.count(name) > 1 else name
        unique.append(f"{label} ({len(unique) + 1})" if label in unique else label)
    return unique
