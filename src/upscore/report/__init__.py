"""Figures of scores and learning curves, and one self-contained page about runs."""
