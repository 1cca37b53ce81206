"""Check, measure, fetch or generate a data set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upscore.core.extras import require_extras
from upscore.core.files import write_json
from upscore.core.limits import MAX_PIXELS
from upscore.core.progress import OnProgress, Progress, count_items, ignore_progress
from upscore.data import check, download, open_dataset, toy
from upscore.data.check import CheckResult
from upscore.data.notices import tell_listing

if TYPE_CHECKING:
    from upscore.data.stats import DataStats


def check_data(
    data: str | Path,
    *,
    json: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: OnProgress = ignore_progress,
) -> CheckResult:
    """Read every pair of a data set once; all problems are in ``problems``.

    Args:
        json: also write the problems to this file.

    Raises:
        UpscoreError: ``data`` cannot be opened at all, or ``json`` cannot be written.
    """
    dataset = open_dataset(Path(data), max_pixels=max_pixels)
    result = check.check(dataset, progress=count_items(on_progress, "reading pairs"))
    if json is not None:
        write_json(json, result.to_dict())
    return result


def measure_data(
    data: str | Path,
    *,
    json: Path | None = None,
    figure: Path | None = None,
    max_pixels: int = MAX_PIXELS,
    on_progress: OnProgress = ignore_progress,
) -> DataStats:
    """Count classes, photo sizes and object sizes of every split.

    Args:
        json: also write the numbers to this file.
        figure: also write a figure with example photos to this PNG file.

    Raises:
        UpscoreError: a file cannot be read or written.
        MissingExtraError: the extra evaluate, or with a figure report, is not installed.
    """
    require_extras("data stats", "evaluate")
    if figure is not None:
        require_extras("drawing figures", "report")
    from upscore.data import stats

    dataset = open_dataset(Path(data), max_pixels=max_pixels)
    tell_listing(dataset)
    result = stats.measure(dataset, progress=count_items(on_progress, "reading masks"))
    if json is not None:
        write_json(json, result.to_dict())
    if figure is not None:
        from upscore.report.figures.dataset import overview_figure
        from upscore.report.figures.scores import write_figure

        write_figure(figure, overview_figure(result, dataset))
    return result


@dataclass(frozen=True)
class DataResult:
    """The folder of a data set that was fetched or generated."""

    folder: Path

    def to_dict(self) -> dict[str, Any]:
        """The folder as JSON values."""
        return {"folder": str(self.folder)}


def make_toy_data(
    out: str | Path,
    *,
    num: int = 120,
    seed: int = 0,
    size: tuple[int, int] = (128, 160),
    on_progress: OnProgress = ignore_progress,
) -> DataResult:
    """Generate the toy set; see :func:`upscore.data.toy.make_toy`."""
    require_extras("data toy", "evaluate")
    progress = count_items(on_progress, "drawing")
    return DataResult(toy.make_toy(Path(out), num=num, seed=seed, size=size, progress=progress))


def get_data(
    name: download.Name,
    to: str | Path,
    *,
    archive: Path | None = None,
    on_progress: OnProgress = ignore_progress,
) -> DataResult:
    """Fetch and unpack a public data set; see :func:`upscore.data.download.get`."""
    folder = download.get(
        name,
        Path(to),
        archive=archive,
        report=lambda what, done, total: on_progress(Progress(f"{name}: {what}", done, total)),
    )
    return DataResult(folder)
