"""Pages opened in headless Chromium."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

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


TABLES = """<script>
addEventListener("load", () => {
  const tables = [];
  for (const box of document.querySelectorAll(".scroll")) {
    const hint = () => box.parentElement.classList.contains("more-right");
    const shade = () => getComputedStyle(box.parentElement, "::before").opacity;
    const first = box.querySelector("tbody th") ?? box.querySelector("td");
    const found = { beyond: box.scrollWidth - box.clientWidth, hint: hint(), shade: shade() };
    if (first) {
      const { left, width } = first.getBoundingClientRect();
      Object.assign(found, { first: left, width, name: first.textContent });
    }
    if (found.beyond > 1) {
      box.scrollLeft = 60;
      if (first) found.scrolled = first.getBoundingClientRect().left;
      box.scrollLeft = found.beyond;
      box.dispatchEvent(new Event("scroll"));  // the browser's own comes with the next frame
      found.end = hint();
    }
    tables.push(found);
  }
  const root = document.documentElement;
  const charts = [...document.querySelectorAll(".charts svg")];
  parent.postMessage({ page: PAGE, tables, room: root.clientWidth, taken: root.scrollWidth,
    charts: charts.map((chart) => chart.getBoundingClientRect().width) }, "*");
});
</script>"""


def measure_tables(pages: dict[str, str], folder: Path, *, width: int) -> dict[str, dict]:
    """Of each page in a frame of that width: its tables, and whether it is wider than the window.

    One browser shows them all.
    """
    frames = []
    for place, (name, page) in enumerate(pages.items()):
        script = TABLES.replace("PAGE", json.dumps(name))
        (folder / f"{place}.html").write_text(
            page.replace("</body>", script + "</body>", 1), "utf-8"
        )
        frames.append(f'<iframe src="{place}.html" style="width:{width}px; height:900px"></iframe>')
    listen = (
        'const found = []; addEventListener("message", (event) => { found.push(event.data); '
        'document.getElementById("probe").textContent = JSON.stringify(found); });'
    )
    wrapper = (
        '<!doctype html><meta charset="utf-8"><style>iframe { border: 0 }</style>'
        f'<pre id="probe"></pre><script>{listen}</script>{"".join(frames)}'
    )
    (folder / "wrapper.html").write_text(wrapper, "utf-8")
    found = json.loads(_probed(folder, []))
    return {item["page"]: item for item in found}


def look(
    page: str, folder: Path, *, width: int = 1280, dark: bool = False, console: bool = True
) -> dict:
    """What Chromium makes of a page, loaded from disk in a frame of the given width."""
    folder.mkdir()
    page = page.replace("<head>", "<head>" + RECORD, 1).replace("</body>", PROBE + "</body>", 1)
    (folder / "page.html").write_text(page, encoding="utf-8")
    (folder / "wrapper.html").write_text(WRAPPER.format(width=width), encoding="utf-8")
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    return json.loads(_probed(folder, scheme, console=console))


def _probed(folder: Path, flags: list[str], *, console: bool = True) -> str:
    """What is in the probe of ``folder/wrapper.html`` once Chromium has shown it."""
    done = subprocess.run(
        [CHROMIUM, *FLAGS, *flags, f"--user-data-dir={folder / 'profile'}",
         (folder / "wrapper.html").as_uri()],
        capture_output=True, text=True, timeout=HANG_S, check=False,
    )  # fmt: skip
    if console:
        problems = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
        assert not problems, "\n".join(problems)
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    assert found.group(1), f"the page did not report; Chromium said: {done.stderr[-2000:]}"
    return html.unescape(found.group(1))
