from __future__ import annotations

import csv

import pytest
from rich.console import Console

from upscore.core.plural import plural
from upscore.core.tables import Table

TABLE = Table(("name", "score", "pixels"), [("[red]", 0.5, 12345), ("b", None, None)], digits=2)


def shown(table: object, width: int = 60) -> list[str]:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(table)
    return [line.rstrip() for line in capture.get().splitlines()]


def test_on_the_screen_names_are_no_markup_and_numbers_are_aligned_right():
    assert shown(TABLE.screen()) == [
        "name      score  pixels",
        "[red]      0.50  12,345",
        "b             -       -",
    ]


def test_columns_of_formatted_numbers_are_aligned_right_on_request():
    table = Table(("", "s"), [("a", "9.1"), ("b", "10.1")])
    assert shown(table.screen(left=(0,)))[1:] == ["a          9.1", "b         10.1"]


def test_a_table_without_header():
    assert shown(Table((), [("a", "b"), ("c", "d")]).screen()) == ["a         b", "c         d"]


def test_a_narrow_screen_wraps_and_loses_nothing():
    lines = shown(Table(("name",), [("a" * 60,)]).screen(), width=40)
    assert "".join(lines[1:]) == "a" * 60


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_no_number_is_cut_on_any_screen(width):
    header = ("class", "IoU", "precision", "recall", "pixels", "mean of all", "size")
    rows = [("bicycle rider", 0.5, 0.25, None, 123_456_789, 0.125, "32x48 to 4000x3000"),
            ("x" * 50, 1 / 3, 1.0, 0.0, 1, 0.5, "")]  # fmt: skip
    words = " ".join(shown(Table(header, rows).screen(), width)).split()
    assert not [word for word in words if "…" in word]
    for number in ("0.5000", "0.2500", "123,456,789", "0.1250", "0.3333", "1.0000", "0.0000"):
        assert number in words


def test_a_table_that_does_not_fit_is_a_list():
    assert shown(TABLE.screen(), width=20) == [
        "[red]", "  score 0.50", "  pixels 12,345", "b", "  score -", "  pixels -"
    ]  # fmt: skip
    bare = Table((), [("mIoU", 0.5, "mean over 5 of 7 classes"), ("images", "4", "")])
    assert shown(bare.screen(left=(0,)), width=20) == [
        "mIoU", "  0.5000", "  mean over 5 of 7", "classes", "images", "  4"
    ]  # fmt: skip


def test_codes_in_names_do_not_reach_the_screen():
    table = Table(("a\x1b[2J", "b"), [("x\n\u202ey\udce9", 1)])
    header, row = shown(table.screen())
    assert header.split() == ["a\\x1b[2J", "b"]
    assert row.split() == ["x\\n\\u202ey\\udce9", "1"]


def test_no_cell_of_a_csv_file_is_a_formula(tmp_path):
    names = ["=1+1", "+cmd", "-x", "@a", "\tb", "\rc", "-0.5", "+3", "a=b", ""]
    Table(("=name", "score"), [(name, -0.5) for name in names]).write_csv(tmp_path / "t.csv")
    with (tmp_path / "t.csv").open(newline="") as stream:
        header, *rows = csv.reader(stream)
    assert header == ["'=name", "score"]
    assert [row[0] for row in rows] == [
        "'=1+1", "'+cmd", "'-x", "'@a", "'\tb", r"\rc", "-0.5", "+3", "a=b", ""
    ]  # fmt: skip
    assert {row[1] for row in rows} == {"-0.5"}


def test_csv_has_all_digits_and_empty_cells(tmp_path):
    Table(("name", "score"), [("a,b", 1 / 3), ("c", None)]).write_csv(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == f'name,score\n"a,b",{1 / 3}\nc,\n'


def test_plural():
    assert [plural(num, "image") for num in (0, 1, 2)] == ["0 images", "1 image", "2 images"]


def test_latex_has_the_rules_of_booktabs_and_escapes() -> None:
    table = Table(("class_1 & more", "IoU"), [("50 %", 0.25), ("a{b}", None), ("~^\\", 1.0)])
    assert table.latex().splitlines() == [
        r"\begin{tabular}{lr}",
        r"\toprule",
        r"class\_1 \& more & IoU \\",
        r"\midrule",
        r"50 \% & 0.2500 \\",
        r"a\{b\} &  \\",
        r"\textasciitilde{}\textasciicircum{}\textbackslash{} & 1.0000 \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_html_is_escaped() -> None:
    table = Table(("a<b", "n"), [("<script>", 0.5), (None, 3)])
    assert table.html() == (
        "<table><tr><th>a&lt;b</th><th>n</th></tr>"
        "<tr><td>&lt;script&gt;</td><td>0.5000</td></tr><tr><td></td><td>3</td></tr></table>"
    )
