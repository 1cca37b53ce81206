"""Entry point: runs a command; prints errors as one or two lines and sets the exit status."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tyro
from tyro.extras import SubcommandApp

from upscore.cli.console import know_names, show_messages, shown
from upscore.cli.streams import lasting_streams
from upscore.cli.verbs import GROUPS, VERBS
from upscore.core.failures import first_line
from upscore.core.memory import ignore_pillow_warnings, limit_onednn_cache, tune_malloc
from upscore.core.stop_signals import end_program, exit_status, listening, was_stopped
from upscore.core.system_errors import is_memory_error, shortage
from upscore.core.temporary import remove_unfinished
from upscore.errors import NotFoundError, UpscoreError

DESCRIPTION = (
    "Semantic segmentation with FCN and its decoders: train, score, label, report. "
    "Add --debug to any command to see the traceback of an error."
)


def build_app() -> SubcommandApp:
    """The tree of all commands."""
    app, groups = SubcommandApp(), {}
    for verb in VERBS:
        if verb.group and verb.group not in groups:
            groups[verb.group] = SubcommandApp()
            app.command(groups[verb.group], name=verb.group, help=GROUPS[verb.group])
        parent = groups[verb.group] if verb.group else app
        parent.command(name=verb.name.rpartition(" ")[2])(verb.load())
    return app


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits 0, 1 (work failed in part), 2 (wrong usage) or 128 + signal."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    status = 0
    try:
        with lasting_streams() as lost:
            status = _run(given, debug=debug)
    except SystemExit as end:  # tyro's, after help and after wrong usage
        if end.code or not lost:
            raise
    if status or lost:
        sys.exit(status or 1)


def _run(given: list[str], *, debug: bool) -> int:
    """Run a command; returns the exit status."""
    if given == ["--version"]:
        from upscore import __version__

        print(f"upscore {__version__}")
        return 0
    limit_onednn_cache()  # before torch is imported
    tune_malloc()
    ignore_pillow_warnings()
    show_messages("upscore")
    know_names(given)
    return _guarded(
        lambda: build_app().cli(
            prog="upscore",
            description=DESCRIPTION,
            args=given,
            config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
        ),
        debug=debug,
    )


def _guarded(work: Callable[[], Any], *, debug: bool) -> int:
    with listening(end_program):  # to the end: a signal may come while another one is dealt with
        try:
            _require_folder()
            work()
        except UpscoreError as error:
            # a signal to all processes of a job may end another one first, whose error this is
            status = exit_status() if was_stopped() else error.exit_code
            return _complain(error, str(error), status, debug)
        except KeyboardInterrupt as error:
            remove_unfinished()
            return _complain(error, "interrupted", exit_status(), debug)
        except Exception as error:
            if was_stopped():  # modules in C turn Ctrl-C into errors of their own
                text = f"interrupted ({type(error).__name__}: {first_line(error)})"
                return _complain(error, text, exit_status(), debug)
            return _complain(error, _explain(error), 1, debug)
        return 0


def _require_folder() -> None:
    """Refuse to work in a folder that was removed meanwhile, where no path means anything."""
    try:
        Path.cwd()
    except OSError as error:
        text = f"the current folder is not there ({error.strerror}); change to another one"
        raise NotFoundError(text) from error


def _explain(error: Exception) -> str:
    """The message for an error that nobody raised on purpose: the system's, or a fault of ours."""
    if reason := shortage(error):
        return reason
    if is_memory_error(error):
        return "out of memory; use a smaller --tile, batch.size or augment.crop"
    if isinstance(error, OSError) and error.errno and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return (
        f"unexpected {type(error).__name__}: {first_line(error)}\n"
        "This is a fault of upscore; run again with --debug and report what it prints"
    )


def _complain(error: BaseException, message: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    for number, line in enumerate(shown(message).splitlines()):
        print(f"upscore: {line}" if number == 0 else f"         {line}", file=sys.stderr)
    return status
