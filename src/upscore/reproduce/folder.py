"""The folder of a reproduction: its plan, its paths, and its measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upscore.core.files import read_json, refuse_newer, write_json
from upscore.core.lock import files_in
from upscore.core.settings import build
from upscore.data.record import DataRecord, summary
from upscore.errors import SettingsError, UpscoreError
from upscore.training.recipe import Recipe
from upscore.training.setup import setting_differences

FORMAT_VERSION = 1
LISTED = 3
"""Settings that differ, in a message."""


@dataclass(frozen=True)
class Folder:
    """Paths below ``--out``."""

    path: Path

    @property
    def plan(self) -> Path:
        """Source, budget, data and recipes: what a rerun must agree with."""
        return self.path / "plan.json"

    def run(self, name: str) -> Path:
        """Run folder of a training."""
        return self.path / "runs" / name

    @property
    def data(self) -> Path:
        """The data set when the reproduction began: see :mod:`upscore.data.record`."""
        return self.path / "data.json"

    @property
    def labels(self) -> Path:
        """Label maps, one PNG for each stage and photo."""
        return self.path / "labels"

    def measured(
        self, name: str, of: Mapping[str, Any], measure: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:
        """The stored measurement, or a new one that is stored there; JSON values.

        Args:
            of: its inputs, JSON values; a measurement of other inputs is made again.
        """
        path = self.path / "measurements" / f"{name}.json"
        if path.exists():
            try:
                kept = read_json(path)
            except UpscoreError:
                kept = {}
            if kept.get("of") == of and isinstance(kept.get("found"), dict):
                return dict(kept["found"])
        found = measure()
        write_json(path, {"of": of, "found": found})
        return found

    def refuse_other(self, plan: dict[str, Any], data: DataRecord) -> None:
        """Check that the folder is free, or holds the reproduction of this plan and data.

        Raises:
            SettingsError: it holds another reproduction, or something else.
            RunError: a damaged plan, or one of a newer upscore.
        """
        if self.plan.exists():
            kept = read_json(self.plan)
            refuse_newer(self.plan, kept, FORMAT_VERSION)
            kept["recipes"] = _with_defaults(kept.get("recipes"))
            other = [key for key in plan if kept.get(key) != plan[key]]
            if other:
                found = "; ".join(f"{key}{_both_values(kept.get(key), plan[key])}" for key in other)
                raise SettingsError(
                    f"{self.path}: holds a reproduction that was started with other values of "
                    f"{found}; choose another --out, or use the same settings to continue it "
                    "(and the same version of upscore, if you have not changed any)"
                )
            before = DataRecord.read(self.data)
            if before is not None and (different := before.differences(data)):
                raise SettingsError(
                    f"{self.path}: was begun on another data set: {summary(different)}; choose "
                    "another --out"
                )
        elif self.path.exists() and not self._is_free():
            raise SettingsError(
                f"{self.path}: exists and holds no reproduction; choose another --out"
            )

    def _is_free(self) -> bool:
        """Whether the folder is empty, or a reproduction was killed there before it began."""
        return self.path.is_dir() and all(path == self.data for path in files_in(self.path))

    def begin(self, plan: dict[str, Any], data: DataRecord) -> None:
        """Write data and plan into a new folder, or the new times of files. Raises OutputError."""
        if DataRecord.read(self.data) != data:
            data.write(self.data)
        if not self.plan.exists():
            write_json(self.plan, {"format_version": FORMAT_VERSION, **plan})


def _with_defaults(recipes: Any) -> Any:
    """Recipes of an older upscore, completed with the defaults of newer settings."""
    if not isinstance(recipes, dict):
        return recipes
    try:
        return {
            name: build(Recipe, content, name).model_dump(mode="json", by_alias=True)
            for name, content in recipes.items()
        }
    except SettingsError:  # settings that no longer exist: another reproduction
        return recipes


def _both_values(kept: Any, given: Any) -> str:
    """Short values as they are; of recipes the first settings that differ."""
    if isinstance(kept, dict) and isinstance(given, dict):
        lines = setting_differences(kept, given)
        more = f" and {len(lines) - LISTED} more" if len(lines) > LISTED else ""
        return f" ({'; '.join(lines[:LISTED])}{more})" if lines else ""
    both = f" ({kept}, now {given})"
    return both if len(both) <= 120 else ""
