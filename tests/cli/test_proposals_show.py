from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from upscore.cli.proposal_options import SourceOptions
from upscore.cli.proposals import show
from upscore.errors import DataError, NotFoundError, SettingsError

GRID = SourceOptions(source="grid", max_boxes=40)
GRADIENT = SourceOptions(source="edge-boxes", edges="gradient", max_boxes=40)


@pytest.fixture
def photo(tmp_path):
    """A bright square on a dark ground."""
    pixels = np.full((90, 120, 3), 30, np.uint8)
    pixels[20:70, 30:90] = (230, 200, 40)
    path = tmp_path / "photo.png"
    Image.fromarray(pixels).save(path)
    return path


def size(path):
    return Image.open(path).size


def test_boxes_alone_and_with_the_edge_map(photo, tmp_path, capsys):
    show(photo, out=tmp_path / "grid.png", options=GRID)
    assert "best 10 of 40 boxes" in capsys.readouterr().out
    show(photo, out=tmp_path / "edges.png", options=GRADIENT, boxes=3)
    assert "best " in capsys.readouterr().out
    assert size(tmp_path / "edges.png")[0] > 1.4 * size(tmp_path / "grid.png")[0]


def test_boxes_of_a_store(photo, tmp_path, capsys):
    from upscore.proposals.build_store import Photo, make_store

    store = tmp_path / "boxes.parquet"
    make_store([Photo("photo", photo)], GRID.build(), store, workers=1)
    options = SourceOptions(source="file", file=store, max_boxes=5)
    show(photo, out=tmp_path / "stored.png", options=options)
    assert "best 5 of 5 boxes" in capsys.readouterr().out
    other = tmp_path / "other.png"
    Image.new("RGB", (9, 9)).save(other)
    with pytest.raises(DataError, match=r"other\.png: "):
        show(other, out=tmp_path / "x.png", options=options)
    assert not (tmp_path / "x.png").exists()


@pytest.mark.parametrize("options", [GRID, GRADIENT])
@pytest.mark.parametrize(
    ("mode", "shape"),
    [("RGB", (4, 3)), ("RGB", (1, 1)), ("L", (70, 50)), ("RGBA", (70, 50)), ("RGB", (70, 50))],
)
def test_few_pixels_grey_transparency_and_one_colour(tmp_path, options, mode, shape):
    path = tmp_path / "photo.png"
    Image.new(mode, shape, 7 if mode == "L" else (7, 8, 9, 10)[: len(mode)]).save(path)
    show(path, out=tmp_path / "out.png", options=options)
    assert size(tmp_path / "out.png")[0] > 500


def test_bad_input(photo, tmp_path):
    out = tmp_path / "out.png"
    with pytest.raises(SettingsError, match=r"^boxes is 0"):
        show(photo, out=out, boxes=0, options=GRID)
    with pytest.raises(SettingsError, match="ground-truth needs a data set"):
        show(photo, out=out, options=SourceOptions(source="ground-truth"))
    with pytest.raises(NotFoundError, match=r"none\.png: no such file"):
        show(tmp_path / "none.png", out=out, options=GRID)
    (tmp_path / "bad.png").write_bytes(b"no photo")
    with pytest.raises(DataError, match=r"bad\.png: is not an image"):
        show(tmp_path / "bad.png", out=out, options=GRID)
    assert not out.exists()
