"""Data set layouts on disk, one file each."""
