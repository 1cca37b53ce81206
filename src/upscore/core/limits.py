"""Limits and defaults that the command line shows; this module imports nothing heavy."""

MAX_PIXELS = 64_000_000
"""Photos with more pixels are refused."""

DEFAULT_TILE = 1024
"""Photos with a longer side are processed in overlapping tiles of this side."""
