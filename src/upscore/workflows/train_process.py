"""``python -m upscore.workflows.train_process train ...``: one training of a sweep.

Arguments are those of ``upscore train``. Each line of standard output is a JSON object:
``progress`` in [0, 1] with its ``text``, a ``notice``, or the ``error`` that ended the training.
The parent process keeps standard input open. When it closes, because the parent stops this process
or was killed, the training saves its state and ends.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import signal
import sys
import threading
import traceback
from typing import Any


class Events(logging.Handler):
    """Writes events to standard output; log records are notices.

    All other output goes to standard error from now on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)

    def send(self, **event: Any) -> None:
        """Write one event, unless the parent is gone."""
        with contextlib.suppress(OSError):
            print(json.dumps(event), file=self._stream, flush=True)

    def emit(self, record: logging.LogRecord) -> None:
        self.send(notice=record.getMessage())


def end_with_input() -> None:
    """Wait until standard input closes, then send SIGTERM to this process."""
    while os.read(0, 1024):  # not sys.stdin, whose lock would still be held at exit
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def parse_arguments() -> argparse.Namespace:
    """The part of ``upscore train`` that a sweep uses."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("verb", choices=["train"])
    parser.add_argument("recipe")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--set", nargs="*", default=[])
    return parser.parse_args()


def main() -> int:
    """Train; returns the exit status."""
    threading.Thread(target=end_with_input, daemon=True).start()
    arguments = parse_arguments()
    events = Events()
    from upscore.core.memory import limit_onednn_cache, tune_malloc

    limit_onednn_cache()  # before torch is imported
    tune_malloc()
    from upscore.core.failures import error_message
    from upscore.core.progress import Milestones, Progress
    from upscore.core.stop_signals import exit_status
    from upscore.errors import UpscoreError
    from upscore.workflows.train import train

    logger = logging.getLogger("upscore")
    logger.setLevel(logging.INFO)
    logger.addHandler(events)
    milestones = Milestones()

    def on_progress(event: Progress) -> None:
        for notice in event.notices:
            events.send(notice=notice.text)
        if milestones.reached(event):
            events.send(progress=event.done, text=event.text)

    try:
        result = train(
            arguments.recipe,
            data=arguments.data,
            out=arguments.out,
            assignments=arguments.set,
            resume=arguments.resume,
            on_progress=on_progress,
        )
    except Exception as error:
        if not isinstance(error, UpscoreError):
            traceback.print_exc()
        hint = "use a smaller batch.size or augment.crop"
        text = error_message(error, doing="train", memory_hint=hint)
        events.send(error=text if isinstance(error, UpscoreError) else f"{arguments.out}: {text}")
        return error.exit_code if isinstance(error, UpscoreError) else 1
    if result.interrupted:
        events.send(error=f"stopped at iteration {result.iterations}; everything is saved")
        return exit_status()
    return 0


if __name__ == "__main__":
    sys.exit(main())
