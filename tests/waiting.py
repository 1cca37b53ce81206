"""Waiting for other threads and processes. The only place in the tests that looks at the clock."""

from __future__ import annotations

import time
from collections.abc import Callable

HANG_S = 300.0
"""Far more than anything here takes on any machine: a test that waits so long hangs."""


def wait_until(condition: Callable[[], object]) -> None:
    """Return when ``condition()`` is true; AssertionError when it hangs."""
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline, "it hangs"
        time.sleep(0.02)
