"""Matching the classes of a network and of a data set by name."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from upscore.core.labels import Labels
from upscore.core.quoting import join
from upscore.errors import RunError


def match_classes(of_run: Labels, of_data: Labels, *, run: str, data: str) -> npt.NDArray[np.uint8]:
    """Table (C,) uint8 from the network's class index to the data set's.

    ``table[prediction]`` is a prediction in the data set's numbering. ``run`` and ``data`` are the
    names of the two for messages.

    Raises:
        RunError: a name that only one of them has.
    """
    only_run = [name for name in of_run.names if name not in of_data.names]
    only_data = [name for name in of_data.names if name not in of_run.names]
    if only_run or only_data:
        parts = [f"{run} has {len(of_run)} classes, {data} has {len(of_data)}"]
        if only_run:
            parts.append(f"only in {run}: {join(only_run)}")
        if only_data:
            parts.append(f"only in {data}: {join(only_data)}")
        raise RunError(
            "class names differ: " + "; ".join(parts) + ". Use a data set with the same "
            "classes, or name them alike in a dataset.yaml (see docs/data.md)"
        )
    return np.array([of_data.names.index(name) for name in of_run.names], dtype=np.uint8)
