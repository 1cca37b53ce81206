"""The process of its own in which OpenCV's selective search works.

Reads pickled requests from its input until that ends, and writes a pickled answer to each.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
from typing import Any

from upscore.errors import MissingExtraError
from upscore.proposals.opencv import selective_search_opencv


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that asks
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # should a library print something, it is no answer
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(_answer(request), answers)
        answers.flush()


def _answer(request: dict[str, Any]) -> tuple[str, Any]:
    try:
        return "boxes", selective_search_opencv(**request)
    except MissingExtraError as error:
        return "missing", str(error)
    except Exception as error:
        return "error", " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    main()
