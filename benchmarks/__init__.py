"""Measurements of upscore, each a script, and other programs to compare with (``peers``)."""
