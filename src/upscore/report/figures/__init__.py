"""Figures by matplotlib's object interface."""
