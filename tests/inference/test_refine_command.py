"""``upscore refine``: results of any tool, refined with their photos, to files."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.in_workers import die
from inference.support import late_edge, random_photo, save_photo, save_probabilities, two_halves
from upscore.cli.console import show_messages
from upscore.cli.main import main
from upscore.core.labels import CAMVID_LABELS, Labels
from upscore.core.parallel import map as parallel_map
from upscore.core.parallel import processes as worker_pool
from upscore.crf.settings import crf_settings
from upscore.crf.unary import unary_from_labels
from upscore.errors import (
    DataError,
    NotFoundError,
    OutputError,
    SettingsError,
    UpscoreError,
    WorkError,
)
from upscore.inference import refine_files as refine_module
from upscore.inference.foreign_predictions import read_prediction
from upscore.inference.photo_index import PhotoIndex
from upscore.inference.refine_files import refine_files
from waiting import HANG_S, wait_until

SETTINGS = crf_settings("deconvnet")
SOURCE = Path(__file__).resolve().parents[2] / "src"
TESTS = Path(__file__).resolve().parents[1]
NAMES = ("a", "b", "sub/c")


@pytest.fixture
def work(tmp_path) -> Path:
    """Photos of two halves; probabilities and label maps whose edge is three pixels off."""
    for number, name in enumerate(NAMES):
        height, width = 20 + number, 30 + 2 * number
        save_photo(tmp_path / f"photos/{name}.png", two_halves(height, width))
        folder = (tmp_path / f"probabilities/{name}").parent
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(tmp_path / f"probabilities/{name}.npz", probabilities=late_edge(height, width))
        save_photo(
            tmp_path / f"labels/{name}.png",
            late_edge(height, width).argmax(axis=0).astype(np.uint8),
        )
    return tmp_path


def refine(work: Path, inputs="probabilities", **options):
    options = {"workers": 1, **options}
    settings = options.pop("settings", SETTINGS)
    out = options.pop("out", work / "out")
    images = options.pop("images", work / "photos")
    items = [work / inputs] if isinstance(inputs, str) else inputs
    return refine_files(items, images, out, settings, **options)


def labels_of(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture).copy()


def truth(photo: Path) -> np.ndarray:
    return (labels_of(photo)[..., 0] > 100).astype(np.uint8)


def files(folder: Path) -> list[str]:
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


def failure(summary) -> str:
    assert len(summary.failures) == 1
    return summary.failures[0][1]


# -- what it makes of probabilities and of labels -------------------------------------------------


def test_probabilities_are_refined_along_the_photo(work):
    calls: list[tuple[int, int]] = []
    save = ("labels", "overlay", "probabilities")
    summary = refine(work, save=save, progress=lambda *call: calls.append(call))
    assert (summary.images, summary.skipped, summary.failures) == (3, 0, [])
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert files(work / "out") == sorted(
        [f"labels/{name}.png" for name in NAMES]
        + [f"overlay/{name}.jpg" for name in NAMES]
        + [f"probabilities/{name}.npz" for name in NAMES]
    )
    for name in NAMES:
        want = truth(work / f"photos/{name}.png")
        assert np.array_equal(labels_of(work / f"out/labels/{name}.png"), want)
        photo = labels_of(work / f"photos/{name}.png")
        with np.load(work / f"out/probabilities/{name}.npz") as stored:
            crf = SETTINGS.build()
            expected = crf(photo, probabilities=late_edge(*photo.shape[:2]))
            np.testing.assert_allclose(stored["probabilities"], expected, atol=1e-3)
            assert stored["classes"].tolist() == ["class_0", "class_1"]


def test_label_maps_are_refined_with_their_confidence(work):
    refine(work, "labels", num_classes=3, confidence=0.6, save=("labels", "probabilities"))
    photo = labels_of(work / "photos/b.png")
    unary = unary_from_labels(labels_of(work / "labels/b.png"), 3, 0.6)
    expected = SETTINGS.build()(photo, energies=unary)
    with np.load(work / "out/probabilities/b.npz") as stored:
        np.testing.assert_allclose(stored["probabilities"], expected, atol=1e-3)
    assert np.array_equal(labels_of(work / "out/labels/b.png"), truth(work / "photos/b.png"))


def test_unlabelled_pixels_get_the_label_of_their_surroundings(work):
    labels = truth(work / "photos/a.png")
    labels[5:15, 3:12] = 255
    Image.fromarray(labels).save(work / "labels/a.png")
    refine(work, [work / "labels/a.png"], num_classes=2)
    assert np.array_equal(labels_of(work / "out/labels/a.png"), truth(work / "photos/a.png"))


def test_several_processes_give_what_one_gives(work):
    refine(work, save=("labels", "probabilities"))
    summary = refine(work, save=("labels", "probabilities"), workers=2, out=work / "two")
    assert summary.images == 3
    assert files(work / "two") == files(work / "out")
    for name in files(work / "out"):
        if name.endswith(".png"):
            assert np.array_equal(labels_of(work / "two" / name), labels_of(work / "out" / name))
        else:
            with np.load(work / "two" / name) as two, np.load(work / "out" / name) as one:
                assert np.array_equal(two["probabilities"], one["probabilities"])


def test_classes_and_colours_go_through(work):
    photo = labels_of(work / "photos/a.png")
    probabilities = np.full((11, *photo.shape[:2]), 1 / 11, np.float32)
    save_probabilities(work / "camvid/a.npz", probabilities, CAMVID_LABELS)
    refine(work, "camvid", save=("labels", "probabilities"))
    with Image.open(work / "out/labels/a.png") as picture:
        assert tuple(picture.getpalette()[3:6]) == CAMVID_LABELS.colors[1]
    assert read_prediction(work / "out/probabilities/a.npz").label_set(11) == CAMVID_LABELS

    picture = Image.fromarray(labels_of(work / "labels/b.png"))
    picture.putpalette([1, 2, 3, 4, 5, 6])
    picture.save(work / "labels/b.png")
    refine(work, [work / "labels/b.png"], num_classes=2)
    with Image.open(work / "out/labels/b.png") as picture:
        assert picture.getpalette()[:6] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("num", "workers", "cores", "expected"),
    [
        (3, None, 4, (1, None)),
        (16, None, 4, (2, 2)),
        (100, None, 4, (4, 1)),
        (3, 2, 4, (2, 2)),
        (1, 8, 4, (1, None)),
        (100, 8, 4, (8, 1)),
    ],
)
def test_how_many_processes_of_how_many_threads(
    tmp_path, monkeypatch, num, workers, cores, expected
):
    found = []

    def noted(task_work, items, *, processes, **_):
        found.append((processes, task_work.threads))
        yield from ((item, task_work(item)) for item in items)

    monkeypatch.setattr(refine_module, "map_items", noted)
    monkeypatch.setattr(refine_module, "num_cores", lambda: cores)
    monkeypatch.setattr(parallel_map, "num_cores", lambda: cores)
    monkeypatch.setattr(refine_module.Refinement, "__call__", lambda *_: None)
    for number in range(num):
        save_photo(tmp_path / f"photos/{number}.png", random_photo(1, 1))
        np.save(tmp_path / f"photos/{number}.npy", np.ones((1, 1, 1)))
    summary = refine(
        tmp_path, [tmp_path / "photos/*.npy"], workers=workers, images=tmp_path / "photos"
    )
    assert summary.images == num
    assert found[0] == expected


# -- odd but right inputs -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_npy_of_any_float(work, dtype):
    np.save(work / "a.npy", late_edge(20, 30).astype(dtype))
    refine(work, [work / "a.npy"])
    assert np.array_equal(labels_of(work / "out/labels/a.png"), truth(work / "photos/a.png"))


def test_the_only_array_of_an_npz_needs_no_name(work):
    np.savez_compressed(work / "a.npz", anything=late_edge(20, 30))
    assert refine(work, [work / "a.npz"]).images == 1


def test_labels_in_an_npy(work):
    np.save(work / "a.npy", late_edge(20, 30).argmax(axis=0))
    assert refine(work, [work / "a.npy"], num_classes=2).images == 1
    assert np.array_equal(labels_of(work / "out/labels/a.png"), truth(work / "photos/a.png"))
    assert "give its number of classes, for example --classes" in failure_alone(
        work, [work / "a.npy"]
    )


def test_a_16_bit_label_map(work):
    labels = late_edge(20, 30).argmax(axis=0).astype(np.uint16)
    Image.fromarray(labels).save(work / "labels/a.png")
    assert Image.open(work / "labels/a.png").mode.startswith("I")
    refine(work, [work / "labels/a.png"], num_classes=2)
    assert np.array_equal(labels_of(work / "out/labels/a.png"), truth(work / "photos/a.png"))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_photos_of_any_mode(work, mode):
    photo = Image.open(work / "photos/a.png").convert(mode)
    (work / "photos/a.png").unlink()
    photo.save(work / ("photos/a.tif" if mode == "CMYK" else "photos/a.png"))
    assert refine(work, [work / "probabilities/a.npz"]).images == 1
    assert np.array_equal(labels_of(work / "out/labels/a.png"), late_edge(20, 30, shift=0)[1] > 0.5)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (7, 13)])
@pytest.mark.parametrize("classes", [1, 2])
def test_odd_sizes(tmp_path, size, classes):
    save_photo(tmp_path / "photos/x.png", random_photo(*size))
    probabilities = np.random.default_rng(0).dirichlet(np.ones(classes), size)
    np.save(tmp_path / "x.npy", probabilities.transpose(2, 0, 1))
    assert refine(tmp_path, [tmp_path / "x.npy"]).images == 1
    assert labels_of(tmp_path / "out/labels/x.png").shape == size


def test_names_that_are_not_ascii_and_dots(work):
    save_photo(work / "fotos/straße 1.final.png", two_halves(20, 30))
    (work / "größen").mkdir()
    np.save(work / "größen/straße 1.final.npy", late_edge(20, 30))
    refine(work, "größen", images=work / "fotos", workers=2)
    assert files(work / "out") == [
        "labels/straße 1.final.png",
        "overlay/straße 1.final.jpg",
    ]


def test_photos_are_found_by_name_then_by_stem(work):
    save_photo(work / "photos/other/a.png", two_halves(5, 5))  # photos/a.png is nearer
    summary = refine(work, [work / "probabilities/a.npz", work / "probabilities/sub/c.npz"])
    assert summary.images == 2
    assert labels_of(work / "out/labels/a.png").shape == (20, 30)
    assert labels_of(work / "out/labels/c.png").shape == (22, 34)


def test_two_photos_of_one_name(work):
    save_photo(work / "photos/a.bmp", two_halves(20, 30))
    summary = refine(work)
    assert summary.images == 2
    assert re.search(r"2 photos could be 'a': .*a\.bmp, .*a\.png; name the", failure(summary))
    index = PhotoIndex(work / "photos", out=work)
    with pytest.raises(NotFoundError, match=r"no photo 'x/y' in .*photos, nor 'y' below; results"):
        index.find("x/y")


def test_photos_inside_out_do_not_count(work):
    save_photo(work / "photos/out/labels/a.png", two_halves(20, 30))
    save_photo(work / "photos/sub/a.png", two_halves(3, 3))
    np.save(work / "deep_a.npy", late_edge(20, 30))
    index = PhotoIndex(work / "photos", out=work / "photos/out")
    assert index.find("a") == work / "photos/a.png"
    assert index.find("elsewhere/b") == work / "photos/b.png"


# -- files that cannot be refined ------------------------------------------------------------------


def failure_alone(work: Path, inputs, **options) -> str:
    summary = refine(work, inputs, **options)
    assert summary.images == 0
    return failure(summary)


BAD = {
    "channels last": (late_edge(20, 30).transpose(1, 2, 0), r"\(C, H, W\): numpy\.moveaxis"),
    "another size": (late_edge(10, 15), r"of 15x10 .*its photo .*a\.png is 30x20; resize it"),
    "not normalised": (late_edge(20, 30) * 3, r"sum to 3"),
    "negative": (late_edge(20, 30) - 0.5, r"negative number"),
    "nan": (late_edge(20, 30) * np.float32(np.nan), r"NaN"),
    "all zero": (np.zeros((2, 20, 30), np.float32), r"sum to 0"),
    "four axes": (late_edge(20, 30)[None], r"shape \(1, 2, 20, 30\) and dtype float32; expected"),
    "float labels": (np.zeros((20, 30)), r"shape \(20, 30\) and dtype float64; expected"),
    "integers": (np.ones((2, 20, 30), np.uint8), r"dtype uint8; expected probabilities"),
    "empty": (np.zeros((0, 20, 30)), r"shape \(0, 20, 30\)"),
    "objects": (np.array([None]), r"not an array file of numpy"),
    "too many classes": (np.full((300, 20, 30), 1 / 300), r"1 to 255 classes, this one has 300"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_arrays(work, kind):
    array, message = BAD[kind]
    np.save(work / "a.npy", array)
    told = failure_alone(work, [work / "a.npy"])
    assert re.search(message, told), told
    assert told.startswith(str(work / "a.npy"))
    assert files(work / "out") == []


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".png"])
@pytest.mark.parametrize("content", [b"", b"no such thing", b"\x93NUMPY\x01\x00", b"PK\x03\x04"])
def test_damaged_files(work, suffix, content):
    path = work / f"a{suffix}"
    path.write_bytes(content)
    told = failure_alone(work, [path], num_classes=2)
    assert told.startswith(f"{path}: ")
    assert "\n" not in told


def test_a_truncated_npz(work):
    path = work / "probabilities/a.npz"
    path.write_bytes(path.read_bytes()[:-200])
    assert "not an array file of numpy" in failure_alone(work, [path])
    whole = work / "probabilities/b.npz"
    content = bytearray(whole.read_bytes())
    content[400:420] = bytes(20)
    whole.write_bytes(bytes(content))
    assert "not an array file of numpy" in failure_alone(work, [whole])


def test_an_npz_of_several_arrays(work):
    np.savez(work / "a.npz", scores=late_edge(20, 30), edges=np.zeros(3))
    assert (
        "holds 'scores', 'edges'; expected one array, or one named 'probabilities'"
        in failure_alone(work, [work / "a.npz"])
    )


def test_label_maps_that_are_none(work):
    save_photo(work / "colour/a.png", two_halves(20, 30))
    told = failure_alone(work, [work / "colour/a.png"], num_classes=2)
    assert "a colour picture; expected class indices" in told
    labels = np.full((20, 30), 7, np.uint8)
    save_photo(work / "seven/a.png", labels)
    told = failure_alone(work, [work / "seven/a.png"], num_classes=3)
    assert "labels hold 7 (600 pixels); allowed: 0 to 2 and 255 (no label)" in told
    (work / "a.jpg").write_bytes(b"x")
    assert "expected probabilities (npz, npy) or a label map" in failure_alone(
        work, [work / "a.jpg"]
    )


def test_other_numbers_of_classes_than_given(work):
    told = failure_alone(work, [work / "probabilities/a.npz"], num_classes=21)
    assert "probabilities of 2 classes, but --classes 21" in told


def test_bad_files_among_good_ones(work):
    (work / "probabilities/b.npz").write_bytes(b"broken")
    np.savez(work / "probabilities/nophoto.npz", late_edge(3, 3))
    for workers in (1, 2):
        summary = refine(work, workers=workers, out=work / f"out{workers}")
        assert summary.images == 2
        assert sorted(path.name for path, _ in summary.failures) == ["b.npz", "nophoto.npz"]
        with pytest.raises(WorkError, match="2 files could not be refined; all others are done"):
            summary.check()
        assert files(work / f"out{workers}/labels") == ["a.png", "sub/c.png"]


def test_a_photo_that_cannot_be_read(work):
    (work / "photos/b.png").write_bytes(b"broken")
    summary = refine(work)
    assert summary.images == 2
    assert re.search(r"photos/b\.png: is not an image", failure(summary))
    assert "--max-pixels 600" in refine(work, max_pixels=100).failures[0][1]


def test_too_little_memory_for_one(work, monkeypatch):
    whole = refine_module.Refinement.__call__

    def fragile(self, task):
        if task[0].name == "b":
            raise MemoryError
        whole(self, task)

    monkeypatch.setattr(refine_module.Refinement, "__call__", fragile)
    summary = refine(work)
    assert summary.images == 2
    assert "b.npz: not enough memory to refine it; try --workers 1" in failure(summary)


# -- wrong use: nothing is begun -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"inputs": []}, SettingsError, "no input; name results, folders, patterns"),
        ({"inputs": "none"}, NotFoundError, "none: no such file or folder"),
        ({"inputs": "empty"}, NotFoundError, r"no result in this folder or below \(npz, npy, png"),
        ({"images": Path("none")}, NotFoundError, "none: no such folder; name the one of the ph"),
        ({"images": "file"}, DataError, "file: is a file; name the folder of the photos"),
        ({"images": "empty"}, NotFoundError, "empty: no photo in this folder"),
        ({"images": "unlike"}, SettingsError, r"a\.npz: no photo 'a' in .*unlike, nor 'a' below"),
        ({"inputs": "labels"}, SettingsError, r"labels/a\.png: a label map; give its number"),
        ({"confidence": 1.0}, SettingsError, "confidence is 1.0; allowed: over 0 and below 1"),
        ({"num_classes": 0}, SettingsError, "num_classes is 0"),
        ({"workers": 0}, SettingsError, "workers is 0; allowed: 1 or more"),
        ({"save": ["masks"]}, SettingsError, "save has no 'masks'"),
    ],
)
def test_wrong_use(work, options, error, message):
    (work / "empty").mkdir()
    (work / "file").touch()
    save_photo(work / "unlike/z.png", two_halves(4, 4))
    options = {
        key: work / value if key == "images" and isinstance(value, str) else value
        for key, value in options.items()
    }
    with pytest.raises(error, match=message):
        refine(work, **options)
    assert not (work / "out").exists()


def test_confidence_and_classes_of_label_maps_are_reported_at_once(work):
    with pytest.raises(SettingsError, match=r"confidence is 0\.3; expected more than 0\.5"):
        refine(work, "labels", num_classes=2, confidence=0.3)
    with pytest.raises(SettingsError, match="num_classes is 1; expected 2 or more"):
        refine(work, "labels", num_classes=1)
    assert not (work / "out").exists()
    # probabilities have their own
    assert refine(work, num_classes=2, confidence=0.3).images == 3


def test_inputs_and_photos_are_never_overwritten(work):
    with pytest.raises(SettingsError, match=r"labels/a\.png is an input and would be overwritten"):
        refine(work, "labels", num_classes=2, out=work)
    save_photo(work / "run/labels/a.png", two_halves(20, 30))
    with pytest.raises(SettingsError, match="is an input"):
        refine(work, [work / "probabilities/a.npz"], images=work / "run/labels", out=work / "run")
    assert labels_of(work / "run/labels/a.png").shape == (20, 30, 3)


def test_two_results_of_one_name(work):
    np.save(work / "probabilities/a.npy", late_edge(20, 30))
    with pytest.raises(SettingsError, match=r"a\.npy and .*a\.npz would both be written as 'a'"):
        refine(work)


# -- output, resuming, interruption ----------------------------------------------------------------


def test_resume_passes_over_what_is_there(work):
    refine(work)
    (work / "out/overlay/b.jpg").unlink()
    before = (work / "out/labels/a.png").stat().st_mtime_ns
    calls: list[tuple[int, int]] = []
    summary = refine(work, resume=True, progress=lambda *call: calls.append(call))
    assert (summary.images, summary.skipped) == (1, 2)
    assert calls == [(2, 3), (3, 3)]
    assert (work / "out/labels/a.png").stat().st_mtime_ns == before
    assert refine(work, resume=True).skipped == 3
    assert refine(work).images == 3


def test_an_out_that_cannot_be_written(work):
    (work / "out").touch()
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        refine(work)
    (work / "taken").mkdir()
    (work / "taken/labels").touch()
    for workers in (1, 2):  # found out by a worker
        with pytest.raises(OutputError, match="a file stands where a folder is needed"):
            refine(work, out=work / "taken", workers=workers)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_out(work):
    (work / "out").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission to write there"):
        refine(work)


def test_a_full_disk(work, monkeypatch):
    import errno

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match="the disk is full"):
        refine(work)
    assert files(work / "out") == []


def test_a_process_that_dies(work, monkeypatch):
    monkeypatch.setattr(worker_pool, "_begin", die)
    with pytest.raises(WorkError, match=r"a process died.*--resume and fewer --workers"):
        refine(work, workers=2)


def test_errors_survive_the_way_between_processes():
    import pickle

    for kind in (DataError, SettingsError, NotFoundError, OutputError, WorkError, UpscoreError):
        assert str(pickle.loads(pickle.dumps(kind("what is wrong")))) == "what is wrong"


def test_ctrl_c_in_this_process(work, monkeypatch):
    whole = refine_module.Refinement.__call__

    def interrupted(self, task):
        if task[0].name == "b":
            raise KeyboardInterrupt
        whole(self, task)

    monkeypatch.setattr(refine_module.Refinement, "__call__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        refine(work)
    assert files(work / "out/labels") == ["a.png"]
    monkeypatch.undo()
    summary = refine(work, resume=True)
    assert (summary.images, summary.skipped) == (2, 1)


HOLD = """
import multiprocessing, sys
from pathlib import Path
from waiting import wait_until

def hold(event, arguments):  # in the workers, from the twentieth file on
    if event == "open" and multiprocessing.parent_process() is not None:
        path = Path(str(arguments[0]))
        if path.suffix == ".npy" and path.stem >= "20":
            wait_until((path.parents[1] / "release").exists)

sys.addaudithook(hold)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is no signal to a group there")
def test_ctrl_c_with_several_processes(tmp_path):
    for number in range(40):
        save_photo(tmp_path / f"photos/{number:02d}.png", random_photo(90, 120, seed=number))
        np.save(tmp_path / f"photos/{number:02d}.npy", late_edge(90, 120))
    (tmp_path / "sitecustomize.py").write_text(HOLD)  # so that the signal comes before the end
    arguments = [
        "refine", str(tmp_path / "photos/*.npy"), "--images", str(tmp_path / "photos"),
        "--out", str(tmp_path / "out"), "--save", "labels", "--workers", "2", "--crf", "deconvnet",
    ]  # fmt: skip
    # a shell starts what runs in its background deaf to Ctrl-C, and these tests may be such
    hearing = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from upscore.cli.main import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", hearing, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (tmp_path, SOURCE, TESTS)))},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_until(lambda: process.poll() is not None or list(tmp_path.glob("out/labels/[0-9]*.png")))
    assert process.poll() is None, process.stderr.read()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the workers too
    (tmp_path / "release").touch()  # what has begun is finished
    _, told = process.communicate(timeout=HANG_S)
    done = files(tmp_path / "out")
    assert process.returncode == 130, told
    assert "interrupted" in told
    assert "Traceback" not in told
    assert 0 < len(done) < 40
    assert all(not Path(name).name.startswith(".") for name in done)
    for name in done:
        assert labels_of(tmp_path / "out" / name).shape == (90, 120)
    main([*arguments, "--resume"])
    assert len(files(tmp_path / "out")) == 40


# -- the verb --------------------------------------------------------------------------------------


def test_the_verb_prints_what_it_did(work, capsys):
    main(
        ["refine", str(work / "probabilities"), "--images", str(work / "photos"), "--out",
         str(work / "out"), "--save", "labels, probabilities", "--crf", "deeplab", "--workers", "1"]
    )  # fmt: skip
    told = capsys.readouterr().out
    assert re.search(r"Refined 3 files in \d+\.\d s \(\d+\.\d+ files/s\)", told)
    assert str(work / "out/labels") in told
    assert len(files(work / "out")) == 6
    main(
        ["refine", str(work / "probabilities"), "--images", str(work / "photos"), "--out",
         str(work / "out"), "--save", "labels", "--resume"]
    )  # fmt: skip
    assert "Skipped 3 files" in capsys.readouterr().out


def test_what_predict_writes_can_be_refined(model_folder, tmp_path, capsys):
    save_photo(tmp_path / "photos/sub/a.png", random_photo(40, 50))
    main(["predict", str(model_folder), str(tmp_path / "photos"), "--out", str(tmp_path / "first"),
          "--save", "labels,probabilities"])  # fmt: skip
    for inputs, more in (("probabilities", []), ("labels", ["--classes", "3"])):
        out = tmp_path / f"refined-{inputs}"
        main(["refine", str(tmp_path / "first" / inputs), "--images", str(tmp_path / "photos"),
              "--out", str(out), *more])  # fmt: skip
        assert files(out) == ["labels/sub/a.png", "overlay/sub/a.jpg"]
    capsys.readouterr()
    # the same as refining at once, but for the half precision of the file between
    main(["predict", str(model_folder), str(tmp_path / "photos"), "--out", str(tmp_path / "once"),
          "--crf", "deconvnet"])  # fmt: skip
    a = labels_of(tmp_path / "once/labels/sub/a.png")
    b = labels_of(tmp_path / "refined-probabilities/labels/sub/a.png")
    assert (a == b).mean() > 0.99


def test_the_verb_reports_bad_files_last(work, capsys):
    (work / "probabilities/b.npz").write_bytes(b"broken")
    with pytest.raises(SystemExit) as stop:
        main(["refine", str(work / "probabilities"), "--images", str(work / "photos"), "--out",
              str(work / "out"), "--workers", "1"])  # fmt: skip
    assert stop.value.code == 1
    shown = capsys.readouterr()
    assert "Refined 2 files" in shown.out
    assert "1 file could not be refined; all others are done" in shown.err
    assert "b.npz: not an array file of numpy" in shown.err


def test_class_names_are_kept_only_where_they_fit(work):
    labels = Labels.of(["x", "y", "z"])
    save_probabilities(work / "odd/a.npz", np.full((3, 20, 30), 1 / 3, np.float32), labels)
    stored = read_prediction(work / "odd/a.npz")
    assert stored.label_set(3) == labels
    assert stored.label_set(4).names == ("class_0", "class_1", "class_2", "class_3")
    np.savez(work / "odd/a.npz", probabilities=late_edge(20, 30), classes=np.arange(2))
    assert read_prediction(work / "odd/a.npz").label_set(2).names == ("class_0", "class_1")


def test_log_messages_of_the_package_are_shown_once(capsys):
    show_messages("upscore")
    show_messages("upscore")
    logging.getLogger("upscore.test").info("compiling [all] of it")
    assert capsys.readouterr().err == "compiling [all] of it\n"


def test_warnings_begin_with_the_word(capsys):
    show_messages("upscore")
    logging.getLogger("upscore.test").warning("few photos")
    assert capsys.readouterr().err == "Warning: few photos\n"
