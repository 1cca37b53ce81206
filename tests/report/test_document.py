"""Documents apart from how they look."""

from __future__ import annotations

import numpy as np

from upscore.report.document import Document, Row, Section, Sheet, Table, without_data

PICTURE = np.zeros((4, 5, 3), np.uint8)


def test_without_pictures_of_the_data():
    both = Row("one", (("photo", PICTURE), ("truth", None), ("ours", PICTURE)), frozenset({0, 1}))
    data = Row("two", (("photo", PICTURE),), frozenset({0}))
    table = Table("t", "T.", ("a",), ((1,),))
    sections = (
        Section(
            "S", items=(table, Sheet("mixed", "M.", (both, data)), Sheet("data", "D.", (data,)))
        ),
    )
    found = without_data(Document("Title", "Lead.", sections, missing=("gone",)))
    (section,) = found.sections
    assert [item.name for item in section.items] == ["t", "mixed"]
    (row,) = section.items[1].rows
    assert (row.title, [name for name, _ in row.shots]) == ("one", ["ours"])
    assert found.lead.startswith("Lead. Photos, true masks")
    assert found.missing == ("gone",)


def test_small_numbers_are_rounded_like_the_others():
    table = Table("t", "T.", ("a",), ((5.8e-5,),))
    assert table.text(5.8e-5) == "0.000"
    assert table.text(0.25) == "0.250"
    assert table.text(None) == "\u2013"
    assert table.text(12345) == "12,345"
