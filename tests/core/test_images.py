"""Photos and masks of every kind that people have, and files that are none."""

from __future__ import annotations

import concurrent.futures
import errno
import io
import os
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import PIL
import pytest
from PIL import Image, TiffImagePlugin

from new_process import run_python
from upscore.core import images
from upscore.core.images import (
    INPUT_SPECS,
    InputSpec,
    image_size,
    num_pages,
    read_image,
    read_mask,
    write_image,
    write_label_map,
)
from upscore.core.labels import VOC_LABELS, Labels
from upscore.errors import DataError, NotFoundError, OutputError, SettingsError, WorkError

RAMP = np.linspace(0, 255, 12 * 16).astype(np.uint8).reshape(12, 16)


def save(path: Path, picture: Image.Image, **options: object) -> Path:
    picture.save(path, **options)
    return path


# --- photos ---------------------------------------------------------------------------------------


YCBCR = pytest.param(
    "YCbCr",
    marks=pytest.mark.skipif(
        int(PIL.__version__.split(".")[0]) < 13,
        reason="Pillow before 13 cannot read the YCbCr TIFF that it writes",
    ),
)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA", "CMYK", YCBCR, "LAB"])
def test_modes_become_rgb(tmp_path: Path, mode: str) -> None:
    suffix = "tif" if mode in ("CMYK", "YCbCr", "LAB") else "png"
    source = Image.new("RGB", (16, 12), (200, 40, 90))
    if mode == "LAB":
        from PIL import ImageCms

        lab = ImageCms.createProfile("LAB")
        picture = ImageCms.profileToProfile(source, ImageCms.createProfile("sRGB"), lab,
                                            outputMode="LAB")  # fmt: skip
        assert picture is not None
    elif mode == "P":
        picture = source.convert("P", palette=Image.Palette.ADAPTIVE)
    else:
        picture = source.convert(mode)
    image = read_image(save(tmp_path / f"a.{suffix}", picture))
    assert image.shape == (12, 16, 3)
    assert image.dtype == np.uint8
    assert image.flags.writeable
    if mode not in ("L", "LA", "1"):
        assert np.abs(image.astype(int) - (200, 40, 90)).max() <= 12


def test_large_photos_become_arrays_in_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equal values, and without the copies that Pillow makes of what it hands over."""
    want = np.random.default_rng(0).integers(0, 256, (500, 301, 3), dtype=np.uint8)
    picture = Image.fromarray(want)
    monkeypatch.setattr(images, "BAND_PIXELS", 301 * 50 + 5)
    tracemalloc.start()
    try:
        got = images.to_rgb(picture)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert np.array_equal(got, want)
    assert got.flags.writeable
    assert got.flags.owndata
    assert peak < 1.4 * want.nbytes


@pytest.mark.parametrize(
    ("height", "width", "num"), [(10, 7, 5), (11, 7, 6), (3, 99, 3), (1, 1, 1)]
)
def test_bands_cover_all_rows(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int, num: int
) -> None:
    monkeypatch.setattr(images, "BAND_PIXELS", 20)
    bands = list(images.row_bands(height, width))
    assert [row for band in bands for row in range(height)[band]] == list(range(height))
    assert len(bands) == num


def test_grey_keeps_its_values(tmp_path: Path) -> None:
    image = read_image(save(tmp_path / "a.png", Image.fromarray(RAMP)))
    np.testing.assert_array_equal(image, np.repeat(RAMP[..., None], 3, axis=2))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_takes_the_high_byte(tmp_path: Path, suffix: str) -> None:
    wide = RAMP.astype(np.uint16) * 257
    image = read_image(save(tmp_path / f"a.{suffix}", Image.fromarray(wide)))
    np.testing.assert_array_equal(image[..., 0], RAMP)


def test_thirty_two_bit_grey(tmp_path: Path) -> None:
    deep = read_image(save(tmp_path / "a.tif", Image.fromarray(RAMP.astype(np.int32) * 257)))
    np.testing.assert_array_equal(deep[..., 0], RAMP)
    shallow = read_image(save(tmp_path / "b.tif", Image.fromarray(RAMP.astype(np.int32))))
    np.testing.assert_array_equal(shallow[..., 0], RAMP)


def test_float_grey_in_either_range(tmp_path: Path) -> None:
    unit = RAMP.astype(np.float32) / 255
    unit[0, 0] = np.nan
    first = read_image(save(tmp_path / "a.tif", Image.fromarray(unit)))
    np.testing.assert_array_equal(first[..., 1].ravel()[1:], RAMP.ravel()[1:])
    second = read_image(save(tmp_path / "b.tif", Image.fromarray(RAMP.astype(np.float32))))
    np.testing.assert_array_equal(second[..., 2], RAMP)


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, 0] = (255, 0, 0, 255)
    rgba[0, 1] = (255, 0, 0, 0)
    rgba[0, 2] = (0, 0, 0, 128)
    image = read_image(save(tmp_path / "a.png", Image.fromarray(rgba)))
    assert image[0, 0].tolist() == [255, 0, 0]
    assert image[0, 1].tolist() == [255, 255, 255]
    assert abs(int(image[0, 2, 0]) - 127) <= 1


def test_transparent_palette_colour(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1]], np.uint8))
    picture.putpalette([10, 20, 30, 200, 100, 50])
    image = read_image(save(tmp_path / "a.png", picture, transparency=0))
    assert image[0].tolist() == [[255, 255, 255], [200, 100, 50]]


def test_cmyk_jpeg(tmp_path: Path) -> None:
    picture = Image.new("RGB", (16, 12), (30, 160, 70)).convert("CMYK")
    image = read_image(save(tmp_path / "a.jpg", picture, quality=95))
    assert np.abs(image.astype(int) - (30, 160, 70)).max() <= 12


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, 1),
}


@pytest.mark.parametrize("orientation", TURNS)
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    stored = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.png", Image.fromarray(stored), exif=exif)
    image = read_image(path)
    np.testing.assert_array_equal(image, TURNS[orientation](stored))
    assert image_size(path) == image.shape[:2]


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_exif_orientation_of_no_meaning(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / "a.jpg", Image.new("RGB", (16, 12)), exif=exif)
    assert read_image(path).shape == (12, 16, 3)
    assert image_size(path) == (12, 16)


def test_broken_exif_is_no_reason_to_refuse_a_photo(tmp_path: Path) -> None:
    path = save(
        tmp_path / "a.jpg", Image.new("RGB", (16, 12)), exif=b"Exif\0\0II*\0\xff\xff\xff\xff"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        assert read_image(path).shape == (12, 16, 3)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif", "avif"])
def test_files_of_several_pictures_are_read_by_page(tmp_path: Path, suffix: str) -> None:
    if f".{suffix}" not in Image.registered_extensions():
        pytest.skip(f"this Pillow does not write .{suffix}")
    colours = ((255, 0, 0), (0, 255, 0), (0, 0, 255))
    frames = [Image.new("RGB", (8, 8), colour) for colour in colours]
    path = save(tmp_path / f"a.{suffix}", frames[0], save_all=True, append_images=frames[1:])
    assert num_pages(path) == 3
    with pytest.raises(DataError, match=r"holds 3 pages or frames.*predict --pages"):
        read_image(path)
    with pytest.raises(DataError, match=r"holds 3 pages, and a mask is one"):
        read_mask(path)
    for page, colour in enumerate(colours):
        assert np.abs(read_image(path, page=page)[4, 4].astype(int) - colour).max() < 8
    with pytest.raises(DataError, match="has no page 4; it holds 3"):
        read_image(path, page=3)


def test_previews_are_no_pages(tmp_path: Path) -> None:
    """Phones store a second, smaller picture; so do maps, for zooming."""
    large, small = Image.new("RGB", (16, 12), (9, 9, 9)), Image.new("RGB", (8, 6))
    phone = save(tmp_path / "a.jpg", large, format="MPO", save_all=True, append_images=[small])
    assert read_image(phone).shape == (12, 16, 3)
    atlas = tmp_path / "a.tif"
    with TiffImagePlugin.AppendingTiffWriter(str(atlas), True) as file:
        large.save(file, "TIFF")
        file.newFrame()
        small.save(file, "TIFF", tiffinfo={254: 1})
        file.newFrame()
    assert Image.open(atlas).n_frames == 2  # type: ignore[attr-defined]
    assert num_pages(atlas) == 1
    assert read_image(atlas).shape == (12, 16, 3)


def test_one_pixel(tmp_path: Path) -> None:
    assert read_image(save(tmp_path / "a.png", Image.new("RGB", (1, 1)))).shape == (1, 1, 3)


def test_non_ascii_path_with_spaces(tmp_path: Path) -> None:
    path = tmp_path / "Ünï cødé 写真" / "ø 1.png"
    write_image(path, np.zeros((2, 3, 3), np.uint8))
    assert read_image(path).shape == (2, 3, 3)


def test_threads_may_read_together(tmp_path: Path) -> None:
    paths = []
    for i in range(12):
        paths.append(save(tmp_path / f"{i}.png", Image.new("RGB", (40, 30), (i, i, i))))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for i, image in enumerate(pool.map(read_image, paths)):
            assert (image == i).all()


# --- files that are no photos ---------------------------------------------------------------------


def test_pixel_limit_is_checked_before_decoding(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.new("L", (50, 40)))
    path.write_bytes(path.read_bytes()[:60])  # the header only: decoding would fail
    for read in (read_image, read_mask, image_size):
        with pytest.raises(DataError, match=r"50x40 is .* over the limit .* --max-pixels 2000"):
            read(path, max_pixels=1999)
    assert image_size(path, max_pixels=2000) == (40, 50)


@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_pillows_own_limit_gives_way_to_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """It is a setting of the whole process, so it is the same afterwards."""
    path = save(tmp_path / f"a.{suffix}", Image.new("RGB", (50, 40)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 900)  # refuses pictures over 1800 pixels
    assert read_image(path, max_pixels=2000).shape == (40, 50, 3)
    assert Image.MAX_IMAGE_PIXELS == 900
    with pytest.raises(DataError, match=r"far over the limit .* --max-pixels"):
        read_image(path, max_pixels=1800)
    with pytest.raises(DataError, match=r"50x40 is .* over the limit"):
        read_image(path, max_pixels=1801)
    assert Image.MAX_IMAGE_PIXELS == 900


def test_importing_changes_nothing_in_the_process() -> None:
    """A host program keeps Pillow's guard against decompression bombs, and its own warnings."""
    code = (
        "import warnings, numpy; from PIL import Image; "
        "before = Image.MAX_IMAGE_PIXELS, list(warnings.filters); "
        "import upscore.core.images, upscore.core.memory, upscore.core.parallel.processes; "
        "print(before == (Image.MAX_IMAGE_PIXELS, list(warnings.filters)))"
    )
    assert run_python(code) == "True"


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
def test_truncated(tmp_path: Path, suffix: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    path = save(tmp_path / f"a.{suffix}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=rf"a\.{suffix}: .*replace or remove"):
        read_image(path)


def test_png_with_a_flipped_byte(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    path = save(tmp_path / "a.png", Image.fromarray(noise))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged or truncated"):
        read_image(path)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    for read in (read_image, read_mask, image_size):
        with pytest.raises(DataError, match=r"a\.jpg: is empty; replace or remove it"):
            read(tmp_path / "a.jpg")


def test_text_named_jpg(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_text("<html>not found</html>")
    with pytest.raises(DataError, match="is not an image that can be read"):
        read_image(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    ("number", "kind", "told"),
    [
        (errno.EIO, DataError, r"a\.png: cannot be read \(Input/output error\)"),
        (errno.EMFILE, WorkError, "too many files are open"),
    ],
)
def test_faults_of_the_system_are_not_those_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: type, told: str
) -> None:
    (tmp_path / "a.png").write_bytes(b"x")

    def fail(_path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(kind, match=told):
        read_image(tmp_path / "a.png")


def test_a_photo_that_is_not_recognised_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(tmp_path / "a.png", np.full((2, 3, 3), 7, np.uint8))
    real, fails = Image.open, [True]

    def fail_once(path: Path) -> Image.Image:
        if fails.pop():
            fails.append(False)
            raise PIL.UnidentifiedImageError
        return real(path)

    monkeypatch.setattr(Image, "open", fail_once)
    assert read_image(tmp_path / "a.png").tolist() == [[[7] * 3] * 3] * 2
    assert fails == []


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is a folder, not an image"):
        read_image(tmp_path)


def test_no_such_file(tmp_path: Path) -> None:
    for read in (read_image, read_mask, image_size):
        with pytest.raises(NotFoundError, match=r"a\.jpg: no such file"):
            read(tmp_path / "a.jpg")


# --- masks ----------------------------------------------------------------------------------------


def test_palette_masks_give_indices(tmp_path: Path) -> None:
    labels = np.array([[0, 1, 20], [255, 7, 3]], np.uint8)
    write_label_map(tmp_path / "a.png", labels, VOC_LABELS)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), labels)
    picture = Image.open(tmp_path / "a.png")
    assert picture.mode == "P"
    assert picture.convert("RGB").getpixel((1, 0)) == (128, 0, 0)
    assert picture.convert("RGB").getpixel((0, 1)) == (224, 224, 192)


@pytest.mark.parametrize(
    ("pixels", "shape"),
    [
        (RAMP, (12, 16)),
        (np.repeat(RAMP[..., None], 3, axis=2), (12, 16, 3)),
        (np.repeat(RAMP[..., None], 4, axis=2), (12, 16, 3)),
        (np.repeat(RAMP[..., None], 2, axis=2), (12, 16)),
        (RAMP.astype(np.uint16) * 257, (12, 16)),
    ],
    ids=["grey", "rgb", "rgba", "grey with alpha", "16 bit"],
)
def test_masks_as_stored(tmp_path: Path, pixels: np.ndarray, shape: tuple[int, ...]) -> None:
    mask = read_mask(save(tmp_path / "a.png", Image.fromarray(pixels)))
    assert mask.shape == shape
    expected = pixels[..., 0] if pixels.ndim == 3 and len(shape) == 2 else pixels
    np.testing.assert_array_equal(mask, expected[..., :3] if len(shape) == 3 else expected)
    assert mask.flags.writeable


def test_one_bit_masks_give_0_and_255(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", Image.fromarray(np.array([[True, False]])))
    assert read_mask(path).tolist() == [[255, 0]]


def test_masks_of_a_kind_that_cannot_be(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", Image.new("CMYK", (4, 4)))
    with pytest.raises(DataError, match="a mask of Pillow mode CMYK; save it as"):
        read_mask(path)


def test_masks_of_whole_floats(tmp_path: Path) -> None:
    path = save(tmp_path / "a.tif", Image.fromarray(np.array([[0, 7], [-9999, 300]], np.float32)))
    assert read_mask(path).tolist() == [[0, 7], [-9999, 300]]
    path = save(tmp_path / "b.tif", Image.fromarray(np.array([[0, 0.5]], np.float32)))
    with pytest.raises(DataError, match=r"no class numbers \(the first is 0\.5\)"):
        read_mask(path)


def test_masks_are_not_turned(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_mask(save(tmp_path / "a.png", Image.fromarray(RAMP), exif=exif)).shape == (12, 16)


# --- writing --------------------------------------------------------------------------------------


def test_write_image_by_suffix(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    for name, kind in (("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPEG", "JPEG")):
        write_image(tmp_path / "deep" / name, image)
        assert Image.open(tmp_path / "deep" / name).format == kind
    np.testing.assert_array_equal(read_image(tmp_path / "deep" / "a.png"), image)
    assert len(list((tmp_path / "deep").iterdir())) == 3


def test_write_of_a_view(tmp_path: Path) -> None:
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)[::2, ::-1]
    write_image(tmp_path / "a.png", image)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), image)


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_image(path, np.zeros((2, 2, 3), np.uint8))
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match="the disk is full"):
        write_label_map(path, np.ones((2, 2), np.uint8), Labels.of(["a", "b"]))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


# --- input specification --------------------------------------------------------------------------


def test_input_spec_normalises_in_the_network_order() -> None:
    torch = pytest.importorskip("torch")
    rgb = torch.tensor([10, 20, 30], dtype=torch.uint8).view(1, 3, 1, 1)
    spec = InputSpec("bgr", (1.0, 2.0, 3.0), (1.0, 2.0, 4.0))
    out = spec.apply(rgb)
    assert out.dtype == torch.float32
    assert out.flatten().tolist() == [29.0, 9.0, 1.75]


@pytest.mark.parametrize("name", INPUT_SPECS)
def test_input_spec_survives_json(name: str) -> None:
    import json

    spec = InputSpec.named(name)
    assert InputSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


def test_unknown_input_spec() -> None:
    with pytest.raises(SettingsError, match="there are caffe, imagenet"):
        InputSpec.named("torch")


def test_damaged_file_is_closed(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"x" * 100)
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG")
    (tmp_path / "b.png").write_bytes(buffer.getvalue()[:-24])
    with warnings.catch_warnings():
        warnings.simplefilter("error", ResourceWarning)
        for name in ("a.png", "b.png"):
            with pytest.raises(DataError):
                read_image(tmp_path / name)
