"""Our matching of edge pixels beside scipy's assignment: the same costs and counts, CPU seconds.

Both solve the Berkeley benchmark's assignment on thinned maps of the same photos at a few
thresholds. Ours is kept up to date from one threshold to the next, scipy's begins anew each time.

    python benchmarks/edge_matching.py [--photos 5] [--thresholds 50 40 30 20] [--edges gradient]
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from upscore.data.formats.bsds import find_bsds
from upscore.edges.benchmark.matching import Ints, Matching
from upscore.edges.benchmark.score import TOLERANCE, count_edges, thin_along_normal
from upscore.edges.benchmark.thinning import thin
from upscore.proposals.sources import make_edges

DATA = Path(os.environ.get("UPSCORE_DATA", Path(__file__).parents[2] / "shared" / "data"))


def by_scipy(matching: Matching, rows: Ints) -> tuple[int, int, float]:
    """Cost and number of pairs of the best assignment of ``rows``, and CPU seconds."""
    near = matching.rows.near
    lengths = np.diff(near.starts)[rows]
    pairs = np.concatenate([np.arange(near.starts[row], near.starts[row + 1]) for row in rows])
    num, columns = len(rows), len(matching.columns.partners)
    own = np.arange(num)  # a column for each row to be left over in
    costs = csr_array(
        (
            # one more each: scipy takes 0 for no pair
            np.r_[near.costs[pairs] + 1, np.full(num, matching.rows.left_over + 1)],
            (np.r_[np.repeat(own, lengths), own], np.r_[near.others[pairs], columns + own]),
        ),
        shape=(num, columns + num),
    )
    begin = time.process_time()
    taken_rows, taken = min_weight_full_bipartite_matching(costs)
    seconds = time.process_time() - begin
    cost = int(costs[taken_rows, taken].sum()) - num
    return cost, int(np.count_nonzero(taken < columns)), seconds


def by_us(matching: Matching, rows: Ints) -> tuple[int, int, float]:
    """The same of ours."""
    begin = time.process_time()
    matched = matching.update(rows)
    seconds = time.process_time() - begin
    near = matching.rows.near
    cost = int(matching.rows.left_over) * int(np.count_nonzero(~matched))
    for row in rows[matched]:
        part = slice(near.starts[row], near.starts[row + 1])
        cost += int(near.costs[part][near.others[part] == matching.partners[row]][0])
    return cost, int(np.count_nonzero(matched)), seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA / "bsds500")
    parser.add_argument("--split", default="val")
    parser.add_argument("--photos", type=int, default=5)
    parser.add_argument("--thresholds", type=int, nargs="+", default=[50, 40, 30, 20])
    parser.add_argument("--edges", default="gradient")
    options = parser.parse_args()
    images = find_bsds(options.data)[options.split]
    images = images[:: max(1, len(images) // options.photos)][: options.photos]
    detector = make_edges(options.edges)
    levels = sorted(options.thresholds, reverse=True)
    Matching(np.arange(4), np.ones((2, 2), np.bool_), 1.0).update(np.arange(4, dtype=np.int32))
    ours = theirs = whole = 0.0
    equal = compared = 0
    for image in images:
        strength = thin_along_normal(detector(image.read_image())[0])
        boundaries = image.read_boundaries()
        distance = TOLERANCE * float(np.hypot(*strength.shape))
        places = np.flatnonzero(strength >= np.float32(levels[-1] / 100))
        for truth in boundaries:
            matching = Matching(places, truth, distance)
            for level in levels:
                kept = np.flatnonzero(thin(strength >= np.float32(level / 100)))
                rows = np.searchsorted(places, kept).astype(np.int32)
                *found, seconds = by_us(matching, rows)
                ours += seconds
                *wanted, seconds = by_scipy(matching, rows)
                theirs += seconds
                equal += found == wanted
                compared += 1
        begin = time.process_time()
        count_edges(strength, boundaries, np.arange(1, 100) / 100)
        whole += time.process_time() - begin
    print(f"{len(images)} photos of {options.split}, {options.edges} edges, thresholds {levels}")
    print(f"same cost and same number of pairs: {equal} of {compared} matchings")
    print(f"seconds: ours {ours:.2f}, scipy {theirs:.2f} ({theirs / ours:.0f} times)")
    print(f"all 99 thresholds and all annotators: {whole / len(images):.2f} s a photo")


if __name__ == "__main__":
    main()
