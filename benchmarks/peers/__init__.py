"""OpenCV's proposals and edges, to compare upscore's with: ``pip install 'upscore[opencv]'``.

They are no part of the package. ``write_boxes`` and ``write_edges`` write files that upscore reads.
Run them from the root of the repository, as in ``python -m benchmarks.peers.write_boxes --help``.
"""
