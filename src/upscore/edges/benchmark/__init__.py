"""The Berkeley edge benchmark (BSDS500): matching, scores and files."""
