"""The pages in headless Chromium: no errors, pictures seen, nothing wider than the window."""

from __future__ import annotations

import pytest

from report.browser import CHROMIUM, look
from report.fake_runs import NASTY, make_run
from upscore.core.labels import Labels
from upscore.report.page import comparison_page, run_page
from upscore.report.run_data import read_run

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt install chromium)"),
]


def check(seen: dict, *, pictures: int) -> None:
    assert seen["problems"] == []
    assert len(seen["pictures"]) == pictures
    for picture in seen["pictures"]:
        assert picture["natural"] > 0, picture
        assert picture["width"] > 50, picture
        assert picture["height"] > 30, picture
        assert picture["seen"], picture
    assert seen["taken"] <= seen["room"]
    assert seen["alerts"] == 0
    falling = [float(text) for text in seen["falling"]]
    assert falling == sorted(falling, reverse=True)
    assert seen["rising"] == seen["falling"][::-1] or len(set(falling)) < len(falling)
    assert sorted(seen["before"]) == sorted(seen["falling"])
    assert seen["steps"] == [False, True, True, False, False]
    assert len(seen["charts"]) == 2
    assert all(width > 250 for width in seen["charts"])


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_page_of_a_run(tmp_path, width, dark):
    run = make_run(tmp_path / "run", labels=NASTY, splits=("val", "test"), num=9)
    page = run_page(read_run(run.path))
    seen = look(page, tmp_path / "look", width=width, dark=dark)
    check(seen, pictures=2 * 4 * 9)
    assert seen["window"] == width
    assert seen["title"] == "run"


@pytest.mark.parametrize("width", [1280, 390])
def test_page_that_compares(tmp_path, width):
    first = make_run(tmp_path / "<script>alert(1)<i>", labels=NASTY, num=5)
    second = make_run(tmp_path / 'b & "c"', labels=NASTY, num=5, seed=2, error=0.5, width=1.0)
    runs = [read_run(first.path), read_run(second.path)]
    check(look(comparison_page(runs), tmp_path / "look", width=width), pictures=6 * 5)


def test_picture_of_many_classes(tmp_path):
    labels = Labels.of([f"class {i}" for i in range(60)])
    run = make_run(tmp_path / "run", labels=labels, num=2)
    seen = look(run_page(read_run(run.path)), tmp_path / "look", width=390)
    assert seen["problems"] == []
    assert seen["taken"] <= seen["room"]
    assert any("60 classes" in picture["alt"] for picture in seen["pictures"])
    assert all(picture["natural"] > 0 for picture in seen["pictures"])


def test_probe_sees_what_is_wrong(run, tmp_path):
    page = run_page(read_run(run.path))
    bad = '<img src="data:image/png;base64,AAAA" alt="bad"><p style="min-width:2000px">wide</p>'
    bad += "<script>nothing.here</script>"
    page = page.replace("<main>", "<main>" + bad + "<img src='https://example.invalid/x.png'>", 1)
    folder = tmp_path / "look"
    with pytest.raises(AssertionError, match="CONSOLE"):
        look(page, folder)
    seen = look(page, tmp_path / "again", console=False)
    assert any("nothing is not defined" in problem for problem in seen["problems"])
    assert any("policy" in problem for problem in seen["problems"])  # no network, whatever it holds
    assert any(picture["natural"] == 0 for picture in seen["pictures"])
    assert seen["taken"] > seen["room"]
