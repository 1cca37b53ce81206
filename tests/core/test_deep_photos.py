"""Photos of more than 8 bits, of many bands, and files that are images whatever their name."""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from upscore.core.image_files import is_image
from upscore.core.images import (
    common_range,
    image_size,
    num_pages,
    photo_turn,
    read_image,
    read_mask,
)
from upscore.core.photo_values import PhotoValues, eight_bits, joined, range_of
from upscore.errors import DataError, NotFoundError

Array = npt.NDArray[Any]
TWELVE = PhotoValues((0.0, 4095.0))
STEPS = (np.arange(6 * 5) * 140).astype(np.uint16).reshape(6, 5)  # up to 4060 of 4095


def write_tiff(
    path: Path,
    values: Array,
    *,
    order: str = "<",
    photometric: int = 1,
    deflate: bool = False,
    differences: bool = False,
    separate: bool = False,
    tags: dict[int, tuple[str, list[Any]]] | None = None,
) -> Path:
    """A TIFF of (H, W, bands), strips of four rows, as Pillow cannot write it."""
    height, width, bands = values.shape
    blocks = []
    for plane in range(bands) if separate else [slice(None)]:
        for top in range(0, height, 4):
            block = values[top : top + 4, :, plane].reshape(-1, width, 1 if separate else bands)
            if differences:
                block = np.concatenate([block[:, :1], np.diff(block, axis=1)], axis=1)
            raw = block.astype(values.dtype.newbyteorder(order)).tobytes()
            blocks.append(zlib.compress(raw) if deflate else raw)
    sizes = [len(block) for block in blocks]
    entries: dict[int, tuple[str, list[Any]]] = {
        256: ("I", [width]), 257: ("I", [height]), 258: ("H", [8 * values.itemsize] * bands),
        259: ("H", [8 if deflate else 1]), 262: ("H", [photometric]),
        273: ("I", [8 + sum(sizes[:place]) for place in range(len(sizes))]),
        277: ("H", [bands]), 278: ("I", [4]), 279: ("I", sizes),
        284: ("H", [2 if separate else 1]), 317: ("H", [2 if differences else 1]),
        339: ("H", [{"u": 1, "i": 2, "f": 3}[values.dtype.kind]] * bands),
    } | (tags or {})  # fmt: skip
    start = 8 + sum(sizes)
    behind = start + 6 + 12 * len(entries)
    table, more = struct.pack(f"{order}H", len(entries)), b""
    for tag, (kind, items) in sorted(entries.items()):
        data = struct.pack(f"{order}{len(items)}{kind}", *items)
        number = {"H": 3, "I": 4, "f": 11, "h": 8}[kind]
        place = (
            data.ljust(4, b"\0") if len(data) <= 4 else struct.pack(f"{order}I", behind + len(more))
        )
        more += data if len(data) > 4 else b""
        table += struct.pack(f"{order}HHI", tag, number, len(items)) + place
    magic = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", start)
    path.write_bytes(magic + b"".join(blocks) + table + bytes(4) + more)
    return path


def write_figure(path: Path, values: Array) -> Path:
    """A PNG of 16 bits a channel, (H, W, 2 to 4), as Pillow cannot write it."""
    height, width, bands = values.shape

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[bands], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )  # fmt: skip
    return path


def saved(path: Path, values: Array, **options: Any) -> Path:
    Image.fromarray(values).save(path, **options)
    return path


# --- range ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([3, 200], np.uint16), (0, 255)),
        (np.array([3, 511], np.uint16), (0, 511)),
        (np.array([900, 3000], np.uint16), (0, 4095)),
        (np.array([900, 40000], np.uint16), (0, 65535)),
        (np.array([-1000, 2000], np.int32), (-1000, 2000)),
        (np.array([0.25, np.nan, np.inf], np.float32), (0, 1)),
        (np.array([0.5, 254.0], np.float32), (0, 255)),
        (np.array([-0.5, 0.5], np.float32), (-0.5, 0.5)),
        (np.array([np.nan], np.float32), (0, 1)),
        (np.array([-7, -7], np.int32), (-7, -6)),
    ],
)
def test_range_of_values(values: Array, expected: tuple[float, float]) -> None:
    assert range_of(values) == expected


def test_missing_values_do_not_count_and_are_black() -> None:
    values = np.array([-9999.0, 0.5, 1.0], np.float32)
    assert range_of(values, nodata=-9999) == (0, 1)
    assert eight_bits(values, (0.0, 1.0), -9999).tolist() == [0, 128, 255]
    assert eight_bits(np.array([-5, 900], np.int32), (0.0, 1000.0), 900).tolist() == [0, 0]


def test_a_range_may_be_larger_than_any_integer() -> None:
    for dtype in (np.uint8, np.uint16, np.int32):
        assert eight_bits(np.array([0, 200], dtype), (0.0, 1e300)).tolist() == [0, 0]
        assert eight_bits(np.array([0, 200], dtype), (-1e300, 1e300)).tolist() == [128, 128]


@pytest.mark.parametrize(
    "values",
    [PhotoValues(), TWELVE, PhotoValues((-0.5, 0.5), (3, 2, 1)), PhotoValues(bands=(1,)),
     PhotoValues((0.0, 3e38))],
)  # fmt: skip
def test_values_of_photos_are_kept_as_json(values: PhotoValues) -> None:
    assert PhotoValues.from_json(json.loads(json.dumps(values.to_json()))) == values


def test_a_set_has_one_range() -> None:
    assert joined([(0.0, 1023.0), (-5.0, 900.0)]) == (-5, 1023)
    assert joined([]) is None
    assert joined(iter([(0.0, 65535.0)] + [(0.0, 4095.0)] * 3)) == (0, 65535)


def test_what_is_told() -> None:
    assert str(TWELVE) == "photos have 12 of 16 bits: values 0..4095 are taken as black to white"
    assert "more than 8 bits: values -1024..3071 are" in str(PhotoValues((-1024.0, 3071.0)))
    assert str(PhotoValues()) == str(PhotoValues((0.0, 65535.0))) == ""


# --- reading --------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_twelve_bits_keep_their_steps(tmp_path: Path, suffix: str) -> None:
    path = saved(tmp_path / f"a.{suffix}", STEPS)
    for values in (PhotoValues(), TWELVE):
        image = read_image(path, values=values)
        np.testing.assert_array_equal(image, np.repeat(STEPS[..., None] >> 4, 3, axis=2))
    assert read_image(path, values=PhotoValues((0.0, 8191.0)))[5, 4, 0] == 4060 >> 5


@pytest.mark.parametrize("bands", [2, 3, 4])
def test_sixteen_bit_colours_and_alpha(tmp_path: Path, bands: int) -> None:
    values = np.stack([STEPS + band for band in range(bands)], axis=2)
    if bands != 3:
        values[..., -1] = 4095
        values[0, 0, -1] = 0
    image = read_image(write_figure(tmp_path / "a.png", values))
    expected = values[..., : 3 if bands > 2 else 1] >> 4
    assert image[0, 0].tolist() == ([255] * 3 if bands != 3 else [0] * 3)
    np.testing.assert_array_equal(image[1:], np.broadcast_to(expected, image.shape)[1:])


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_colours_of_tiff(tmp_path: Path, order: str) -> None:
    values = np.stack([STEPS, STEPS[::-1], STEPS[:, ::-1]], axis=2)
    path = write_tiff(tmp_path / "a.tif", values, order=order, photometric=2)
    np.testing.assert_array_equal(read_image(path), values >> 4)


@pytest.mark.parametrize("dtype", [np.int16, np.int32])
def test_negative_numbers_are_not_cut(tmp_path: Path, dtype: type[Any]) -> None:
    values = (STEPS.astype(np.int32) - 1024).astype(dtype)
    path = write_tiff(tmp_path / "a.tif", values[..., None])
    assert common_range([path]) == (-1024, 3036)
    expected = (values.astype(int) + 1024) * 256 // 4061
    np.testing.assert_array_equal(read_image(path)[..., 0], expected)
    window = read_image(path, values=PhotoValues((0.0, 255.0)))  # as chosen for soft tissue
    np.testing.assert_array_equal(window[..., 0], np.clip(values, 0, 255))


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32])
def test_low_values_may_be_light(tmp_path: Path, dtype: type[Any]) -> None:
    path = write_tiff(tmp_path / "a.tif", STEPS[..., None].astype(dtype), photometric=0)
    np.testing.assert_array_equal(read_image(path)[..., 0], 255 - (STEPS >> 4))


def test_tags_say_the_range(tmp_path: Path) -> None:
    dark = STEPS[..., None] // 100
    limits = {280: ("H", [0]), 281: ("H", [4095])}
    assert common_range([write_tiff(tmp_path / "a.tif", dark, tags=limits)]) == (0, 4095)
    signed = {340: ("h", [-100]), 341: ("h", [100])}
    path = write_tiff(tmp_path / "b.tif", dark.astype(np.int16), tags=signed)
    assert common_range([path]) == (-100, 100)


def test_files_of_a_set_share_their_range(tmp_path: Path) -> None:
    dark, light = saved(tmp_path / "a.png", STEPS // 8), saved(tmp_path / "b.png", STEPS)
    plain = saved(tmp_path / "c.png", STEPS.astype(np.uint8))
    damaged = tmp_path / "d.tif"
    damaged.write_bytes(b"II*\0 damaged")
    limits = common_range([dark, light, plain, damaged, tmp_path / "absent.png"])
    assert limits == (0, 4095)
    assert common_range([plain]) is None
    np.testing.assert_array_equal(
        read_image(dark, values=PhotoValues(limits))[..., 0], STEPS // 8 >> 4
    )
    np.testing.assert_array_equal(
        read_image(plain, values=PhotoValues(limits))[..., 0], STEPS.astype(np.uint8)
    )


def test_fractions_beside_large_numbers_are_refused(tmp_path: Path) -> None:
    """They would be black by the range of all files together."""
    fractions = (STEPS / 4096).astype(np.float32)
    Image.fromarray(fractions).save(tmp_path / "a.tif")
    Image.fromarray(STEPS).save(tmp_path / "b.png")
    limits = common_range([tmp_path / "a.tif", tmp_path / "b.png"])
    assert limits == (0, 4095)
    with pytest.raises(DataError, match=r"a\.tif: holds fractions from 0 to 1, and 0\.\.4095 is"):
        read_image(tmp_path / "a.tif", values=PhotoValues(limits))
    assert read_image(tmp_path / "b.png", values=PhotoValues(limits)).max() == 253
    assert read_image(tmp_path / "a.tif", values=PhotoValues((0, 1))).max() > 200
    Image.fromarray(np.zeros((6, 5), np.float32)).save(tmp_path / "dark.tif")
    assert read_image(tmp_path / "dark.tif", values=PhotoValues(limits)).max() == 0


def test_a_deep_photo_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = saved(tmp_path / "a.png", STEPS, exif=exif)
    np.testing.assert_array_equal(read_image(path)[..., 0], np.rot90(STEPS >> 4, -1))


# --- bands ----------------------------------------------------------------------------------------

FIVE = np.random.default_rng(0).integers(0, 200, (6, 5, 5)).astype(np.uint8)
CHOSEN = PhotoValues(bands=(5, 3, 1))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "layout",
    [{}, {"deflate": True}, {"deflate": True, "differences": True}, {"separate": True},
     {"photometric": 2, "tags": {338: ("H", [0, 0])}}],
)  # fmt: skip
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_chosen_bands_of_many(
    tmp_path: Path, order: str, layout: dict[str, Any], dtype: type[Any]
) -> None:
    if dtype == np.float32:
        layout = layout | {"differences": False}
    path = write_tiff(tmp_path / "a.tif", FIVE.astype(dtype), order=order, **layout)
    np.testing.assert_array_equal(read_image(path, values=CHOSEN), FIVE[..., [4, 2, 0]])
    grey = read_image(path, values=PhotoValues(bands=(2,)))
    np.testing.assert_array_equal(grey, np.repeat(FIVE[..., 1:2], 3, axis=2))
    with pytest.raises(DataError, match=r"a\.tif: has 5 bands; say which.*bands: \[3, 2, 1\]"):
        read_image(path)
    with pytest.raises(DataError, match=r"has 5 bands, but bands \[1, 2, 6\] are wanted"):
        read_image(path, values=PhotoValues(bands=(1, 2, 6)))


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("extra", [None, 0, 1, 2])
def test_two_bands(tmp_path: Path, dtype: type[Any], photometric: int, extra: int | None) -> None:
    """Grey and alpha where the file says so; else the bands must be chosen."""
    values = FIVE[..., :2].astype(dtype)
    values[..., 1] = 255  # nothing shows through
    tags = {} if extra is None else {338: ("H", [extra])}
    path = write_tiff(tmp_path / "a.tif", values, photometric=photometric, tags=tags)
    grey = values[..., 0].astype(int)
    grey = grey if photometric == 1 else 255 - grey
    chosen = read_image(path, values=PhotoValues(bands=(1,)))
    np.testing.assert_array_equal(chosen[..., 0], grey)
    if extra in (1, 2):
        np.testing.assert_array_equal(read_image(path)[..., 0], grey)
    else:
        with pytest.raises(DataError, match=r"a\.tif: has 2 bands; say which"):
            read_image(path)


def test_bands_of_ordinary_files(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", FIVE[..., :3])
    backwards = read_image(path, values=PhotoValues(bands=(3, 2, 1)))
    np.testing.assert_array_equal(backwards, FIVE[..., 2::-1])
    fourth = saved(tmp_path / "b.png", FIVE[..., :4])
    image = read_image(fourth, values=PhotoValues(bands=(4, 1, 2)))
    np.testing.assert_array_equal(image, FIVE[..., [3, 0, 1]])


def test_three_bands_of_floats(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a.tif", FIVE[..., :3].astype(np.float32) / 255)
    np.testing.assert_array_equal(read_image(path), FIVE[..., :3])


@pytest.mark.parametrize("size", [40, 100, 150, 190, 260])
def test_many_bands_that_are_cut_off(tmp_path: Path, size: int) -> None:
    path = write_tiff(tmp_path / "a.tif", FIVE, deflate=True)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(DataError, match=r"a\.tif: "):
        read_image(path, values=CHOSEN)


# --- which files are images -----------------------------------------------------------------------


def test_an_image_is_one_whatever_its_name(tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 3))
    for name, kind in (("a", "JPEG"), ("b.dat", "PNG"), ("c.txt", "TIFF"), ("d.jfif", "JPEG")):
        picture.save(tmp_path / name, format=kind)
        assert is_image(tmp_path / name)
        assert read_image(tmp_path / name).shape == (3, 4, 3)
    (tmp_path / "damaged.JP2").write_bytes(b"nothing")  # refused by name when it is read
    assert is_image(tmp_path / "damaged.JP2")
    for name, content in (
        ("n.txt", b"P5 notes"),
        ("n", b""),
        ("BM", b"BM, a text"),
        ("z", b"%PDF"),
    ):
        (tmp_path / name).write_bytes(content)
        assert not is_image(tmp_path / name)
    assert not is_image(tmp_path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_16_bits_in_planes_of_their_own(tmp_path: Path, order: str) -> None:
    values = np.stack([STEPS * 16, STEPS * 8, STEPS[::-1] * 16], axis=2)
    path = write_tiff(tmp_path / "a.tif", values, order=order, photometric=2, separate=True)
    image = read_image(path, values=PhotoValues((0.0, 65535.0)))
    assert np.abs(image - values / 257).max() <= 1


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    for name in ("pipe", "pipe.jpg"):
        os.mkfifo(tmp_path / name)
    assert not is_image(tmp_path / "pipe")
    os.mkfifo(tmp_path / "pipe.png")
    for read in (read_image, photo_turn, read_mask, image_size, num_pages):
        for name in ("pipe.jpg", "pipe.png"):
            with pytest.raises(DataError, match="is a pipe or device"):
                read(tmp_path / name)
    assert common_range([tmp_path / "pipe.png"]) is None


def test_a_link_that_leads_nowhere_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    with pytest.raises(
        NotFoundError, match=r"a\.jpg: is a link to .*gone\.jpg, which is not there"
    ):
        read_image(tmp_path / "a.jpg")
