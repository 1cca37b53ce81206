"""Scores of Caffe networks by OpenCV 4, to which tests compare ours.

``python tests/models/opencv_caffe.py`` makes them again. OpenCV 5 has no importer of Caffe's files
any more, so this makes an environment of its own with OpenCV 4 in build/opencv4, runs the networks
of caffe_networks.py there (prototxt and caffemodel written by our tests, random weights), and keeps
their outputs in golden/caffe_scores.npz.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACE = ROOT / "build" / "opencv4"
GOLDEN = ROOT / "tests" / "models" / "golden" / "caffe_scores.npz"
PACKAGES = ("opencv-python-headless==4.*", "numpy>=2")


def main() -> None:
    python = PLACE / "bin" / "python"
    if not python.exists():
        venv.create(PLACE, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", *PACKAGES], check=True)
    subprocess.run([python, __file__, "--here"], check=True)


def run_here() -> None:
    import cv2
    import numpy as np

    sys.path.insert(0, str(ROOT / "tests"))
    from models.caffe_networks import CASES, photo, sizes_of
    from models.caffe_writer import write_caffemodel

    found = {}
    for case, (make, generation) in CASES.items():
        for height, width in sizes_of(case):
            net = make(case, height, width)
            with tempfile.TemporaryDirectory() as folder:
                text, weights = Path(folder) / "net.prototxt", Path(folder) / "net.caffemodel"
                text.write_text("\n".join(net.text))
                write_caffemodel(weights, net.layers, generation)
                network = cv2.dnn.readNetFromCaffe(str(text), str(weights))
            network.setInput(photo(height, width))
            scores = network.forward("score")[0]
            print(case, scores.shape, f"{scores.min():.3f} ... {scores.max():.3f}")
            found[f"{case}-{height}x{width}"] = scores
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN, opencv=cv2.__version__, **found)
    print(f"{GOLDEN}: {GOLDEN.stat().st_size} bytes, OpenCV {cv2.__version__}")


if __name__ == "__main__":
    run_here() if "--here" in sys.argv else main()
