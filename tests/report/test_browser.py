"""The pages in headless Chromium: no errors, pictures seen, nothing wider than the window."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from report.fake_runs import NASTY, make_run
from upscore.core.labels import Labels
from upscore.report.page import comparison_page, run_page
from upscore.report.run_data import read_run
from waiting import HANG_S

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync "
    "--disable-background-networking --disable-component-update --enable-logging=stderr --v=0 "
    "--virtual-time-budget=4000 --dump-dom --window-size=1400,1000"
).split()

RECORD = """<script>
window.problems = [];
const note = (e) => problems.push("error: " + (e.message || e.target.outerHTML));
addEventListener("error", note, true);
addEventListener("unhandledrejection", (e) => problems.push("rejected: " + e.reason));
addEventListener("securitypolicyviolation", (e) => problems.push("policy: " + e.blockedURI));
</script>"""

PROBE = """<script>
addEventListener("load", () => {
  const pictures = [...document.querySelectorAll("main img")].map((img) => {
    const box = img.getBoundingClientRect();
    const seen = img.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true });
    return { alt: img.alt, natural: img.naturalWidth, width: box.width, height: box.height, seen };
  });
  const column = (place) => [...document.querySelector("table.sortable").tBodies[0].rows]
    .map((row) => row.cells[place].textContent);
  const before = column(1);
  document.querySelector("table.sortable thead th:nth-child(2) button").click();
  const falling = column(1);
  document.querySelector("table.sortable thead th:nth-child(2) button").click();
  const rising = column(1);
  const dialog = document.querySelector("dialog");
  const steps = [dialog.open];
  const zoom = document.querySelector(".zoom");
  if (zoom) {
    zoom.click();
    steps.push(dialog.open, dialog.querySelector("img").src === zoom.querySelector("img").src);
    dialog.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    steps.push(dialog.querySelector("img").src === zoom.querySelector("img").src);
    dialog.querySelector("button").click();
    steps.push(dialog.open);
  }
  const root = document.documentElement;
  const charts = [...document.querySelectorAll(".charts svg")];
  parent.postMessage({ problems, pictures, before, falling, rising, steps,
    window: innerWidth, room: root.clientWidth, taken: root.scrollWidth, title: document.title,
    alerts: document.querySelectorAll("main script").length,
    charts: charts.map((chart) => chart.getBoundingClientRect().width),
    headline: [...document.querySelectorAll(".tiles b")].map((b) => b.textContent) }, "*");
});
</script>"""

WRAPPER = """<!doctype html><meta charset="utf-8"><pre id="probe"></pre>
<iframe src="page.html" style="border:0; width:{width}px; height:900px"></iframe>
<script>addEventListener("message", (event) => {{
  document.getElementById("probe").textContent = JSON.stringify(event.data);
}});</script>"""

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt install chromium)"),
]


def look(
    page: str, folder: Path, *, width: int = 1280, dark: bool = False, console: bool = True
) -> dict:
    """What Chromium makes of a page, loaded from disk in a frame of the given width."""
    folder.mkdir()
    page = page.replace("<head>", "<head>" + RECORD, 1).replace("</body>", PROBE + "</body>", 1)
    (folder / "page.html").write_text(page, encoding="utf-8")
    (folder / "wrapper.html").write_text(WRAPPER.format(width=width), encoding="utf-8")
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    done = subprocess.run(
        [CHROMIUM, *FLAGS, *scheme, f"--user-data-dir={folder / 'profile'}",
         (folder / "wrapper.html").as_uri()],
        capture_output=True, text=True, timeout=HANG_S, check=False,
    )  # fmt: skip
    if console:
        assert [line for line in done.stderr.splitlines() if "CONSOLE" in line] == []
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    assert found.group(1), f"the page did not report; Chromium said: {done.stderr[-2000:]}"
    return json.loads(html.unescape(found.group(1)))


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
