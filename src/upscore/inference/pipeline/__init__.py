"""Pipelines: networks, ensembles and CRFs that a YAML file joins into one segmenter."""
