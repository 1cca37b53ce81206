"""Dense CRF on a 500x375 photo: seconds in all and in each phase, bytes moved, memory, throughput.

The goal (issue 3): 10 iterations of 21 classes with Gaussian 3/3 and bilateral 20/3/5 within 0.35 s
on one core and 0.20 s on two, set-up included; the C++ code of 2011, built from source, took
0.65 s + 0.10 s on one core of this kind of machine (bilateral 80/13: 0.52 s + 0.05 s). Both are
timed on one and two threads in turns, on a photo from UPSCORE_DATA or ``--image``, else on a
generated one.

    python benchmarks/crf.py [--rounds 11] [--image PHOTO] [--scaling FIGURE.png]
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscore.core.jit.threads import run_parallel
from upscore.core.labels import RGBImage
from upscore.core.parallel.processes import num_cores
from upscore.core.runtime import cpu_name, peak_memory_bytes
from upscore.crf import Bilateral, DenseCRF, Gaussian
from upscore.crf.lattice import filter as kernels
from upscore.crf.lattice.build import Stages
from upscore.crf.lattice.engine import Engine
from upscore.crf.terms import Kernel

SIZE = (500, 375)  # width, height
NUM_CLASSES = 21
ITERATIONS = 10
SAMPLE = "voc-sample/VOCdevkit/VOC2012/JPEGImages/2007_006449.jpg"
SETTINGS = {
    "Gaussian 3/3, bilateral 20/3/5": (Gaussian(3, 3), Bilateral(20, 3, 5)),
    "Gaussian 3/3, bilateral 80/13/10": (Gaussian(3, 3), Bilateral(80, 13, 10)),
}
PUBLISHED = {"Gaussian 3/3, bilateral 20/3/5": 0.75, "Gaussian 3/3, bilateral 80/13/10": 0.57}
"""Seconds of the C++ code on one core, set-up included (issue 3)."""

Probabilities = npt.NDArray[np.float32]


def photo(path: Path | None, size: tuple[int, int]) -> RGBImage:
    """A photo of ``size`` (width, height), larger ones mirrored together, or generated."""
    data = Path(os.environ.get("UPSCORE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    source = path or data / SAMPLE
    if source.exists():
        picture = Image.open(source).convert("RGB")
        if picture.size != SIZE:
            picture = picture.resize(SIZE, Image.Resampling.BICUBIC)
        image = np.asarray(picture)
    else:
        rng = np.random.default_rng(0)
        coarse = Image.fromarray(rng.integers(0, 256, (24, 32, 3), dtype=np.uint8))
        smooth = np.asarray(coarse.resize(SIZE, Image.Resampling.BICUBIC))
        noisy = smooth + rng.normal(0, 4, smooth.shape)
        image = noisy.clip(0, 255).astype(np.uint8)
    width, height = size
    twice = np.concatenate([image, image[::-1]])
    twice = np.concatenate([twice, twice[:, ::-1]], axis=1)
    times = (-(-height // twice.shape[0]), -(-width // twice.shape[1]), 1)
    return np.ascontiguousarray(np.tile(twice, times)[:height, :width])


def probabilities_for(size: tuple[int, int], num_classes: int) -> Probabilities:
    """A network's: smooth, one class winning in each region, others small."""
    width, height = size
    rng = np.random.default_rng(0)
    result = np.empty((num_classes, height, width), np.float32)
    for scores in result:
        coarse = rng.normal(0, 3, (12, 16)).astype(np.float32)
        scores[:] = np.asarray(Image.fromarray(coarse).resize(size, Image.Resampling.BILINEAR))
    result -= result.max(axis=0)
    np.exp(result, out=result)
    result /= result.sum(axis=0)
    return result


def timed(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def in_turns(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    for work in ways.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            seconds[name].append(timed(work))
    return seconds


def copy_rate(threads: int) -> float:
    """Bytes a second, read and written, of copying arrays that no cache holds."""
    sources = [np.ones(2**26, np.uint8) for _ in range(threads)]
    targets = [np.empty_like(source) for source in sources]
    best = 1e9
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(threads) as pool:
        for _ in range(8):
            begin = time.perf_counter()
            list(pool.map(np.copyto, targets, sources))
            best = min(best, time.perf_counter() - begin)
    return 2 * threads * 2**26 / best


def make_engine(
    terms: tuple[Gaussian, Bilateral], image: RGBImage, p: Probabilities, threads: int
) -> Engine:
    shape = image.shape[:2]
    pixels = image.astype(np.float32)
    return Engine(
        p,
        [Kernel(term.rows(shape, pixels), term.weight, "symmetric") for term in terms],
        1.0,
        likely=True,
        keeps_old=False,
        threads=threads,
    )


def phases(engine: Engine, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds and bytes of one iteration's splat, blur, slice and update.

    Bytes are those that instructions ask for, wherever they come from. Reading cells ahead of the
    blur counts as splat, since it happens with or without chains.
    """
    assert engine.filter is not None
    lattice = engine.filter.lattice

    def once(stages: Stages, segments: npt.NDArray[np.int64]) -> float:
        return timed(
            lambda: run_parallel(
                kernels.filter_once, engine.threads, stages, engine.filter.values,  # type: ignore[union-attr]
                engine.maps, engine.maps, lattice.cell_begin, lattice.entry_begin,
                lattice.splat_pixel, lattice.splat_vertex, lattice.splat_weight,
                lattice.chains, segments, lattice.slice_vertex, lattice.slice_weight,
            )
        )  # fmt: skip

    samples: dict[str, list[float]] = {"all": [], "splat, slice": [], "slice": [], "update": []}
    no_chains = np.zeros_like(lattice.segments)
    cells, flags = lattice.stages[:8], lattice.stages[8]
    idle = [np.zeros_like(part) if at % 2 else part for at, part in enumerate(cells)]
    nothing = cast(Stages, (*idle, flags))
    for _ in range(rounds):
        samples["all"].append(once(lattice.stages, lattice.segments))
        samples["update"].append(timed(engine.update_marginals))
        samples["splat, slice"].append(once(lattice.stages, no_chains))
        samples["slice"].append(once(nothing, lattice.segments))
        engine.update_marginals()
    middle = {name: statistics.median(values) for name, values in samples.items()}
    seconds = {
        "splat": middle["splat, slice"] - middle["slice"],
        "blur": middle["all"] - middle["splat, slice"],
        "slice": middle["slice"],
        "update": middle["update"],
    }
    entries, vertices = lattice.slice_vertex.size, lattice.num_vertices
    row, blocks = 32, engine.blocks
    chained = int((lattice.segments[..., 4] - lattice.segments[..., 0]).sum())
    moved = {
        "splat": blocks * (entries * (3 * row + 12) + vertices * row),
        "blur": blocks * chained * (2 * row + 4),
        "slice": blocks * (entries * (row + 8) + engine.num * row),
        "update": blocks * engine.num * 3 * row,
    }
    return seconds, {name: float(count) for name, count in moved.items()}


def peak(size: tuple[int, int], num_classes: int) -> float:
    """Bytes that a fresh process needs for a CRF beyond its input and the library."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(_peak, (size, num_classes))


def _peak(size: tuple[int, int], num_classes: int) -> float:
    crf = DenseCRF(*SETTINGS["Gaussian 3/3, bilateral 20/3/5"], iterations=1)
    crf(photo(None, (64, 64)), probabilities=probabilities_for((64, 64), num_classes))
    image, p = photo(None, size), probabilities_for(size, num_classes)
    before = peak_memory_bytes()
    crf(image, probabilities=p)
    return float(peak_memory_bytes() - before)


def _work(crf: DenseCRF, image: RGBImage, p: Probabilities, photos: int) -> None:
    for _ in range(photos):
        crf(image, probabilities=p)


def folder(image: RGBImage, p: Probabilities, photos: int, rounds: int) -> dict[str, float]:
    """Photos a second: all threads on one photo, or a process for each core."""
    terms = SETTINGS["Gaussian 3/3, bilateral 20/3/5"]
    cores = num_cores()
    together, alone = DenseCRF(*terms, threads=cores), DenseCRF(*terms, threads=1)
    context = multiprocessing.get_context("spawn")
    one: list[float] = []
    many: list[float] = []
    with context.Pool(cores) as pool:
        share = [(alone, image, p, photos // cores)] * cores
        pool.starmap(_work, share, chunksize=1)
        for _ in range(rounds):
            one.append(photos / timed(lambda: _work(together, image, p, photos)))
            many.append(photos / timed(lambda: pool.starmap(_work, share, chunksize=1)))
    return {
        f"one process, {cores} threads": statistics.median(one),
        f"{cores} processes of one thread": statistics.median(many),
    }


def scaling(path: Path, source: Path | None) -> None:
    """Seconds over pixels and over classes, as two tables and a figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    crf = DenseCRF(*SETTINGS["Gaussian 3/3, bilateral 20/3/5"])

    def seconds(size: tuple[int, int], num_classes: int) -> float:
        image, p = photo(source, size), probabilities_for(size, num_classes)
        crf(image[:64, :64], probabilities=np.ascontiguousarray(p[:, :64, :64]))
        times = 1 if image.size > 3e7 else 3
        return min(timed(lambda: crf(image, probabilities=p)) for _ in range(times))

    sizes = [(250, 188), (500, 375), (1000, 750), (2000, 1500), (4000, 3000)]
    by_size = {size: seconds(size, NUM_CLASSES) for size in sizes}
    print("\n| pixels (21 classes) | seconds | seconds a megapixel |\n| --- | ---: | ---: |")
    for (width, height), spent in by_size.items():
        print(f"| {width}x{height} | {spent:.3f} | {spent / (width * height) * 1e6:.3f} |")
    counts = [1, 2, 4, 8, 16, 24, 40, 80, 152]
    by_count = {count: seconds(SIZE, count) for count in counts}
    print("\n| classes (500x375) | seconds |\n| --- | ---: |")
    for count, spent in by_count.items():
        print(f"| {count} | {spent:.3f} |")
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    megapixels = [width * height / 1e6 for width, height in sizes]
    left.loglog(megapixels, list(by_size.values()), "o-")
    first = by_size[SIZE] / megapixels[1]
    left.loglog(megapixels, [first * m for m in megapixels], ":", color="grey", label="linear")
    left.set(xlabel="megapixels", ylabel="seconds", title=f"{NUM_CLASSES} classes, 10 iterations")
    left.legend()
    right.plot(counts, list(by_count.values()), "o-")
    right.set(xlabel="classes", ylabel="seconds", title="500x375, 10 iterations", ylim=(0, None))
    figure.savefig(path, dpi=110)
    print(f"\nfigure: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--image", type=Path, help="a photo; default: a VOC sample, or generated")
    parser.add_argument("--scaling", type=Path, help="also time sizes and classes; write a figure")
    parser.add_argument("--quick", action="store_true", help="neither memory nor folder")
    arguments = parser.parse_args()
    image, p = photo(arguments.image, SIZE), probabilities_for(SIZE, NUM_CLASSES)
    print(f"\n{cpu_name()}, numpy {np.__version__}, Python {sys.version.split()[0]}\n")
    print("| 500x375, 21 classes, 10 iterations, all in | threads | seconds (median) | spread "
          "| times the C++ code on one core |")  # fmt: skip
    print("| --- | ---: | ---: | ---: | ---: |")
    energies = -np.log(p)
    ways: dict[str, Callable[[], object]] = {}
    for name, terms in SETTINGS.items():
        for threads in (1, 2):
            crf = DenseCRF(*terms, threads=threads)
            ways[f"{name} | {threads}"] = partial(crf, image, energies=energies)
    for name, values in in_turns(ways, arguments.rounds).items():
        median = statistics.median(values)
        published = PUBLISHED[name.split(" | ")[0]]
        print(f"| {name} | {median:.3f} | {min(values):.3f} to {max(values):.3f} "
              f"| {published / median:.1f} |")  # fmt: skip

    rates = {threads: copy_rate(threads) for threads in (1, 2)}
    for name, terms in SETTINGS.items():
        print(f"\n| {name} | 1 thread, s | 2 threads, s | MB an iteration | GB/s, 1 | GB/s, 2 |")
        print("| --- | ---: | ---: | ---: | ---: | ---: |")
        engines = {threads: make_engine(terms, image, p, threads) for threads in (1, 2)}
        setup: dict[int, dict[str, float]] = {}
        for threads in (1, 2):
            runs = [make_engine(terms, image, p, threads).phases.seconds for _ in range(5)]
            setup[threads] = {k: statistics.median(run[k] for run in runs) for k in runs[0]}
        for phase in ("convert", "build", "normalise"):
            print(f"| {phase} | {setup[1][phase]:.4f} | {setup[2][phase]:.4f} | | | |")
        one, moved = phases(engines[1], arguments.rounds)
        two, _ = phases(engines[2], arguments.rounds)
        for phase in one:
            print(f"| {phase}, {ITERATIONS} iterations | {one[phase] * ITERATIONS:.4f} "
                  f"| {two[phase] * ITERATIONS:.4f} | {moved[phase] / 1e6:.0f} "
                  f"| {moved[phase] / one[phase] / 1e9:.1f} "
                  f"| {moved[phase] / two[phase] / 1e9:.1f} |")  # fmt: skip
        filtering = engines[1].filter
        assert filtering is not None
        print(f"\n{filtering.lattice.num_vertices} vertices for {engines[1].num} pixels; copying: "
              f"{rates[1] / 1e9:.1f} GB/s on one thread, {rates[2] / 1e9:.1f} on two")  # fmt: skip
    if not arguments.quick:
        print("\n| memory beyond the input | bytes a pixel |\n| --- | ---: |")
        size = (2000, 1500)
        needs = {count: peak(size, count) / (size[0] * size[1]) for count in (8, 24, 40)}
        for count, need in needs.items():
            print(f"| {count} classes | {need:.0f} |")
        print(f"\n{(needs[40] - needs[8]) / 32:.1f} MB a megapixel and class, and "
              f"{needs[8] - (needs[40] - needs[8]) / 4:.0f} MB a megapixel")  # fmt: skip
        print("\n| a folder of photos | photos/s |\n| --- | ---: |")
        for name, rate in folder(image, p, 12, 3).items():
            print(f"| {name} | {rate:.2f} |")
    if arguments.scaling:
        scaling(arguments.scaling, arguments.image)


if __name__ == "__main__":
    main()
