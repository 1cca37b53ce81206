"""``python -m upscore``: the same as the command ``upscore``."""

from upscore.cli import main

main()
