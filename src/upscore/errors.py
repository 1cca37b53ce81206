"""One root exception, and children that are also the built-in error a caller would expect.

The command line prints the message of any :class:`UpscoreError` without a traceback and exits with
``exit_code``: 2 when what was asked for cannot be done as asked, 1 when work started and failed.
A message names the file, setting or key, what was found, what is allowed, and what to do.
"""

from __future__ import annotations


class UpscoreError(Exception):
    """Root of every error that upscore raises on purpose."""

    exit_code = 2


class DataError(UpscoreError, ValueError):
    """An image, mask or data set is not what it must be."""


class SettingsError(UpscoreError, ValueError):
    """A recipe, option or argument is wrong."""


class OptionError(SettingsError):
    """The value of an option is wrong: ``alpha is 3.0; ...`` in Python, ``--alpha is 3.0; ...``
    (``typed``) on the command line."""

    def __init__(self, option: str, problem: str = "") -> None:
        """``option`` as an argument in Python is called; ``problem``: the rest of the sentence.

        Without ``problem`` it is a whole message, as of any error, such as one with a place before.
        """
        super().__init__(option, problem)  # as arguments, so that it pickles

    def __str__(self) -> str:
        return " ".join(filter(None, self.args))

    @property
    def typed(self) -> str:
        """The message where the option was typed."""
        option, problem = self.args
        return f"--{option.replace('_', '-')} {problem}" if problem else str(option)


class RunError(UpscoreError, ValueError):
    """A run folder or checkpoint is incomplete, too new, or does not fit."""


class NotFoundError(UpscoreError, FileNotFoundError):
    """A file or folder that was named does not exist."""


class MissingExtraError(UpscoreError, ImportError):
    """An optional dependency is needed; the message says what to install."""


class WorkError(UpscoreError, RuntimeError):
    """Work was started and failed, wholly or for some of its files."""

    exit_code = 1


class InterruptedWorkError(WorkError):
    """A person or the system stopped the work; it can be gone on with."""

    exit_code = 130  # what shells report for a program that Ctrl-C ended


class OutputError(UpscoreError, OSError):
    """A result could not be written (disk full, read-only folder)."""

    exit_code = 1
