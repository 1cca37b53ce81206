"""From an RGB photo of any size to class scores, label maps and files."""
