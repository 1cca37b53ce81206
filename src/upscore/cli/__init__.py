"""The command ``upscore``: one module a command, which parses, calls one workflow and prints.

Nothing here imports torch or numpy at module level, so that ``--help`` answers at once; every
command imports what it needs when it runs.
"""

from upscore.cli.main import main

__all__ = ["main"]
