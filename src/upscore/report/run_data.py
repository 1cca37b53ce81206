"""What the report reads of a run folder: only its own files, and each may be missing."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upscore.core.failures import first_line
from upscore.core.files import read_json
from upscore.core.run_folder import RunFolder
from upscore.core.settings import load_yaml
from upscore.core.tables import read_csv
from upscore.errors import RunError
from upscore.metrics.score_files import Results, read_results
from upscore.report.examples import Example, Picture, read_examples
from upscore.report.pictures import embed

WINDOW = 100  # iterations, the report's mean


@dataclass(frozen=True)
class Curve:
    """log.csv as series: ``losses[i]`` is the mean since ``iterations[i - 1]``.

    Logs begin with the loss of the first iteration; those of older versions do not.
    """

    iterations: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()
    val_iterations: tuple[int, ...] = ()
    val_miou: tuple[float, ...] = ()
    last_iteration: int = 0
    seconds: float | None = None
    memory_mib: float | None = None

    @property
    def start_loss(self) -> float | None:
        """Loss of the first iteration, before any step; None where the log does not have it."""
        return self.losses[0] if self.iterations[:1] == (1,) else None

    @property
    def finer_than_mean(self) -> bool:
        """Whether losses were logged more often than every 100 iterations."""
        ends = self.iterations[self.start_loss is not None :]
        gaps = (end - start for start, end in zip((0, *ends), ends, strict=False))
        return any(gap < WINDOW for gap in list(gaps)[:-1])  # the last one may be cut short

    def hundred_iteration_mean(self) -> tuple[float, ...]:
        """Mean loss of the 100 iterations up to each logged one.

        Each logged value counts for the iterations that it covers, so that any logging interval
        gives the same curve; an interval of 100 or more is its own mean.
        """
        means: list[float] = []
        window: deque[tuple[int, int, float]] = deque()  # (after, up to, mean loss)
        before = 0
        for iteration, loss in zip(self.iterations, self.losses, strict=True):
            window.append((before, iteration, loss))
            begin = iteration - WINDOW
            while window[0][1] <= begin:
                window.popleft()
            weights = [max(end - max(start, begin), 1e-9) for start, end, _ in window]
            total = sum(w * value for w, (_, _, value) in zip(weights, window, strict=True))
            means.append(total / sum(weights))
            before = iteration
        return tuple(means)


@dataclass(frozen=True)
class SplitResults:
    """One evaluation/<split>/ folder."""

    folder: Path
    results: Results
    examples: tuple[Example, ...]

    @property
    def name(self) -> str:
        return self.folder.name

    def shot(self, example: Example, what: Picture, caption: str) -> dict[str, Any]:
        """A picture of an example with its caption, for a page."""
        path = self.folder / "examples" / example.pictures[what]
        return {"picture": embed(path), "caption": caption}


@dataclass(frozen=True)
class RunData:
    """A run as its files describe it. None or empty stands for a missing file."""

    path: Path
    name: str
    manifest: dict[str, Any]
    recipe: dict[str, Any]
    recipe_text: str
    model: dict[str, Any]
    curve: Curve
    splits: tuple[SplitResults, ...] = field(default=())

    def settings(self) -> dict[str, Any]:
        """The recipe in dotted keys."""
        return flatten(self.recipe)

    def recorded(self, *keys: str) -> Any:
        """A value of the manifest by its path of keys, None where it is not there."""
        value: Any = self.manifest
        for key in keys:
            if not isinstance(value, Mapping):
                return None
            value = value.get(key)
        return value

    def recorded_dict(self, *keys: str) -> dict[str, Any]:
        """As :meth:`recorded`, empty where there is none."""
        value = self.recorded(*keys)
        return value if isinstance(value, dict) else {}


def read_run(path: Path) -> RunData:
    """Read everything that a report shows.

    Raises:
        NotFoundError: no such folder.
        RunError: no run folder, a damaged file (named), or one from a newer upscore.
    """
    run = RunFolder.open(path)
    recipe = load_yaml(run.recipe) if run.recipe.exists() else {}
    config = run.model / "config.json"
    return RunData(
        path=path,
        name=path.resolve().name,
        manifest=run.read_manifest(),
        recipe=recipe,
        recipe_text=run.recipe.read_text(encoding="utf-8") if recipe else "",
        model=read_json(config) if config.exists() else {},
        curve=read_curve(run.log) if run.log.exists() else Curve(),
        splits=read_splits(run.evaluation),
    )


def read_model_folder(path: Path) -> RunData:
    """As :func:`read_run` for a model folder: its config.json, and evaluations beside it.

    Raises:
        NotFoundError, RunError: a file is missing or damaged (named).
    """
    config = read_json(path / "config.json")
    name = path.resolve().name
    return RunData(path, name, {}, {}, "", config, Curve(), read_splits(path / "evaluation"))


def read_splits(evaluation: Path) -> tuple[SplitResults, ...]:
    """The scores in the folders of ``evaluation``, which may be missing, by name."""
    if not evaluation.is_dir():
        return ()
    return tuple(
        SplitResults(folder, read_results(folder), tuple(read_examples(folder / "examples")))
        for folder in sorted(evaluation.iterdir())
        if (folder / "scores.json").exists()
    )


def split_order(name: str) -> tuple[int, str]:
    """val first, then test, then by name."""
    return {"val": 0, "test": 1}.get(name, 2), name


def read_curve(path: Path) -> Curve:
    """log.csv -> series. A last row that a killed run left half-written is dropped.

    Raises:
        RunError: no such columns, or a cell that is no number.
    """
    header, *lines = read_csv(path, "remove it, and the report has no curve") or [[]]
    if lines and "iteration" not in header:
        raise RunError(f"{path}: damaged, there is no column 'iteration' in its first line")
    rows = [dict(zip(header, line, strict=False)) for line in lines if line]
    losses: list[tuple[int, float]] = []
    scores: list[tuple[int, float]] = []
    last, seconds, memory = 0, None, None
    for number, row in enumerate(rows, start=2):
        try:
            iteration = int(row["iteration"])
            if not 0 <= iteration < 2**53:
                raise ValueError(f"iteration is {row['iteration'][:20]}")
            loss, miou = _number(row.get("loss")), _number(row.get("val_miou"))
            seconds = _number(row.get("seconds")) or seconds
            used = _number(row.get("memory_mib"))
        except (LookupError, ValueError) as error:
            raise RunError(f"{path}, line {number}: damaged ({first_line(error)})") from error
        last = max(last, iteration)
        if used is not None:
            memory = used if memory is None else max(memory, used)
        if loss is not None:
            losses.append((iteration, loss))
        if miou is not None:
            scores.append((iteration, miou))
    return Curve(
        iterations=tuple(i for i, _ in losses),
        losses=tuple(v for _, v in losses),
        val_iterations=tuple(i for i, _ in scores),
        val_miou=tuple(v for _, v in scores),
        last_iteration=last,
        seconds=seconds,
        memory_mib=memory,
    )


def _number(text: str | None) -> float | None:
    """An empty cell and what is not finite are None."""
    if not text:
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings -> dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat
