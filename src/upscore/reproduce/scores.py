"""Scores of stored label maps, measured once and kept as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upscore.core.progress import count_items
from upscore.metrics.comparison import compare
from upscore.metrics.comparison_files import to_json
from upscore.reproduce.context import Context


def score_stages(
    context: Context,
    name: str,
    stages: Mapping[str, str],
    *,
    identities: Mapping[str, Any],
    what: str,
) -> dict[str, Any]:
    """Scores by class, near boundaries and by object size of two stages or more, and differences.

    Args:
        name: of the measurement.
        stages: what tables call each, by its name in the store; differences are to the first.
        identities: of the stages, as in the store.
        what: stage of the progress.

    Returns:
        What ``upscore compare`` writes to compare.json; ``stage`` beside the name of each.

    Raises:
        DataError: no photo that all of them have labelled.
    """
    store, bins = context.store, context.bins()

    def measure() -> dict[str, Any]:
        result = compare(
            [store.labelled(stage, title, context.unlabelled) for stage, title in stages.items()],
            store.split,
            instances=context.dataset.instances,
            bins=bins,
            progress=count_items(context.on_progress, what),
        )
        content = to_json(result, {}, {})
        for stage, contender in zip(stages, content["contenders"], strict=True):
            contender["stage"] = stage
        return content

    of = {
        "stages": dict(stages),
        "bins": bins.describe(),
        **context.of_stages(identities, stages),
    }
    return context.folder.measured(name, of, measure)


def by_stage(content: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The contenders of :func:`score_stages` by the name of their stage."""
    return {one["stage"]: one for one in content["contenders"]}
