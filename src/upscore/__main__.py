"""The command ``upscore``, also as ``python -m upscore``."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def program() -> None:
    """Run the command line. Ctrl-C never shows a traceback, not even while Python starts or ends."""
    signal.signal(signal.SIGINT, _quit)  # until main listens
    from upscore.cli import main

    try:
        main()
    except KeyboardInterrupt:  # just before or after what main guards
        _quit()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done


def _quit(*_: object) -> NoReturn:
    os.write(2, b"upscore: interrupted\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    program()
