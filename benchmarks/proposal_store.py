"""The store of boxes at the size of VOC with SBD: bytes a photo, opening, reading photos at random.

    python benchmarks/proposal_store.py [--photos 12000] [--boxes 2000]

Boxes are random whole pixels, which compress worse than real ones. Reading is compared with that
of one uncompressed file of numpy's a photo.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from upscore.proposals.base import Proposals
from upscore.proposals.store import ProposalStore, StoredPhoto, write_store

DIFFERENT = 200
"""Photos of boxes that are drawn; they are repeated."""
READS = 3000

Item = TypeVar("Item")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photos", type=int, default=12_000)
    parser.add_argument("--boxes", type=int, default=2_000)
    given = parser.parse_args()
    drawn = [_drawn(seed, given.boxes) for seed in range(DIFFERENT)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "boxes.parquet"
        begin = time.perf_counter()
        with write_store(path, settings={"kind": "Random"}, data={}) as writer:
            for number in range(given.photos):
                photo = StoredPhoto(f"{number:06d}", f"{number:064x}", (375, 500), given.boxes)
                writer.add(photo, drawn[number % DIFFERENT])
        seconds = time.perf_counter() - begin
        size = path.stat().st_size
        raw = given.photos * given.boxes * 5 * 4
        print(f"{given.photos} photos of {given.boxes} boxes: {size / 1e6:.0f} MB on disk,")
        print(f"  {size / given.photos / 1e3:.1f} kB a photo, {size / raw:.0%} of the numbers")
        print(f"written in {seconds:.1f} s, {seconds / given.photos * 1e3:.2f} ms a photo")

        before = _own_memory()
        begin = time.perf_counter()
        store = ProposalStore.open(path)
        print(f"opened in {time.perf_counter() - begin:.2f} s")
        order = np.random.default_rng(0).permutation(given.photos)[:READS]
        names = [store.names[place] for place in order]
        ours = _median(lambda name: store.read(name), names)
        print(f"read at random: {ours * 1e3:.3f} ms a photo (median of {len(names)})")
        more = _own_memory() - before
        print(f"memory of the process' own: {more / 1e6:.0f} MB more (the boxes: {raw / 1e6:.0f})")

        files = [Path(folder) / f"{number}.npz" for number in range(DIFFERENT)]
        for file, proposals in zip(files, drawn, strict=True):
            np.savez(file, boxes=proposals.boxes, scores=proposals.scores)
        peers = _median(_load, files * (READS // DIFFERENT))
        print(
            f"one .npz a photo: {peers * 1e3:.3f} ms a photo; ours takes {ours / peers:.2f} of it"
        )


def _drawn(seed: int, count: int) -> Proposals:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, [400, 300], (count, 2))
    boxes = np.concatenate([corner, corner + rng.integers(10, 100, (count, 2))], axis=1)
    return Proposals.sorted(boxes, rng.random(count))


def _load(file: Path) -> Proposals:
    with np.load(file) as content:
        return Proposals(content["boxes"], content["scores"])


def _median(read: Callable[[Item], Proposals], items: list[Item]) -> float:
    seconds = []
    for item in items:
        begin = time.perf_counter()
        read(item)
        seconds.append(time.perf_counter() - begin)
    return statistics.median(seconds)


def _own_memory() -> int:
    """Bytes that are not of mapped files, which the system takes back when it needs them."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise SystemExit("no RssAnon in /proc/self/status")


if __name__ == "__main__":
    main()
