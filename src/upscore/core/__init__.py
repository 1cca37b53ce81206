"""Shared parts: label sets, images on disk, files, run folders, the machine."""
