"""``python -m upscore.cli.exit_with_parent VERB ...``: the command line, as long as somebody wants it.

For a process that another one starts and holds by its standard input: when that closes, because the
other one stops it or was killed itself, this one is asked to end as by ``kill``, and a training
saves its state first.
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
