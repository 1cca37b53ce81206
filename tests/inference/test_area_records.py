"""summary.csv and predictions.jsonl: areas of the classes, kept over interruptions."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from upscore.core.labels import Labels
from upscore.errors import SettingsError
from upscore.inference.area_records import RECORDS, SUMMARY, AreaRecords, Measures

LABELS = Labels.of(["background", "leaf", "=cmd"])
MAP = np.zeros((4, 6), np.uint8)
MAP[0, 0] = MAP[3, 3:6] = 1
MAP[1:3, 4] = 2


def summary(out: Path) -> list[dict[str, str]]:
    with (out / SUMMARY).open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_shares_pixels_areas_and_objects(tmp_path: Path) -> None:
    records = AreaRecords(tmp_path, LABELS, Measures(min_object=2, mm_per_pixel=0.5))
    records.add(records.measure("b", Path("b.jpg"), MAP))
    records.add(records.measure("a", Path("a.jpg"), np.ones_like(MAP)))
    records.write()
    first, second = summary(tmp_path)
    assert (first["photo"], second["photo"]) == ("a", "b")
    assert (second["width"], second["height"]) == ("6", "4")
    assert float(second["leaf share"]) == pytest.approx(4 / 24, abs=1e-6)
    assert second["leaf pixels"] == "4"
    assert float(second["leaf mm2"]) == 4 * 0.25
    assert second["leaf objects"] == "1"  # the single pixel is below two
    assert "background objects" not in second
    shares = [float(v) for k, v in second.items() if k.endswith(" share")]
    assert sum(shares) == pytest.approx(1, abs=1e-5)
    lines = [json.loads(line) for line in (tmp_path / RECORDS).read_text().splitlines()]
    assert [line["name"] for line in lines] == ["a", "b"]
    assert lines[1]["objects"] == {"leaf": 1, "=cmd": 1}


def test_records_survive_a_kill_and_half_a_line(tmp_path: Path) -> None:
    records = AreaRecords(tmp_path, LABELS, Measures())
    records.add(records.measure("a", Path("a.jpg"), MAP))
    with (tmp_path / RECORDS).open("ab") as stream:
        stream.write(b'{"name": "b", "width"')  # killed while it wrote
    again = AreaRecords(tmp_path, LABELS, Measures())
    assert "a" in again
    assert "b" not in again
    again.add(again.measure("b", Path("b.jpg"), MAP))
    again.write()
    assert [row["photo"] for row in summary(tmp_path)] == ["a", "b"]


def test_a_line_after_half_a_line_is_read(tmp_path: Path) -> None:
    (tmp_path / RECORDS).write_bytes(b'{"name": "x", "wid')
    records = AreaRecords(tmp_path, LABELS, Measures())
    records.add(records.measure("a", Path("a.jpg"), MAP))
    assert "a" in AreaRecords(tmp_path, LABELS, Measures())


def test_records_of_other_classes_and_damaged_ones_are_left_out(tmp_path: Path) -> None:
    other = AreaRecords(tmp_path, Labels.of(["x", "y"]), Measures())
    other.add(other.measure("a", Path("a.jpg"), np.zeros_like(MAP)))
    wrong = {"name": "b", "width": "6", "height": 4, "pixels": {"background": 1}}
    with (tmp_path / RECORDS).open("a") as stream:
        stream.write(json.dumps(wrong) + "\n[]\n\xff\n")
    records = AreaRecords(tmp_path, LABELS, Measures())
    records.add(records.measure("c", Path("c.jpg"), MAP))
    records.fail("d", Path("d.jpg"), "d.jpg: damaged")
    records.write()
    assert [row["photo"] for row in summary(tmp_path)] == ["c"]
    assert '"error": "d.jpg: damaged"' in (tmp_path / RECORDS).read_text()


def test_a_record_without_what_is_asked_for_does_not_count(tmp_path: Path) -> None:
    records = AreaRecords(tmp_path, LABELS, Measures())
    records.add(records.measure("a", Path("a.jpg"), MAP))
    assert "a" not in AreaRecords(tmp_path, LABELS, Measures(min_object=1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"min_object": 0}, "count_objects is 0; allowed: 1 or more"),
        ({"mm_per_pixel": 0.0}, "mm_per_pixel is 0.0; allowed: over 0"),
        ({"mm_per_pixel": float("nan")}, "allowed: over 0"),
    ],
)
def test_wrong_measures_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Measures(**settings)  # type: ignore[arg-type]
