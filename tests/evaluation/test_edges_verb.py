"""``upscore edges evaluate`` on a small BSDS500, from folder to files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from upscore.cli.edges import evaluate
from upscore.core.images import read_image
from upscore.data.formats.bsds import find_bsds
from upscore.edges.benchmark.files import find_edge_map, read_edge_map
from upscore.edges.benchmark.score import evaluate_edges
from upscore.errors import DataError, NotFoundError, OutputError, SettingsError, WorkError
from upscore.workflows import edges as workflow

SHAPE = (112, 150)


def write_truth(path: Path, boundaries: np.ndarray) -> None:
    np.savez(path, boundaries=np.packbits(boundaries, axis=-1), shape=boundaries.shape)


@pytest.fixture
def data(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path / "bsds" / "val"
    folder.mkdir(parents=True)
    for number in range(3):
        photo = np.zeros((*SHAPE, 3), np.uint8)
        photo[:, 12 + 4 * number :] = (200, 120, 60)
        photo = (photo + rng.integers(0, 20, photo.shape)).astype(np.uint8)
        Image.fromarray(photo).save(folder / f"p{number}.png")
        boundaries = np.zeros((2, *SHAPE), bool)
        boundaries[:, :, 12 + 4 * number] = True
        write_truth(folder / f"p{number}.npz", boundaries)
    return tmp_path / "bsds"


@pytest.fixture
def maps(tmp_path) -> Path:
    """Right, right with clutter, and wrong."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for number in range(3):
        strength = np.zeros(SHAPE)
        strength[:, 12 + 4 * number if number < 2 else 35] = 0.8
        strength[:, 5] = 0.5 if number == 1 else 0
        Image.fromarray(np.rint(255 * strength).astype(np.uint8)).save(folder / f"p{number}.png")
    return folder


def run(data: Path, edges: Path | str, **options) -> None:
    evaluate(data=data, edges=str(edges), workers=1, thresholds=9, **options)


def test_everything_is_written_and_printed(data, maps, tmp_path, capsys):
    out = tmp_path / "out"
    run(data, maps, out=out)
    images = find_bsds(data)["val"]
    expected = evaluate_edges(
        [(i.name, read_edge_map(maps / f"{i.name}.png"), i.read_boundaries()) for i in images],
        thresholds=9,
    )
    content = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert content["ods"]["f"] == expected.ods
    assert content["ois"]["f"] == expected.ois
    assert content["ap"] == expected.ap
    assert 0.4 < expected.ods < 0.9 < content["images"][0]["f"]
    assert [image["name"] for image in content["images"]] == ["p0", "p1", "p2"]
    assert content["images"][2]["f"] == 0
    assert content["curve"]["precision"] == expected.precision.tolist()
    assert content["about"]["edges"] == {"kind": "folder", "path": str(maps), "thinned": False}
    assert content["failures"] == []
    for name, rows in (("images.csv", 3), ("curve.csv", 9)):
        with (out / name).open(encoding="utf-8", newline="") as stream:
            table = list(csv.DictReader(stream))
        assert len(table) == rows
        assert {"f", "threshold", "precision", "recall"} <= set(table[0])
    assert read_image(out / "precision_recall.png").shape[0] > 500
    printed = capsys.readouterr().out
    assert f"{expected.ods:.4f}" in printed
    assert f"{expected.ois:.4f}" in printed
    assert "3 photos of val" in printed


def test_without_out_nothing_is_written(data, maps, tmp_path, capsys):
    before = sorted(tmp_path.rglob("*"))
    run(data, maps)
    assert sorted(tmp_path.rglob("*")) == before
    assert "ODS" in capsys.readouterr().out


def as_png16(values: np.ndarray, path: Path) -> None:
    Image.fromarray(np.rint(65535 * values).astype(np.uint16)).save(path.with_suffix(".png"))


def as_npy(dtype):
    def write(values: np.ndarray, path: Path) -> None:
        largest = np.iinfo(dtype).max if np.dtype(dtype).kind == "u" else 1
        scaled = np.rint(values * largest) if largest > 1 else values
        np.save(path.with_suffix(".npy"), scaled.astype(dtype))

    return write


WRITERS = {
    "png8": lambda values, path: Image.fromarray(np.rint(255 * values).astype(np.uint8)).save(
        path.with_suffix(".png")
    ),
    "png16": as_png16,
    **{kind: as_npy(kind) for kind in ("uint8", "uint16", "float16", "float32", "float64")},
}


@pytest.mark.parametrize("kind", WRITERS)
def test_maps_of_all_kinds(kind, tmp_path):
    values = np.linspace(0, 1, 24).reshape(4, 6)
    WRITERS[kind](values, tmp_path / "a")
    strength = read_edge_map(find_edge_map(tmp_path, "a"))
    assert strength.dtype == np.float32
    np.testing.assert_allclose(strength, values, atol=1 / 500)
    assert strength.max() == 1


def test_maps_of_other_kinds_are_refused(tmp_path):
    grey = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    grey.convert("RGB").save(tmp_path / "colour.png")
    grey.convert("P").save(tmp_path / "palette.png")
    for name in ("colour", "palette"):
        with pytest.raises(DataError, match="expected grey of 8 or 16 bits"):
            read_edge_map(tmp_path / f"{name}.png")
    np.save(tmp_path / "three.npy", np.zeros((2, 3, 4)))
    np.save(tmp_path / "whole.npy", np.zeros((3, 4), int))
    for name in ("three", "whole"):
        with pytest.raises(DataError, match=r"expected .*floats"):
            read_edge_map(tmp_path / f"{name}.npy")
    (tmp_path / "short.npy").write_bytes((tmp_path / "whole.npy").read_bytes()[:100])
    (tmp_path / "text.npy").write_text("edges")
    np.savez(tmp_path / "many.npz", a=np.zeros(3))
    (tmp_path / "many.npz").rename(tmp_path / "many.npy")
    for name in ("short", "text", "many"):
        with pytest.raises(DataError, match=rf"{name}\.npy: (not an array file|an archive)"):
            read_edge_map(tmp_path / f"{name}.npy")
    for name in ("no.npy", "no.png"):
        with pytest.raises(NotFoundError, match="no such file"):
            read_edge_map(tmp_path / name)
    grey.save(tmp_path / "whole.png")
    with pytest.raises(DataError, match=r"there is whole\.npy as well; remove one"):
        find_edge_map(tmp_path, "whole")


def test_bad_files_are_listed_at_the_end_and_the_rest_is_scored(data, maps, tmp_path):
    """A missing map, one of another size, NaN, a truncated photo's truth."""
    for number in range(3, 7):
        for suffix in (".png", ".npz"):
            source = data / "val" / f"p0{suffix}"
            (data / "val" / f"p{number}{suffix}").write_bytes(source.read_bytes())
    np.save(maps / "p3.npy", np.zeros((30, 40), np.float32))
    np.save(maps / "p4.npy", np.full(SHAPE, np.nan, np.float32))
    np.save(maps / "p5.npy", np.zeros(SHAPE, np.float32))
    (data / "val" / "p5.npz").write_bytes(b"PK")
    out = tmp_path / "out"
    with pytest.raises(WorkError, match=r"4 of 7 photos could not be scored") as error:
        run(data, maps, out=out)
    for part in ("p3: an edge map of 40x30", "p4: ", "NaN", "p5.npz", "no p6.png or p6.npy"):
        assert part in str(error.value)
    content = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert [image["name"] for image in content["images"]] == ["p0", "p1", "p2"]
    assert [failure["index"] for failure in content["failures"]] == [3, 4, 5, 6]
    assert (out / "precision_recall.png").exists()


def test_a_detector_is_run_and_recorded(data, tmp_path, monkeypatch):
    class Brightness:
        def __call__(self, image):
            strength = np.abs(np.diff(image.mean(-1), axis=1, prepend=0)) / 255
            strength[:, 0] = 0
            return strength.astype(np.float32), np.zeros(SHAPE, np.float32)

        def settings(self):
            return {"kind": "Brightness"}

    asked = []
    monkeypatch.setattr(
        "upscore.workflows.edges.make_edges",
        lambda name, *, model: asked.append((name, model)) or Brightness(),
    )
    out = tmp_path / "out"
    run(data, "learned", model=Path("w.safetensors"), out=out)
    assert asked == [("learned", Path("w.safetensors"))]
    content = json.loads((out / "scores.json").read_text(encoding="utf-8"))
    assert content["about"]["edges"] == {"kind": "Brightness"}
    assert content["ods"]["f"] > 0.95


def test_gradient_edges(data, capsys):
    pytest.importorskip("upscore.edges.detectors")
    run(data, "gradient")
    table = capsys.readouterr().out
    ods = float(next(line for line in table.splitlines() if line.startswith("ODS")).split()[1])
    assert ods > 0.6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"thresholds": 0}, "^thresholds is 0"),
        ({"workers": 0}, "^workers is 0"),
        ({"split": "test"}, "no split 'test'; it has val"),
        ({"edges": "nowhere"}, "no such detector and no such folder; allowed: learned, gradient"),
        ({"edges": "structured-forest"}, r"write_edges --model .* then give --edges maps"),
        ({"edges": "gradient", "model": Path("x")}, "no model; leave it out"),
        ({"edges": "gradient", "thinned": True}, "--thinned is for a folder"),
        ({"model": Path("x")}, "a folder of edge maps has no model"),
    ],
)
def test_wrong_usage(data, maps, options, message, tmp_path):
    out = tmp_path / "out"
    if options.get("edges") == "gradient" and "thinned" not in options:
        pytest.importorskip("upscore.edges.detectors")
    with pytest.raises(SettingsError, match=message):
        evaluate(**{"data": data, "edges": str(maps), "workers": 1, "out": out, **options})
    assert not out.exists()


def test_a_folder_without_any_map(data, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match=r"no edge map of any photo; expected p0\.png"):
        run(data, tmp_path / "empty")


def test_out_that_cannot_be_written_fails_before_the_work(data, maps, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(workflow, "_items", lambda *_: pytest.fail("work was begun"))
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        run(data, maps, out=tmp_path / "file")
