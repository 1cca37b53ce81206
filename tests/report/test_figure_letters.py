"""Every figure at the width at which it is printed: letters are legible, none is cut or covered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from report.all_figures import all_figures
from upscore.data import open_dataset
from upscore.data.toy import make_toy
from upscore.report import figures as figures_package
from upscore.report.figures.layout import COLUMN_MM, MM_PER_INCH, NARROW, WIDE

LEAST = 6.4
"""Points in print."""


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figure]:
    toy = make_toy(tmp_path_factory.mktemp("figures") / "toy", num=6, seed=1, size=(48, 64))
    found = dict(all_figures(open_dataset(toy)))
    for figure in found.values():
        figure.draw_without_rendering()  # places everything
    return found


def shown_texts(figure: Figure) -> list[Text]:
    """Without ticks beyond the limits and those of panels that are switched off."""
    hidden = []
    for axes in figure.axes:
        for axis, limits in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
            low, high = sorted(limits)
            for tick in [*axis.get_major_ticks(), *axis.get_minor_ticks()]:
                if not axes.axison or not low <= tick.get_loc() <= high:
                    hidden += [tick.label1, tick.label2]
    found = figure.findobj(lambda one: isinstance(one, Text) and one.get_visible())
    return [text for text in found if text.get_text() and text not in hidden]


def check_letters(figure: Figure, name: str) -> None:
    width = figure.get_figwidth()
    assert width in (NARROW, WIDE), name
    scale = COLUMN_MM / MM_PER_INCH / width if width == NARROW else 1
    texts = shown_texts(figure)
    assert texts, name
    for text in texts:
        assert text.get_fontsize() * scale >= LEAST, (name, text)
        box, whole = text.get_window_extent(), figure.bbox
        assert box.x0 >= -1, (name, text)
        assert box.y0 >= -1, (name, text)
        assert box.x1 <= whole.width + 1, (name, text)
        assert box.y1 <= whole.height + 1, (name, text)


def test_letters_are_legible_in_print_and_inside_the_figure(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        check_letters(figure, name)


def test_legends_titles_and_axes_do_not_cover_each_other(figures: dict[str, Figure]) -> None:
    for name, figure in figures.items():
        boxes = [axes.get_tightbbox() for axes in figure.axes if axes.axison]
        boxes += [legend.get_window_extent() for legend in figure.legends]
        for i, one in enumerate(boxes):
            for other in boxes[:i]:
                wide = min(one.x1, other.x1) - max(one.x0, other.x0)
                high = min(one.y1, other.y1) - max(one.y0, other.y0)
                assert min(wide, high) <= 2, name


def test_names_in_legends_are_whole(figures: dict[str, Figure]) -> None:
    texts = [text.get_text() for text in figures["bars-turned"].legends[0].get_texts()]
    assert texts == [f"FCN-8s, learned upsampling, {i}" for i in range(4)]


@pytest.mark.parametrize(("place", "text", "size"), [(0.9, "cut at the edge", 12), (0.1, "a", 8)])
def test_the_check_sees_cut_and_small_letters(place: float, text: str, size: float) -> None:
    figure = Figure(figsize=(NARROW, 2))
    figure.text(place, 0.5, text, fontsize=size)
    figure.draw_without_rendering()
    with pytest.raises(AssertionError, match=text):
        check_letters(figure, "bad")


def test_all_figures_of_the_package_are_here() -> None:
    folder = Path(figures_package.__file__).parent
    made_here = (Path(__file__).parent / "all_figures.py").read_text("utf-8")
    text = "\n".join(path.read_text("utf-8") for path in folder.glob("*.py"))
    names = set(
        re.findall(r"^def ([a-z]\w+)\((?:[^()]|\([^()]*\))*\) -> Figure:", text, re.MULTILINE)
    )
    assert len(names) > 10
    assert {name for name in names - {"new_figure"} if f"{name}(" not in made_here} == set()
