"""Whole experiments of the two sources: trainings, measurements, tables, figures, one page."""
