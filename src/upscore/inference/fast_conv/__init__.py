"""Faster convolutions for inference on CPUs."""
