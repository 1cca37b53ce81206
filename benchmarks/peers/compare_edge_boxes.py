"""Our EdgeBoxes against OpenCV's port on the same edge maps: speed and agreement.

Photos are resized so that the longer side has 500 pixels and the shorter 375. Both get the same
thinned map of GradientEdges and the same parameters, in turns. OpenCV's port runs in one thread
whatever it is told.

    python -m benchmarks.peers.compare_edge_boxes --images FOLDER [--photos 50] [--threads 2]

``--cpu`` counts the processor time of one thread on each side instead of time on the clock: the
only fair number on a machine with other work. A folder is timed as ``make`` works: as many
processes as ``--threads``, each one photo at a time in one thread.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.peers.edge_boxes import edge_boxes_opencv
from upscore.core.boxes import iou_matrix
from upscore.core.image_files import IMAGE_SUFFIXES
from upscore.edges.detectors import GradientEdges
from upscore.edges.maps import Map, thin_edges
from upscore.proposals.edge_boxes.edge_boxes import EdgeBoxes

SIZE = (500, 375)  # longer side, shorter side
FIRST, AMONG, OVERLAP = 100, 150, 0.9


def thin_map(photo: Path) -> tuple[Map, Map]:
    image = Image.open(photo).convert("RGB")
    wide = image.width >= image.height
    resized = np.asarray(image.resize(SIZE if wide else SIZE[::-1]))
    strength, orientation = GradientEdges()(resized)
    return thin_edges(strength, orientation), orientation


def ours_in_one_thread(job: tuple[Map, Map, int]) -> int:
    strength, orientation, boxes = job
    source = EdgeBoxes(GradientEdges(), max_boxes=boxes, threads=1)
    return len(source.from_edges(strength, orientation))


def opencvs(job: tuple[Map, Map, int]) -> int:
    strength, orientation, boxes = job
    return len(edge_boxes_opencv(strength, orientation, max_boxes=boxes))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of photos")
    parser.add_argument("--photos", type=int, default=50)
    parser.add_argument("--boxes", type=int, default=1000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cpu", action="store_true", help="processor time of one thread")
    options = parser.parse_args()
    found = sorted(p for p in options.images.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    photos = found[:: max(len(found) // options.photos, 1)][: options.photos]
    maps = [thin_map(photo) for photo in photos]
    clock = time.thread_time if options.cpu else time.perf_counter
    threads = 1 if options.cpu else options.threads

    source = EdgeBoxes(GradientEdges(), max_boxes=options.boxes, threads=threads)
    source.from_edges(*maps[0])  # compiles
    ours_s: list[float] = []
    opencvs_s: list[float] = []
    agreement: list[float] = []
    for strength, orientation in maps:
        spent: tuple[list[float], list[float]] = ([], [])
        for _ in range(options.rounds):
            begin = clock()
            ours = source.from_edges(strength, orientation)
            middle = clock()
            theirs = edge_boxes_opencv(strength, orientation, max_boxes=options.boxes)
            spent[0].append(middle - begin)
            spent[1].append(clock() - middle)
        ours_s.append(min(spent[0]))
        opencvs_s.append(min(spent[1]))
        if len(theirs):
            overlap = iou_matrix(theirs.top(FIRST).boxes, ours.top(AMONG).boxes)
            agreement.append(float((overlap.max(axis=1, initial=0) >= OVERLAP).mean()))
    ratios = [b / a for a, b in zip(ours_s, opencvs_s, strict=True)]
    what = "processor time" if options.cpu else f"clock, ours in {threads} threads"
    print(f"{len(maps)} maps of {SIZE[0]}x{SIZE[1]}, {options.boxes} boxes, {what}")
    print("| | median, s | worst, s |\n| --- | ---: | ---: |")
    print(f"| upscore | {statistics.median(ours_s):.3f} | {max(ours_s):.3f} |")
    print(f"| OpenCV | {statistics.median(opencvs_s):.3f} | {max(opencvs_s):.3f} |")
    print(f"faster by {statistics.median(ratios):.1f} (median), {min(ratios):.1f} (least)")
    print(
        f"of OpenCV's first {FIRST}, {100 * statistics.mean(agreement):.1f} % are among our first "
        f"{AMONG} at IoU {OVERLAP} (worst photo {100 * min(agreement):.0f} %)"
    )
    if options.cpu:
        return
    jobs = [(strength, orientation, options.boxes) for strength, orientation in maps]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(threads, mp_context=context) as pool:
        list(pool.map(ours_in_one_thread, jobs[:threads]))  # starts and loads
        begin = time.perf_counter()
        list(pool.map(ours_in_one_thread, jobs))
        folder_ours = time.perf_counter() - begin
        begin = time.perf_counter()
        list(pool.map(opencvs, jobs))
        folder_opencvs = time.perf_counter() - begin
    begin = time.perf_counter()
    for job in jobs:
        opencvs(job)
    one_by_one = time.perf_counter() - begin
    print(
        f"folder, {threads} processes: {folder_ours / len(jobs):.3f} s a photo; OpenCV "
        f"{folder_opencvs / len(jobs):.3f} in as many processes, {one_by_one / len(jobs):.3f} in "
        f"one: faster by {folder_opencvs / folder_ours:.1f} and {one_by_one / folder_ours:.1f}"
    )


if __name__ == "__main__":
    main()
