"""BSDS500's layouts, and what is wrong with damaged ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from upscore.data.formats.bsds import find_bsds
from upscore.errors import DataError, NotFoundError


def write_photo(path: Path, size: tuple[int, int] = (20, 13)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 120, 30)).save(path)


def write_npz(path: Path, boundaries: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, boundaries=np.packbits(boundaries, axis=-1), shape=np.array(boundaries.shape))


@pytest.fixture
def boundaries() -> np.ndarray:
    return np.random.default_rng(0).random((3, 13, 20)) < 0.2


def test_packed_boundaries_are_read_as_written(tmp_path: Path, boundaries: np.ndarray) -> None:
    for name in ("ä 2", "1"):
        write_photo(tmp_path / "train" / f"{name}.jpg")
        write_npz(tmp_path / "train" / f"{name}.npz", boundaries)
    splits = find_bsds(tmp_path)
    assert [image.name for image in splits["train"]] == ["1", "ä 2"]
    assert splits["train"][0].read_image().shape == (13, 20, 3)
    np.testing.assert_array_equal(splits["train"][0].read_boundaries(), boundaries)


def test_berkeleys_archive(tmp_path: Path, boundaries: np.ndarray) -> None:
    data = tmp_path / "BSDS500" / "data"
    write_photo(data / "images" / "val" / "7.jpg")
    cells = np.empty((1, 3), dtype=object)
    for i, one in enumerate(boundaries):
        cells[0, i] = {"Boundaries": one.astype(np.uint8), "Segmentation": one.astype(np.uint16)}
    (data / "groundTruth" / "val").mkdir(parents=True)
    savemat(data / "groundTruth" / "val" / "7.mat", {"groundTruth": cells})
    (image,) = find_bsds(tmp_path)["val"]
    np.testing.assert_array_equal(image.read_boundaries(), boundaries)


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no such folder"):
        find_bsds(tmp_path / "nowhere")


def test_no_photos(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="no photos of BSDS500"):
        find_bsds(tmp_path)


def test_photo_without_boundaries(tmp_path: Path) -> None:
    write_photo(tmp_path / "train" / "1.jpg")
    with pytest.raises(DataError, match=r"1\.jpg: no boundaries 1\.npz or 1\.mat"):
        find_bsds(tmp_path)


@pytest.mark.parametrize("suffix", [".npz", ".mat"])
def test_damaged_boundaries(tmp_path: Path, suffix: str) -> None:
    write_photo(tmp_path / "train" / "1.jpg")
    (tmp_path / "train" / f"1{suffix}").write_bytes(b"no such thing, and no more of it" * 9)
    (image,) = find_bsds(tmp_path)["train"]
    with pytest.raises(DataError, match=rf"1\{suffix}: (is )?not a.* that can be read"):
        image.read_boundaries()


def test_no_annotators(tmp_path: Path) -> None:
    write_photo(tmp_path / "train" / "1.jpg")
    write_npz(tmp_path / "train" / "1.npz", np.zeros((0, 13, 20), dtype=bool))
    (image,) = find_bsds(tmp_path)["train"]
    with pytest.raises(DataError, match="expected \\(annotators, H, W\\)"):
        image.read_boundaries()


@pytest.mark.real
def test_real_photos(real_data: Path) -> None:
    splits = find_bsds(real_data / "bsds500")
    assert {name: len(images) for name, images in splits.items()} == {"train": 200, "val": 100}
    for image in splits["val"][:5]:
        boundaries = image.read_boundaries()
        assert boundaries.shape[1:] == image.read_image().shape[:2]
        assert 0.001 < boundaries.mean() < 0.2
