"""A new result format is one row of the table and one function."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from inference.support import THREE, random_photo, save_photo
from new_process import run_python
from upscore.crf.settings import load_crf
from upscore.errors import SettingsError
from upscore.inference.outputs import FORMATS, SAVE_HELP, OutputFormat
from upscore.inference.predict_files import predict_files
from upscore.inference.refine_files import refine_files


def write_areas(path, item):
    """The toy format: pixels by class, as text."""
    path.parent.mkdir(parents=True, exist_ok=True)
    counts = np.bincount(item.labels.ravel(), minlength=len(item.label_set))
    lines = [f"{name} {count}" for name, count in zip(item.label_set.names, counts, strict=True)]
    path.write_text("\n".join(lines))


def write_sure(path, item):
    """A second one, of the probabilities: pixels with a class above one half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(str(int((item.probabilities.max(axis=0) > 0.5).sum())))


@pytest.fixture(autouse=True)
def formats(monkeypatch):
    monkeypatch.setitem(FORMATS, "areas", OutputFormat(".txt", write_areas))
    monkeypatch.setitem(FORMATS, "sure", OutputFormat(".n", write_sure, needs_probabilities=True))


def counts(labels, names=THREE.names):
    return [f"{name} {(labels == index).sum()}" for index, name in enumerate(names)]


def test_photos(by_color, tmp_path):
    image = random_photo(20, 30)
    save_photo(tmp_path / "photos/sub/a.png", image)
    out = tmp_path / "out"
    predict_files(by_color, [tmp_path / "photos"], out, save=["areas", "labels"]).check()
    found = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert found == {"areas/sub/a.txt", "labels/sub/a.png", "predictions.jsonl", "summary.csv"}
    want = counts(by_color.predict(image))
    assert (out / "areas/sub/a.txt").read_text().splitlines() == want
    again = predict_files(by_color, [tmp_path / "photos"], out, save=["areas"], resume=True)
    assert (again.images, again.skipped) == (0, 1)


def test_a_format_that_needs_probabilities_gets_them(by_color, tmp_path):
    photo = save_photo(tmp_path / "a.png", image := random_photo(20, 30))
    predict_files(by_color, [photo], tmp_path / "out", save=["sure"]).check()
    sure = (by_color.probabilities(image).max(axis=0) > 0.5).sum()
    assert (tmp_path / "out/sure/a.n").read_text() == str(sure)


def test_frames_of_a_video(by_color, tmp_path):
    av = pytest.importorskip("av", reason="needs PyAV (extra video)")
    with av.open(str(tmp_path / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for seed in range(2):
            image = random_photo(48, 64, seed=seed)
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    out = tmp_path / "out"
    predict_files(by_color, [tmp_path / "clip.mp4"], out, save=["areas", "labels"]).check()
    for number in (1, 2):
        with Image.open(out / f"labels/clip/{number:06d}.png") as picture:
            want = counts(np.asarray(picture))
        assert (out / f"areas/clip/{number:06d}.txt").read_text().splitlines() == want


def test_refined_results(tmp_path):
    save_photo(tmp_path / "photos/a.png", random_photo(12, 16))
    labels = np.zeros((12, 16), np.uint8)
    labels[:, 8:] = 1
    (tmp_path / "maps").mkdir()
    Image.fromarray(labels).save(tmp_path / "maps/a.png")
    refine_files(
        [tmp_path / "maps"], tmp_path / "photos", tmp_path / "out", load_crf("deconvnet"),
        num_classes=2, save=["areas", "labels"], workers=1,
    ).check()  # fmt: skip
    with Image.open(tmp_path / "out/labels/a.png") as picture:
        want = counts(np.asarray(picture), ("class_0", "class_1"))
    assert (tmp_path / "out/areas/a.txt").read_text().splitlines() == want


def test_the_message_lists_it(by_color, tmp_path):
    allowed = r"here are labels, .*, areas, sure, separated by commas"
    with pytest.raises(SettingsError, match=allowed):
        predict_files(by_color, ["a.png"], tmp_path / "out", save=["area"])


def test_the_help_names_the_formats_and_needs_no_numpy():
    """In a new process: this one has imported numpy."""
    code = "from upscore.inference import outputs; import sys; print('numpy' in sys.modules)"
    assert run_python(code) == "False"
    assert all(name in SAVE_HELP for name in ("labels", "overlay", "probabilities"))
