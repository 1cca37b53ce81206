"""The command ``upscore``, also as ``python -m upscore``."""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def program() -> None:
    """Run the command line; Ctrl-C shows no traceback, not even while it is imported or ends."""
    signal.signal(signal.SIGINT, _quit)  # until main listens
    from upscore.cli import main

    try:
        main()
    except KeyboardInterrupt:  # just before or after what main guards
        _quit()
    except SystemExit as end:
        if isinstance(end.code, int) and end.code > 128:
            # Python, which may have seen Ctrl-C go through exec("..."), would end itself by SIGINT
            os._exit(end.code)
        raise
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done


def _quit(*_: object) -> NoReturn:
    os.write(2, b"upscore: interrupted\n")
    os._exit(128 + signal.SIGINT)


if __name__ == "__main__":
    program()
