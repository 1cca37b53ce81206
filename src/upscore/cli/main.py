"""Entry point: runs a command; prints errors as one or two lines and sets the exit status."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from upscore.cli.console import (
    Style,
    know_names,
    print_result,
    set_style,
    show_messages,
    shown,
    style,
)
from upscore.cli.parsing import UsageError, parse
from upscore.cli.streams import lasting_streams
from upscore.core.failures import first_line
from upscore.core.memory import ignore_pillow_warnings, limit_onednn_cache, tune_malloc
from upscore.core.stop_signals import end_program, exit_status, listening, was_stopped
from upscore.core.system_errors import is_memory_error, shortage
from upscore.core.temporary import remove_unfinished
from upscore.errors import NotFoundError, OptionError, UpscoreError


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits 0, 1 (work failed in part), 2 (wrong usage) or 128 + signal."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with lasting_streams() as lost:
        status = _run(given)
    if status or lost:
        sys.exit(status or 1)


def _run(given: list[str]) -> int:
    """Run a command; returns the exit status."""
    words, style, debug = _global_options(given)
    set_style(style)
    limit_onednn_cache()  # before torch is imported
    tune_malloc()
    ignore_pillow_warnings()
    show_messages("upscore")
    know_names(words)
    status, message = _guarded(lambda: parse(words)(), debug=debug)
    print_result(status, message)
    return status


def _global_options(words: Sequence[str]) -> tuple[list[str], Style, bool]:
    """The words without the options that all commands have, these options, and ``--debug``."""
    end = words.index("--") if "--" in words else len(words)
    style, debug, rest = Style(), False, list[str]()
    for number, word in enumerate(words[:end]):
        if word == "--debug":
            debug = True
        elif word in ("--json", "--quiet", "--verbose"):
            setattr(style, word[2:], True)
        elif word in ("-q", "-v"):
            setattr(style, {"-q": "quiet", "-v": "verbose"}[word], True)
        elif word == "--log=json" or (word == "json" and number and words[number - 1] == "--log"):
            style.log_json = True
        elif word != "--log":
            rest.append(word)
    return [*rest, *words[end:]], style, debug


def _guarded(work: Callable[[], Any], *, debug: bool) -> tuple[int, str | None]:
    """Do the work; returns the exit status, and the message of an error."""
    with listening(end_program):  # to the end: a signal may come while another one is dealt with
        try:
            _require_folder()
            work()
        except UpscoreError as error:
            # a signal to all processes of a job may end another one first, whose error this is
            status = exit_status() if was_stopped() else error.exit_code
            text = error.typed if isinstance(error, OptionError) else str(error)
            return _complain(error, text, status, debug)
        except KeyboardInterrupt as error:
            remove_unfinished()
            return _complain(error, str(error) or "interrupted", exit_status(), debug)
        except Exception as error:
            if was_stopped():  # modules in C turn Ctrl-C into errors of their own
                text = f"interrupted ({type(error).__name__}: {first_line(error)})"
                return _complain(error, text, exit_status(), debug)
            return _complain(error, _explain(error), 1, debug)
        return 0, None


def _require_folder() -> None:
    """Refuse to work in a folder that was removed meanwhile, where no path means anything."""
    try:
        Path.cwd()
    except OSError as error:
        text = f"the current folder does not exist ({error.strerror}); change to another one"
        raise NotFoundError(text) from error


def _explain(error: Exception) -> str:
    """The message for an unexpected error, of the system or of upscore."""
    if reason := shortage(error):
        return reason
    if is_memory_error(error):
        return "out of memory; use a smaller --tile, batch.size or augment.crop"
    if isinstance(error, OSError) and error.errno and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return (
        f"unexpected {type(error).__name__}: {first_line(error)}\n"
        "This is a bug in upscore; run again with --debug and report the output"
    )


def _complain(error: BaseException, message: str, status: int, debug: bool) -> tuple[int, str]:
    if debug:
        traceback.print_exception(error)
    verb = f" {error.verb}" if isinstance(error, UsageError) and error.verb else ""
    if style.log_json:
        print(json.dumps({"level": "error", "message": shown(message)}), file=sys.stderr)
        return status, message
    for number, line in enumerate(shown(message).splitlines()):
        print(f"upscore{verb}: {line}" if number == 0 else f"         {line}", file=sys.stderr)
    return status, message
