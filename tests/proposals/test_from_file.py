"""``FromFile``: our store by content, DeconvNet's caches and COCO's JSON by name."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from upscore.errors import DataError, NotFoundError, SettingsError
from upscore.proposals.base import Proposals, image_key
from upscore.proposals.precomputed import FromFile, read_deconvnet_boxes
from upscore.proposals.store import StoredPhoto, write_store

HEIGHT, WIDTH = 30, 50


def photo(seed: int = 0, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


# -- our store -------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path) -> Path:
    """Photos a, b, and c with the content of b; of a three boxes, of b one, of c two."""
    path = tmp_path / "boxes.parquet"
    with write_store(path, settings={"kind": "Made"}, data={}) as writer:
        for name, seed, count in (("a", 1, 3), ("b", 2, 1), ("c", 2, 2)):
            boxes = [[0, 0, width, 9] for width in range(1, count + 1)]
            made = Proposals(boxes, np.arange(count)[::-1])
            writer.add(StoredPhoto(name, image_key(photo(seed)), (HEIGHT, WIDTH), count), made)
    return path


def test_a_store_finds_a_photo_by_its_content(stored):
    source = FromFile(stored)
    assert len(source(photo(1), name="a")) == 3
    assert len(source(photo(1))) == 3
    assert len(source(photo(1), name="renamed")) == 3
    assert len(source(photo(2), name="c")) == 2  # of equal content, the one of this name
    assert len(source(photo(2), name="a")) == 1
    assert source.settings() == {"kind": "Made"}


def test_fewer_boxes_than_asked_are_all(stored):
    assert len(FromFile(stored, max_boxes=2)(photo(1))) == 2
    source = FromFile(stored, max_boxes=100)
    assert len(source(photo(1))) == 3
    assert source.settings() == {"kind": "FromFile", "of": {"kind": "Made"}, "max_boxes": 100}


def test_a_photo_that_the_store_lacks(stored):
    source = FromFile(stored)
    with pytest.raises(DataError, match=r"has no photo 'x'; it was made for 3 photos \('a', 'b'"):
        source(photo(9), name="x")
    with pytest.raises(DataError, match=r"boxes\.parquet: has no photo '[0-9a-f]{64}'"):
        source(photo(9))
    with pytest.raises(DataError, match=r"'a' had other pixels \(50x30\).*now it is 20x10; run"):
        source(photo(1, (10, 20)), name="a")
    with pytest.raises(DataError, match="dtype float64; expected uint8"):
        source(photo(1) / 255)


def test_it_goes_to_other_processes(stored):
    source = FromFile(stored, max_boxes=2)
    source(photo(1))
    again = pickle.loads(pickle.dumps(source))
    assert again == source
    assert len(again(photo(1))) == 2


def test_files_that_are_nothing_of_the_kind(tmp_path):
    with pytest.raises(NotFoundError, match="no such file of boxes"):
        FromFile(tmp_path / "none.parquet")
    (tmp_path / "boxes.txt").touch()
    with pytest.raises(SettingsError, match=r"expected a \.parquet .* a \.json .* \.mat"):
        FromFile(tmp_path / "boxes.txt")(photo())
    with pytest.raises(SettingsError, match="max_boxes is 0"):
        FromFile(tmp_path / "boxes.txt", max_boxes=0)
    with pytest.raises(SettingsError, match="only COCO results need annotations"):
        FromFile(tmp_path / "boxes.txt", images=tmp_path / "boxes.txt")


# -- DeconvNet's caches ----------------------------------------------------------------------------


def test_padding_of_deconvnet_is_undone(tmp_path):
    """Crops of the padded photo, as the release's inference takes them, are our boxes'."""
    image = photo(3)
    padded = np.zeros((HEIGHT + 2 * WIDTH, WIDTH + 2 * HEIGHT, 3), np.uint8)
    padded[WIDTH : WIDTH + HEIGHT, HEIGHT : HEIGHT + WIDTH] = image
    # in MATLAB: the whole photo, its first pixel, a box within, one over its corner, all of it
    rows = np.array(
        [
            [HEIGHT + 1, WIDTH + 1, HEIGHT + WIDTH, WIDTH + HEIGHT],
            [HEIGHT + 1, WIDTH + 1, HEIGHT + 1, WIDTH + 1],
            [HEIGHT + 5, WIDTH + 7, HEIGHT + 20, WIDTH + 12],
            [HEIGHT - 10, WIDTH - 20, HEIGHT + 6, WIDTH + 3],
            [1, 1, WIDTH + 2 * HEIGHT, HEIGHT + 2 * WIDTH],
        ],
        np.float64,
    )
    savemat(tmp_path / "2007 é.mat", {"boxes_padded": rows, "other": 1})
    source = FromFile(tmp_path)
    found = source(image, name="2007 é")
    assert found.boxes[:3].tolist() == [[0, 0, WIDTH, HEIGHT], [0, 0, 1, 1], [4, 6, 20, 12]]
    assert found.boxes[4].tolist() == [-HEIGHT, -WIDTH, WIDTH + HEIGHT, HEIGHT + WIDTH]
    np.testing.assert_allclose(found.scores, [1, 0.8, 0.6, 0.4, 0.2])
    for (x1, y1, x2, y2), box in zip(rows.astype(int), found.boxes.astype(int), strict=True):
        crop = padded[y1 - 1 : y2, x1 - 1 : x2]  # their inclusive, one-based indexing
        left, top, right, bottom = box + np.array([HEIGHT, WIDTH] * 2)
        np.testing.assert_array_equal(crop, padded[top:bottom, left:right])
    assert len(FromFile(tmp_path, max_boxes=2)(image, name="2007 é")) == 2


def test_no_boxes_in_a_cache(tmp_path):
    savemat(tmp_path / "a.mat", {"boxes_padded": np.zeros((0, 4))})
    assert len(FromFile(tmp_path)(photo(), name="a")) == 0


def test_settings_of_a_folder_depend_on_its_files(tmp_path):
    savemat(tmp_path / "a.mat", {"boxes_padded": np.ones((1, 4))})
    before = FromFile(tmp_path).settings()
    assert before["files"] == 1
    savemat(tmp_path / "a.mat", {"boxes_padded": np.ones((2, 4))})
    assert FromFile(tmp_path).settings() != before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"boxes": np.ones((1, 4))}, "has no boxes_padded"),
        ({"boxes_padded": np.ones((4, 5))}, r"shape \(4, 5\) .*expected \(K, 4\)"),
        ({"boxes_padded": "text"}, "has no boxes_padded of numbers"),
        (
            {"boxes_padded": [[0, 1, 5, 5]]},
            r"\[0\.0, 1\.0, 5\.0, 5\.0\] in row 1; expected 1 <= x1",
        ),
        ({"boxes_padded": [[9, 9, 20, 20], [9, 9, 8, 20]]}, "in row 2"),
        ({"boxes_padded": [[1, 1, 111, 5]]}, r"<= 110 .*the photo is 50x30. Are these the boxes"),
        ({"boxes_padded": [[1, 1, np.nan, 5]]}, "in row 1"),
    ],
)
def test_caches_that_are_wrong(tmp_path, content, message):
    savemat(tmp_path / "a.mat", content)
    with pytest.raises(DataError, match=message):
        read_deconvnet_boxes(tmp_path / "a.mat", height=HEIGHT, width=WIDTH)


def test_caches_that_are_no_matlab_files(tmp_path):
    with pytest.raises(NotFoundError, match=r"b\.mat: no such file; expected one NAME\.mat"):
        FromFile(tmp_path)(photo(), name="b")
    with pytest.raises(DataError, match=r"finds photos by their names; pass name="):
        FromFile(tmp_path)(photo())
    savemat(tmp_path / "a.mat", {"boxes_padded": np.ones((99, 4))}, do_compression=True)
    content = (tmp_path / "a.mat").read_bytes()
    for bad in (b"", b"text", content[:150], content[:200]):
        (tmp_path / "a.mat").write_bytes(bad)
        with pytest.raises(DataError, match=r"a\.mat"):
            FromFile(tmp_path)(photo(), name="a")
    (tmp_path / "a.mat").write_bytes(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400))
    with pytest.raises(DataError, match=r"version 7\.3; save it with"):
        FromFile(tmp_path)(photo(), name="a")


# -- COCO ------------------------------------------------------------------------------------------


def write_json(path: Path, content) -> Path:
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def result(image_id, *bbox, score=0.5):
    return {"image_id": image_id, "category_id": 1, "bbox": list(bbox), "score": score}


IMAGES = [
    {"id": 7, "file_name": "größe.jpg", "height": HEIGHT, "width": WIDTH},
    {"id": 8, "file_name": "train/b.jpg"},
    {"id": 9, "file_name": "empty.png"},
]


def test_coco_results_by_number(tmp_path):
    entries = [
        result(139, 1, 2, 3, 4, score=0.1),
        result(139, 5, 6.5, 10, 20, score=0.9),
        result(139, 5, 5, 0, 3),
        result("street", 0, 0, 9, 9),
    ]
    source = FromFile(write_json(tmp_path / "results.json", entries))
    for name in ("000000000139", "COCO_val2014_000000000139", "139"):
        found = source(photo(), name=name)
        assert found.boxes.tolist() == [[5, 6.5, 15, 26.5], [1, 2, 4, 6]]
        np.testing.assert_allclose(found.scores, [0.9, 0.1])
    assert len(source(photo(), name="street")) == 1
    with pytest.raises(DataError, match=r"no boxes of a photo '140'; if its image_id is another"):
        source(photo(), name="140")
    with pytest.raises(DataError, match=r"pass name="):
        source(photo())
    assert source.settings()["kind"] == "CocoBoxes"


def test_coco_results_with_names_of_annotations(tmp_path):
    results = write_json(tmp_path / "results.json", [result(8, 1, 2, 3, 4), result(7, 0, 0, 2, 2)])
    images = write_json(tmp_path / "instances.json", {"images": IMAGES})
    source = FromFile(results, images=images)
    assert source(photo(), name="b").boxes.tolist() == [[1, 2, 4, 6]]
    assert source(photo(), name="größe").boxes.tolist() == [[0, 0, 2, 2]]
    assert len(source(photo(), name="empty")) == 0  # known, and nothing was found there
    with pytest.raises(DataError, match=r"no boxes of a photo '8'$"):
        source(photo(), name="8")
    with pytest.raises(DataError, match=r"'größe' is 50x30 there, but the one given is 20x10"):
        source(photo(size=(10, 20)), name="größe")
    assert source.settings() != FromFile(results).settings()
    assert len(pickle.loads(pickle.dumps(source))(photo(), name="b")) == 1


def test_coco_annotations(tmp_path):
    annotations = [
        {"image_id": 7, "bbox": [1, 2, 3, 4], "area": 5},
        {"image_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        {"image_id": 7, "bbox": [0, 0, 9, 9], "iscrowd": 0},
    ]
    path = write_json(tmp_path / "a.json", {"images": IMAGES, "annotations": annotations})
    found = FromFile(path)(photo(), name="größe")
    assert found.boxes.tolist() == [[1, 2, 4, 6], [0, 0, 9, 9]]
    assert found.scores.tolist() == [1, 1]
    assert len(FromFile(path)(photo(), name="b")) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": []}, r"expected COCO results \(a list\) or annotations"),
        ("text", "expected COCO results"),
        ([{"bbox": [1, 2, 3, 4]}], r"entry 0 is not a box \(KeyError: 'image_id'\)"),
        ([result(1, 1, 2, 3, 4), result(1, 1, 2, 3)], "entry 1 is not a box"),
        ([result(1, 1, 2, 3, "wide")], "entry 0 is not a box"),
        (["box"], "entry 0 is not a box"),
        ([result(1, 1, 2, 3, 4, score=None)], "entry 0 is not a box"),
        ([result(1, 1, 2, float("nan"), 4)], "NaN is no JSON"),
        ({"images": [{"id": 1}], "annotations": []}, r"images\[0\] lacks id or file_name"),
        (
            {
                "images": [{"id": 1, "file_name": "a/x.jpg"}, {"id": 2, "file_name": "b/x.jpg"}],
                "annotations": [],
            },
            "two images are called 'x'",
        ),
    ],
)
def test_json_that_is_not_coco(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        FromFile(write_json(tmp_path / "a.json", content))(photo(), name="1")


def test_truncated_json(tmp_path):
    path = write_json(tmp_path / "a.json", [result(1, 1, 2, 3, 4)] * 9)
    path.write_text(path.read_text()[:200])
    with pytest.raises(DataError, match=r"a\.json: truncated or not JSON"):
        FromFile(path)(photo(), name="1")
    results = write_json(tmp_path / "b.json", [])
    with pytest.raises(DataError, match=r"expected COCO annotations: an object with images"):
        FromFile(results, images=results)(photo(), name="1")
