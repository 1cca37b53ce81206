"""Pages in other languages than English."""

from __future__ import annotations

from string import Formatter

from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from upscore.report.document import Document, Section, Table
from upscore.report.figures.reproduction import horizontal_bars
from upscore.report.figures.scheme import Column, Skip, scheme_chart
from upscore.report.figures.scores import PAGE, PAPER, svg
from upscore.report.page import document_page
from upscore.report.page_words import WORDS, page_file


def test_words_are_the_same_in_all_languages():
    english = WORDS["en"]
    for language, words in WORDS.items():
        assert set(words) == set(english), language
        for name, text in words.items():
            fields, others = (
                {field for _, field, _, _ in Formatter().parse(one) if field}
                for one in (text, english[name])
            )
            assert fields == others, (language, name)


def test_a_korean_page_has_no_english_around_its_text():
    table = Table("t", "설명", ("이름", "값"), (("하나", 1),), published=frozenset({0}))
    document = Document(
        "제목", "머리말", (Section("장", (), (table,)),), facts=(("예산", "1"),), language="ko"
    )
    page = document_page(document, ["en"])
    body = page[page.index("</style>") : page.index("<script>")]
    assert '<html lang="ko">' in page
    assert f'<a href="{page_file("en")}" lang="en" hreflang="en">English</a>' in body
    assert "<b>표 1.</b>" in body
    assert "<em>논문 값</em>" in body
    for word in ("How it was made", "Written by", "Enlarge", "Close", "confusion matrix"):
        assert word not in body
    assert "languages" not in document_page(document).split("</style>")[1]


def test_a_scheme_has_a_box_and_arrows_for_each_step():
    columns = (Column(("photo",), 1), Column(("a", "b"), 0.4), Column(("사진",), 0.5))
    figure = scheme_chart(columns, (Skip(0, 2, "colours"),), theme=PAPER)
    (axes,) = figure.axes
    kinds = [type(patch) for patch in axes.patches]
    assert kinds.count(FancyBboxPatch) == 4
    assert kinds.count(FancyArrowPatch) == 2 + 2 + 1
    assert [text.get_text() for text in axes.texts] == ["photo", "a", "b", "사진", "colours"]
    drawn = svg(scheme_chart(columns, (), theme=PAGE), name="scheme")
    assert "사진" in drawn  # text stays text, in the page's own font


def test_bars_show_their_numbers():
    figure = horizontal_bars(["one", "two"], [("mIoU", [0.25, None])], theme=PAPER)
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["0.250", "none"]
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0]
    low, high = axes.get_ylim()
    assert low > high  # the first on top
