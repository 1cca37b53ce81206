"""Standard output and error that may fill up or be closed without harm to the job."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class Stream:
    """A text stream; from the first error on, what is written to it is dropped.

    So results are finished whoever reads the messages. ``error`` is that first error.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write; returns the number of characters."""
        if self.error is None:
            try:
                return self._stream.write(text)
            except OSError as error:
                self._drop(error)
        return len(text)

    def flush(self) -> None:
        """Pass on what is buffered."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._drop(error)

    def _drop(self, error: OSError) -> None:
        self.error = error
        with contextlib.suppress(OSError):  # Python would complain at exit of what it still holds
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def lasting_streams() -> Iterator[list[OSError]]:
    """Let standard output and error be such streams; errors are in the list after the block.

    A full disk is reported on standard error. A reader that has ended (head, less) is not.
    """
    before = sys.stdout, sys.stderr
    streams: dict[str, Stream] = {}
    for name, stream in (("stdout", sys.stdout), ("stderr", sys.stderr)):
        if stream is None:  # closed from the beginning: Python drops what is printed
            continue
        if hasattr(stream, "reconfigure"):  # to write what its encoding lacks as \x1b or the like
            stream.reconfigure(errors="backslashreplace")
        streams[name] = Stream(stream)
        setattr(sys, name, streams[name])
    errors: list[OSError] = []
    try:
        yield errors
    finally:
        for stream in streams.values():
            stream.flush()
        out = streams["stdout"].error if "stdout" in streams else None
        if out is not None and out.errno != errno.EPIPE:
            full = out.errno == errno.ENOSPC
            reason = "the disk is full" if full else out.strerror or str(out)
            print(
                f"upscore: cannot write to the standard output: {reason}; files of results are "
                "not affected",
                file=sys.stderr,
                flush=True,
            )
        errors += [stream.error for stream in streams.values() if stream.error is not None]
        sys.stdout, sys.stderr = before
