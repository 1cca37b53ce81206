"""Scores of stored label maps, measured once and kept as JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from upscore.core.files import read_json, write_json
from upscore.data.dataset import DataSet
from upscore.errors import UpscoreError
from upscore.metrics.comparison import compare
from upscore.metrics.comparison_files import to_json
from upscore.metrics.object_size import Bins
from upscore.reproduce.labelling import LabelStore


def measured(
    path: Path, identity: Mapping[str, Any], measure: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The measurement stored at ``path``, or a new one that is stored there.

    Args:
        identity: what it is of, JSON values; one of something else is made again.
        measure: makes it, JSON values.
    """
    wanted = dict(identity)
    if path.exists():
        try:
            kept = read_json(path)
        except UpscoreError:
            kept = {}
        if kept.get("of") == wanted and isinstance(kept.get("found"), dict):
            return dict(kept["found"])
    found = measure()
    write_json(path, {"of": wanted, "found": found})
    return found


def score_stages(
    path: Path,
    store: LabelStore,
    stages: Mapping[str, str],
    *,
    identities: Mapping[str, Any],
    dataset: DataSet,
    failures: Mapping[int, str],
    bins: Bins,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Scores by class, near boundaries and by object size of two stages or more, and differences.

    Args:
        path: where the measurement is kept.
        stages: what tables call each, by its name in the store; differences are to the first.
        identities: of the stages, as in the store.
        bins: sizes of objects.

    Returns:
        What ``upscore compare`` writes to compare.json; ``stage`` beside the name of each.

    Raises:
        DataError: no photo that all of them have labelled.
    """

    def measure() -> dict[str, Any]:
        result = compare(
            [store.labelled(stage, name, failures) for stage, name in stages.items()],
            store.split,
            instances=dataset.instances,
            bins=bins,
            progress=progress,
        )
        content = to_json(result, {}, {})
        for stage, contender in zip(stages, content["contenders"], strict=True):
            contender["stage"] = stage
        return content

    of = {
        "stages": dict(stages),
        "identities": {stage: identities[stage] for stage in stages},
        "data": dataset.fingerprint(),
        "split": store.split.name,
        "bins": bins.describe(),
        "failures": {str(place): text for place, text in failures.items()},
    }
    return measured(path, of, measure)


def by_stage(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The contenders of :func:`score_stages` by the name of their stage."""
    return {one["stage"]: one for one in content["contenders"]}
