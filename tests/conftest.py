"""What tests share: where the real photos are, and comparisons without other processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def signals_are_heard() -> None:
    """Tests send these; a job in the background, or of nohup, ignores them."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photos, or a skip that says where it was looked for."""
    folder = Path(os.environ.get("UPSCORE_DATA", REPOSITORY.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real photos at {folder} (set UPSCORE_DATA)")
    return folder


@pytest.fixture
def compare_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """``compare`` labels in this process: a new one spends seconds on importing torch."""

    def in_turn(
        work: Callable[[Any], Any], items: Iterable[Any], *, processes: int, **_options: Any
    ) -> Iterator[tuple[Any, Any]]:
        assert processes == 1
        for item in items:
            yield item, work(item)

    monkeypatch.setattr("upscore.workflows.compare.in_processes", in_turn)
