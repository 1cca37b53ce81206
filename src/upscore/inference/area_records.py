"""How much of each class a photo shows: ``predictions.jsonl`` and ``summary.csv``.

A line of ``predictions.jsonl`` is written as soon as a photo has its results, so that a killed job
keeps them. At the end both files are written anew, sorted by name.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from upscore.core.damage import read_bytes
from upscore.core.extras import require_extras
from upscore.core.files import explain_os_error, write_text
from upscore.core.images import row_bands
from upscore.core.json import parse_json
from upscore.core.labels import VOID, LabelMap, Labels, Shares
from upscore.core.option_values import require_measures
from upscore.core.tables import write_csv

RECORDS = "predictions.jsonl"
SUMMARY = "summary.csv"

MOST_BYTES = 1_000_000_000
"""Of a file of records: some million photos."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Measures:
    """What is recorded of a photo beside the pixels of each class.

    Attributes:
        min_object: connected regions of at least so many pixels are counted as objects; None
            counts none.
        mm_per_pixel: side of a pixel in the real world, in mm; None for no areas.

    Raises:
        SettingsError: ``min_object`` below 1, or ``mm_per_pixel`` not above 0.
        MissingExtraError: ``min_object`` without numba.
    """

    min_object: int | None = None
    mm_per_pixel: float | None = None

    def __post_init__(self) -> None:
        require_measures(self.min_object, self.mm_per_pixel)
        if self.min_object is not None:
            require_extras("--count-objects", "crf")

    def record(self, name: str, source: Path, labels: LabelMap, label_set: Labels) -> Record:
        """The record of a photo: pixels and objects of each class by its name."""
        height, width = labels.shape
        counts = np.zeros(256, np.int64)
        for rows in row_bands(height, width):  # bincount makes copies of eight bytes a pixel
            counts += np.bincount(labels[rows].ravel(), minlength=256)
        record: Record = {
            "name": name,
            "source": str(source),
            "width": width,
            "height": height,
            "pixels": dict(zip(label_set.names, counts.tolist(), strict=False)),
        }
        if self.min_object is not None:
            record["min_object"] = self.min_object
            record["objects"] = self._objects(labels, label_set)
        return record

    def _objects(self, labels: LabelMap, label_set: Labels) -> dict[str, int]:
        from upscore.core.regions import (
            connected_regions,  # with numba, which predict can do without
        )

        regions = connected_regions(labels).ravel()
        sizes = np.bincount(regions)
        classes = np.zeros(len(sizes), np.uint8)
        classes[regions] = labels.ravel()
        counts = np.bincount(classes[sizes >= (self.min_object or 1)], minlength=VOID)
        return {
            name: int(counts[index])
            for index, name in enumerate(label_set.names)
            if index != label_set.background
        }


class AreaRecords:
    """The records of a folder of results. Those of earlier jobs with the same classes stay.

    Raises:
        OutputError: cannot write.
    """

    def __init__(self, out: Path, label_set: Labels, measures: Measures) -> None:
        self._out = out
        self._label_set = label_set
        self._measures = measures
        self._lock = threading.Lock()
        self._added = Counter[str]()  # pixels of each class in the records of this job
        self._records: dict[str, Record] = {}
        self._failures: list[Record] = []
        self._ends_in_a_line = False
        if (out / RECORDS).is_file():
            for line in read_bytes(out / RECORDS, MOST_BYTES).splitlines():
                record = self._known(line)
                if record:
                    self._records[record["name"]] = record

    def __contains__(self, name: str) -> bool:
        """Whether there is a record of a photo with all that is measured."""
        record = self._records.get(name)
        return record is not None and record.get("min_object") == self._measures.min_object

    def measure(self, name: str, source: Path, labels: LabelMap) -> Record:
        """The record of a photo or frame, to be added once its results are written."""
        return self._measures.record(name, source, labels, self._label_set)

    def add(self, *records: Record) -> None:
        """Keep records of photos whose results are written. Raises OutputError."""
        path = self._out / RECORDS
        with self._lock:
            self._records |= {record["name"]: record for record in records}
            for record in records:
                self._added.update(record["pixels"])
            try:
                with path.open("a+b") as stream:
                    if stream.tell() and not self._ends_in_a_line:
                        stream.seek(-1, os.SEEK_END)
                        if stream.read(1) != b"\n":  # a job was killed while it wrote
                            stream.write(b"\n")
                    self._ends_in_a_line = True
                    stream.write(b"".join(map(_line, records)))
            except OSError as error:
                raise explain_os_error(error, path) from error

    def shares(self) -> Shares:
        """The share of each class in all pixels that this job added; empty without any."""
        total = self._added.total()
        return {name: self._added[name] / total for name in self._label_set.names if total}

    def fail(self, name: str, source: Path, message: str) -> None:
        """Record why a photo has no results."""
        self._failures.append({"name": name, "source": str(source), "error": message})

    def write(self) -> None:
        """Write both files, sorted by name; failed files only in ``predictions.jsonl``."""
        records = [self._records[name] for name in sorted(self._records)]
        lines = b"".join(_line(record) for record in [*records, *self._failures])
        write_text(self._out / RECORDS, lines.decode())
        names = self._label_set.names
        header = ["photo", "width", "height", *(f"{name} share" for name in names)]
        header += [f"{name} pixels" for name in names]
        counted = [n for i, n in enumerate(names) if i != self._label_set.background]
        scale = self._measures.mm_per_pixel
        if scale is not None:
            header += [f"{name} mm2" for name in names]
        if self._measures.min_object is not None:
            header += [f"{name} objects" for name in counted]
        rows = []
        for record in records:
            pixels = [record["pixels"][name] for name in names]
            size = record["width"] * record["height"]
            row = [record["name"], record["width"], record["height"]]
            row += [round(value / size, 6) for value in pixels] + pixels
            if scale is not None:
                row += [value * scale * scale for value in pixels]
            if self._measures.min_object is not None:
                row += [record.get("objects", {}).get(name) for name in counted]
            rows.append(row)
        write_csv(self._out / SUMMARY, header, rows)

    def _known(self, line: bytes) -> Record | None:
        """A record of these classes; None for others, for failures, and for half a line."""
        try:
            record = parse_json(line)
        except ValueError:
            return None
        if not isinstance(record, dict) or not isinstance(record.get("name"), str):
            return None
        pixels = record.get("pixels")
        sides = (record.get("width"), record.get("height"))
        is_whole = isinstance(pixels, Mapping) and all(
            isinstance(number, int) and number >= least
            for numbers, least in ((pixels.values(), 0), (sides, 1))
            for number in numbers
        )
        return record if is_whole and tuple(pixels or ()) == self._label_set.names else None


def _line(record: Record) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogateescape") + b"\n"
