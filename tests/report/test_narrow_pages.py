"""Every kind of page on a telephone: no page is wider than the window, tables say that they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from evaluation.small_world import make_data
from report.browser import CHROMIUM, measure_tables
from report.fake_runs import make_run
from report.test_compare_figures import guesses
from reproduce.test_browser import make_page
from upscore.core.labels import CAMVID_LABELS
from upscore.data import open_dataset
from upscore.metrics.comparison import compare
from upscore.report.compared_page import compared_page
from upscore.report.page import comparison_page, run_page
from upscore.report.run_data import read_run
from upscore.report.sweep_page import sweep_page
from upscore.report.sweep_tables import SweptRun

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt install chromium)"),
]

WIDTH = 390
SHIPPED = Path(__file__).parents[2] / "docs" / "reproductions"


def make_pages(folder: Path) -> dict[str, str]:
    runs = [
        read_run(make_run(folder / name, labels=CAMVID_LABELS, seed=seed, num=3).path)
        for seed, name in enumerate(
            ("first run", "a-run-whose-name-is-as-long-as-names-of-runs-get")
        )
    ]
    names = ("background", "a class with quite a long name", "car")
    split = open_dataset(make_data(folder / "data", names)).split("val")
    swept = [
        SweptRun(
            f"lr={lr}_seed={seed}", {"optim.lr": lr, "seed": seed}, "finished",
            best=0.5, last=0.4, seconds=100.0,
        )
        for lr in (0.001, 0.002) for seed in (0, 1)
    ]  # fmt: skip
    shipped = {path.parent.name: path.read_text("utf-8") for path in SHIPPED.glob("*/page.html")}
    assert len(shipped) == 4
    return shipped | {
        "run": run_page(runs[0]),
        "runs": comparison_page(runs),
        "compared": compared_page(compare(guesses(split, 3), split)),
        "sweep": sweep_page(swept, about={"recipe": "fcn8s-quick"}),
        "reproduction": make_page(),
    }


def test_pages_of_every_kind_on_a_telephone(tmp_path: Path) -> None:
    pages = make_pages(tmp_path)
    wide = (
        '<div class="scroll"><table><tr><th>x</th><td style="min-width:900px">y</td></tr></table>'
    )
    pages["wrong"] = f'<body>{wide}</div><p style="width:800px">wide</p></body>'
    found = measure_tables(pages, tmp_path, width=WIDTH)
    assert set(found) == set(pages)
    bad = found.pop("wrong")  # without style and script: the check can fail
    assert bad["taken"] > bad["room"]
    assert not any(table["hint"] for table in bad["tables"])
    for name, page in found.items():
        assert page["taken"] <= page["room"] <= WIDTH, name  # less a scroll bar
        assert page["tables"], name
        for table in page["tables"]:
            beyond = table["beyond"] > 1
            assert table["hint"] == beyond, (name, table)
            if beyond:
                assert float(table["shade"]) > 0.9, (name, table)
                assert not table["end"], (name, table)
            if beyond and "first" in table:  # not a chart
                assert table["scrolled"] == pytest.approx(table["first"], abs=1), (name, table)
                assert table["width"] < 0.6 * WIDTH, (name, table)
    assert any(table["beyond"] > 1 for table in found["run"]["tables"])  # the confusion matrix
    assert any(table["beyond"] > 1 for table in found["msrc-deconvnet-paper"]["tables"])
