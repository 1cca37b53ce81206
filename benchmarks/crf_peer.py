"""Our dense CRF against pydensecrf (the C++ code of 2011) on the same photos, in turns.

pydensecrf's release does not build by itself any more. In a virtual environment of its own:

    pip download --no-deps --no-binary :all: --no-build-isolation pydensecrf && tar xf pydensecrf-*
    pip install "cython<3" "setuptools<70" wheel numpy && cd pydensecrf-1.0rc3
    rm pydensecrf/densecrf.cpp pydensecrf/eigen.cpp && pip install --no-build-isolation .

    python benchmarks/crf_peer.py --peer PATH/TO/THAT/bin/python --images FOLDER [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from upscore.core.image_files import IMAGE_SUFFIXES
from upscore.crf import Bilateral, DenseCRF, Gaussian

SIZE = (500, 375)  # width, height
CLASSES = 21
KINDS = {"20/3/5": (20.0, 3.0, 5.0), "80/13/10": (80.0, 13.0, 10.0)}

PEER = """
import sys, time
import numpy as np
import pydensecrf.densecrf as densecrf
case = np.load(sys.argv[1])
image, energies = np.ascontiguousarray(case["image"]), np.ascontiguousarray(case["energies"])
sxy, srgb, weight = (float(x) for x in case["bilateral"])
seconds = []
for _ in range(int(case["rounds"])):
    begin = time.perf_counter()
    crf = densecrf.DenseCRF2D(image.shape[1], image.shape[0], len(energies))
    crf.setUnaryEnergy(energies.reshape(len(energies), -1))
    crf.addPairwiseGaussian(sxy=3, compat=3)
    crf.addPairwiseBilateral(sxy=sxy, srgb=srgb, rgbim=image, compat=weight)
    marginals = np.array(crf.inference(10)).reshape(energies.shape)
    seconds.append(time.perf_counter() - begin)
np.savez(sys.argv[2], marginals=marginals, seconds=seconds)
"""


def energies_like_a_networks(seed: int) -> np.ndarray:
    """(21, 375, 500) float32: random scores at an eighth of the size, enlarged, softmax, -log."""
    coarse = np.random.default_rng(seed).normal(0, 2, (CLASSES, 47, 63)).astype(np.float32)
    scores = np.stack(
        [np.asarray(Image.fromarray(c).resize(SIZE, Image.Resampling.BILINEAR)) for c in coarse]
    )
    scores -= scores.max(axis=0)
    energies: np.ndarray = np.log(np.exp(scores).sum(axis=0)) - scores
    return energies


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peer", required=True, help="a Python that has pydensecrf")
    parser.add_argument("--images", type=Path, required=True, help="folder of photos")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    photos = sorted(p for p in options.images.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    print("| photo | bilateral | pydensecrf, s | 1 thread, s | faster by | 2 threads, s "
          "| faster by | equal labels | largest difference |")  # fmt: skip
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        case, result = Path(folder) / "case.npz", Path(folder) / "result.npz"
        for number, photo in enumerate(photos):
            image = np.asarray(Image.open(photo).convert("RGB").resize(SIZE))
            energies = energies_like_a_networks(number)
            for kind, (sxy, srgb, weight) in KINDS.items():
                np.savez(case, image=image, energies=energies, rounds=options.rounds,
                         bilateral=(sxy, srgb, weight))  # fmt: skip
                subprocess.run(
                    [options.peer, "-c", PEER, str(case), str(result)],
                    check=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
                )  # fmt: skip
                theirs = np.load(result)
                peer = statistics.median(theirs["seconds"])
                ours = []
                for threads in (1, 2):
                    crf = DenseCRF(
                        gaussian=Gaussian(3, 3),
                        bilateral=Bilateral(sxy, srgb, weight),
                        threads=threads,
                    )
                    seconds = []
                    for _ in range(options.rounds + 1):
                        begin = time.perf_counter()
                        marginals = crf(image, energies=energies)
                        seconds.append(time.perf_counter() - begin)
                    ours.append(statistics.median(seconds[1:]))  # the first loads the kernels
                same = (marginals.argmax(axis=0) == theirs["marginals"].argmax(axis=0)).mean()
                apart = np.abs(marginals - theirs["marginals"]).max()
                print(
                    f"| {photo.stem} | {kind} | {peer:.3f} | {ours[0]:.3f} | {peer / ours[0]:.1f} "
                    f"| {ours[1]:.3f} | {peer / ours[1]:.1f} | {same:.4%} | {apart:.1e} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
