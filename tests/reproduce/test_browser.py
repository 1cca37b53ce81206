"""The page of a reproduction in headless Chromium."""

from __future__ import annotations

import numpy as np
import pytest

from report.browser import CHROMIUM, look
from upscore.core.labels import Labels
from upscore.report.document import Chart, Check, Document, Row, Section, Sheet, Table
from upscore.report.figures.reproduction import Line, loss_curves
from upscore.report.page import document_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt install chromium)"),
]


def make_page():
    labels = Labels.of(["ground", "<b>tree</b>", "a name that is as long as names can be"])
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 256, (90, 120, 3), dtype=np.uint8)
    flat = labels.colorize(rng.integers(0, 3, (90, 120), dtype=np.uint8))
    rows = tuple(
        (name, score, None, 12) for name, score in (("one", 0.5), ("two", 0.25), ("three", 0.75))
    )
    table = Table("t", "A table.", ("method", "mIoU", *("ab")), rows, published=frozenset({0}))
    wide = Table("w", "Wide.", tuple(f"column {i}" for i in range(23)),
                 (("name", *range(22)),))  # fmt: skip
    line = Line("Exp. 1", (1, 2, 3), (3.0, 2.0, 1.5))
    chart = Chart("c", "A chart.", lambda theme: loss_curves([line], mark=2, theme=theme))
    row = Row("photo <i>1</i>", (("photo", photo), ("truth", flat), ("lost", None)))
    sheet = Sheet("s", "Pictures.", (row, row), labels)
    return document_page(
        Document(
            "Title & more",
            "Lead.",
            (Section("First", ("Text.",), (table, wide, sheet, chart),
                     checks=(Check("It is so.", "0.5", True), Check("Or not.", "0.1", None))),),
            missing=("something is missing",),
            facts=(("data", "x"),),
            recipes=(("one", "model: <x>"),),
            tiles=(("0.5", "mIoU"),),
        )
    )  # fmt: skip


CHART = """<script>addEventListener("load", () => {
  const button = [...document.querySelectorAll(".zoom")].find((z) => z.querySelector("svg"));
  button.click();
  const large = document.querySelector("dialog svg");
  if (!large || large.getBoundingClientRect().width < 200) problems.push("no large chart");
  if (!document.querySelector("dialog p").textContent.includes("A chart.")) problems.push("text");
  document.querySelector("dialog").close();
});</script>"""


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_page_of_a_document(tmp_path, width, dark):
    page = make_page().replace("</body>", CHART + "</body>", 1)
    seen = look(page, tmp_path / "look", width=width, dark=dark)
    assert seen["problems"] == []
    assert seen["taken"] <= seen["room"]
    assert len(seen["pictures"]) == 4
    assert all(picture["natural"] > 0 and picture["seen"] for picture in seen["pictures"])
    assert seen["charts"]
    assert all(chart > 250 for chart in seen["charts"])
    assert seen["steps"] == [False, True, True, False, False]
