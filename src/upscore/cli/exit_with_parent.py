"""``python -m upscore.cli.exit_with_parent VERB ...``: the command line, ended with its parent.

The parent process keeps the standard input open. When it closes, because the parent stops this
process or was killed, this process gets SIGTERM, and a training saves its state first.
"""

from __future__ import annotations

import os
import signal
import threading


def _end_with_input() -> None:
    while os.read(0, 1024):  # not sys.stdin, whose lock would still be held at exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    threading.Thread(target=_end_with_input, daemon=True).start()
    from upscore.cli.main import main as command_line

    command_line()


if __name__ == "__main__":
    main()
