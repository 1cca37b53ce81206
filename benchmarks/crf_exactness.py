"""How far the dense CRF's lattice is from exact sums over all pairs of pixels, by normalisation.

Two kinds of input: noise (10x12 pixels of random colours, the softmax of standard normal scores of
4 classes), and photos (of UPSCORE_DATA or --photos, shrunk to 60x80, smooth random scores of 21
classes). For each, the marginals' difference, mean and largest, and the share of pixels whose
likeliest class is another: on average and in the worst image. Every pixel counts, no truth is
needed, and nothing depends on the machine.

    python benchmarks/crf_exactness.py [--images 20] [--iterations 10] [--photos FOLDER]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from upscore.core.image_files import IMAGE_SUFFIXES
from upscore.core.labels import RGBImage
from upscore.crf import Bilateral, DenseCRF, Gaussian
from upscore.crf.terms import Normalization

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from crf.brute_force import brute_force  # type: ignore[import-not-found]

Case = tuple[RGBImage, npt.NDArray[np.float32]]
TERMS = {
    "3/3, 20/3/5": (Gaussian(3, 3), Bilateral(20, 3, 5)),
    "3/3, 50/5/10": (Gaussian(3, 3), Bilateral(50, 5, 10)),
}
"""Those of ``deconvnet`` and ``released``, and of ``deeplab``."""

NORMALIZATIONS: tuple[Normalization, ...] = ("symmetric", "before", "after", "none")


def noise(count: int) -> Iterator[Case]:
    for seed in range(count):
        rng = np.random.default_rng(seed)
        image = rng.integers(0, 256, (10, 12, 3), dtype=np.uint8)
        yield image, softmax(rng.normal(0, 1, (4, 10, 12)))


def photos(folder: Path) -> Iterator[Case]:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    for seed, path in enumerate(files):
        picture = Image.open(path).convert("RGB").resize((80, 60), Image.Resampling.BILINEAR)
        coarse = np.random.default_rng(seed).normal(0, 2, (21, 4, 5)).astype(np.float32)
        scores = [Image.fromarray(m).resize((80, 60), Image.Resampling.BILINEAR) for m in coarse]
        yield np.asarray(picture), softmax(np.stack([np.asarray(m) for m in scores]))


def softmax(scores: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
    e = np.exp(scores - scores.max(axis=0))
    result: npt.NDArray[np.float32] = (e / e.sum(axis=0)).astype(np.float32)
    return result


def differences(crf: DenseCRF, cases: list[Case]) -> npt.NDArray[np.float64]:
    """(cases, 3): mean and largest difference of marginals, share of pixels labelled otherwise."""
    rows = []
    for image, probabilities in cases:
        ours = crf(image, probabilities=probabilities)
        exact = brute_force(crf, image, probabilities=probabilities).marginals
        other = ours.argmax(axis=0) != exact.argmax(axis=0)
        difference = np.abs(ours - exact)
        rows.append((difference.mean(), difference.max(), other.mean()))
    return np.array(rows)


def main() -> None:
    data = Path(os.environ.get("UPSCORE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--iterations", type=int, default=10)
    parser.add_argument(
        "--photos", type=Path, default=data / "voc-sample/VOCdevkit/VOC2012/JPEGImages"
    )
    arguments = parser.parse_args()

    kinds = {"noise": list(noise(arguments.images))}
    if arguments.photos.is_dir():
        kinds["photos"] = list(photos(arguments.photos))
    print("| input | Gaussian, bilateral | normalization | mean | largest | labels | worst image |")
    print("|---|---|---|---|---|---|---|")
    for kind, cases in kinds.items():
        for name, (gaussian, bilateral) in TERMS.items():
            for how in NORMALIZATIONS:
                crf = DenseCRF(
                    gaussian, bilateral, normalization=how, iterations=arguments.iterations
                )
                mean, largest, labels = differences(crf, cases).T
                print(
                    f"| {kind} | {name} | {how} | {mean.mean():.4f} | {largest.max():.2f} "
                    f"| {labels.mean():.1%} | {labels.max():.1%} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
