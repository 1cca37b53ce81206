"""Some damaged files of every format: read, or refused by one error that names the file.

``make fuzz MINUTES=5`` reads many more.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fuzz.formats import FORMATS, Format
from fuzz.judge import judge, mutated, what_is_wrong
from fuzz.mutate import damage
from upscore.errors import DataError

EACH = 4


@pytest.mark.slow
def test_no_damage_shows_a_traceback_or_ends_the_process() -> None:
    inputs = [(name, seed) for name in FORMATS for seed in range(EACH)]
    found = [*judge(inputs, longest=120)]
    assert len(found) == len(inputs)
    assert [fault for fault in found if fault is not None] == []


def test_inputs_follow_from_their_seeds() -> None:
    good = b"image: photos/*.png\nmask: masks/*.png\n" * 5
    assert mutated("dataset", 3, good) == mutated("dataset", 3, good)
    assert len({mutated("dataset", seed, good) for seed in range(50)}) > 40
    assert damage(b"", random.Random(0), is_text=True)


def _raises(error: BaseException) -> Format:
    def read(path: Path) -> None:
        del path
        raise error

    return Format(make=Path, read=read)


@pytest.mark.parametrize(
    ("error", "what"),
    [
        (DataError("a.txt: damaged"), None),
        (DataError("damaged"), "the message does not name the file"),
        (DataError("a.txt: " + "x" * 9000), "a message of 9007 characters"),
        (KeyError("x"), "KeyError: 'x'"),
        (SystemExit(3), "SystemExit: 3"),
    ],
)
def test_what_counts_as_a_fault(
    error: BaseException, what: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMATS, "made", _raises(error))
    found = what_is_wrong("made", Path("a.txt"))
    assert found is None if what is None else what in str(found)
