from __future__ import annotations

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


def test_csv_has_all_digits_and_empty_cells(tmp_path):
    Table(("name", "score"), [("a,b", 1 / 3), ("c", None)]).write_csv(tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == f'name,score\n"a,b",{1 / 3}\nc,\n'


def test_plural():
    assert [plural(num, "image") for num in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
