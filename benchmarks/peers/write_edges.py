"""Write the edge maps of OpenCV's structured forest to a folder that upscore scores.

python -m benchmarks.peers.write_edges --model model.yml.gz --images bsds500/val --out maps
upscore edges evaluate --data bsds500 --split val --edges maps
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np

from benchmarks.peers.structured_forest import StructuredForest
from upscore.core.files import make_folder
from upscore.core.image_files import IMAGE_SUFFIXES
from upscore.core.images import read_image
from upscore.errors import UpscoreError


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="model.yml.gz")
    parser.add_argument("--images", type=Path, required=True, help="folder of photos")
    parser.add_argument("--out", type=Path, required=True, help="folder of NAME.npy")
    options = parser.parse_args(arguments)
    detector = StructuredForest(options.model)
    photos = sorted(p for p in options.images.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    try:
        make_folder(options.out)
        for photo in photos:
            np.save(options.out / f"{photo.stem}.npy", detector(read_image(photo))[0])
    except UpscoreError as error:
        sys.exit(f"{error}")
    print(f"{len(photos)} edge maps: {options.out}")


if __name__ == "__main__":
    main()
