"""Mutated files of every format that upscore reads; see docs/architecture.md."""
