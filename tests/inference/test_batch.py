from __future__ import annotations

import errno
import importlib
import json
import threading
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.support import ByColor, random_photo, save_photo
from upscore.core import images
from upscore.core.parallel.writer import Writer
from upscore.errors import (
    NotFoundError,
    OutputError,
    SettingsError,
    WorkError,
)
from upscore.inference.area_records import RECORDS, SUMMARY
from upscore.inference.batch_summary import Summary
from upscore.inference.outputs import write_outputs
from upscore.inference.predict_files import predict_files
from waiting import HANG_S

predict_module = importlib.import_module("upscore.inference.predict_files")


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    for number, name in enumerate(["a.png", "b.png", "sub/a.png", "sub/deep/c.png"]):
        save_photo(folder / name, random_photo(20 + number, 30, seed=number))
    return folder


def files(folder: Path) -> list[str]:
    """Results of photos; the records of all of them are another test's."""
    found = (path for path in folder.rglob("*") if path.is_file())
    names = (path.relative_to(folder).as_posix() for path in found)
    return sorted(name for name in names if name not in (RECORDS, SUMMARY))


def test_results_of_a_folder(by_color, photos, tmp_path):
    out, calls = tmp_path / "out", []
    save = ("labels", "overlay", "probabilities")
    summary = predict_files(
        by_color, [photos], out, save=save, progress=lambda *call: calls.append(call)
    )
    stems = ["a", "b", "sub/a", "sub/deep/c"]
    assert files(out) == sorted(
        [f"labels/{s}.png" for s in stems]
        + [f"overlay/{s}.jpg" for s in stems]
        + [f"probabilities/{s}.npz" for s in stems]
    )
    assert (summary.images, summary.skipped, summary.failures) == (4, 0, [])
    assert 0 < summary.network_seconds < summary.seconds
    assert calls == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    summary.check()

    image = images.read_image(photos / "sub/a.png")
    with Image.open(out / "labels/sub/a.png") as picture:
        assert picture.mode == "P"
        assert picture.size == (30, 22)
        assert np.array_equal(np.asarray(picture), by_color.predict(image))
        assert picture.getpalette()[3:6] == list(by_color.labels.colors[1])
    with np.load(out / "probabilities/sub/a.npz") as stored:
        assert stored["probabilities"].dtype == np.float16
        np.testing.assert_allclose(
            stored["probabilities"], by_color.probabilities(image), atol=1e-3
        )
        assert stored["classes"].tolist() == ["ground", "tree", "sky"]
    with Image.open(out / "overlay/sub/a.jpg") as picture:
        assert picture.format == "JPEG"
        assert picture.height > 22  # the legend


def test_only_what_is_asked_for(by_color, photos, tmp_path):
    predict_files(by_color, [photos / "a.png"], tmp_path / "out", save=["overlay"])
    assert files(tmp_path / "out") == ["overlay/a.jpg"]


def test_exif_rotation_gives_upright_labels(by_color, tmp_path):
    picture = Image.fromarray(random_photo(20, 40))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)
    predict_files(by_color, [tmp_path / "turned.jpg"], tmp_path / "out", save=["labels"])
    with Image.open(tmp_path / "out/labels/turned.png") as labels:
        assert labels.size == (20, 40)


def test_bad_files_are_reported_at_the_end_and_all_others_done(by_color, photos, tmp_path):
    (photos / "broken.jpg").write_bytes(b"\xff\xd8 not really")
    (photos / "empty.png").touch()
    save_photo(photos / "large.png", random_photo(50, 50))
    summary = predict_files(by_color, [photos], tmp_path / "out", max_pixels=2000)
    assert summary.images == 4
    assert [path.name for path, _ in summary.failures] == ["broken.jpg", "empty.png", "large.png"]
    with pytest.raises(
        WorkError, match=r"3 files could not be segmented; all others are done:\n"
    ) as e:
        summary.check()
    assert e.value.exit_code == 1
    assert "broken.jpg: is not an image" in str(e.value)
    assert "--max-pixels 2500" in str(e.value)
    assert len(files(tmp_path / "out/labels")) == 4


@pytest.mark.parametrize("error", [IndexError("odd"), OSError("odd"), RecursionError("odd")])
def test_any_error_of_reading_is_one_photos(by_color, photos, tmp_path, monkeypatch, error):
    def read(path, **options):
        if path.name == "b.png":
            raise error
        return images.read_image(path, **options)

    monkeypatch.setattr(predict_module, "read_image", read)
    summary = predict_files(by_color, [photos], tmp_path / "out")
    ((path, message),) = summary.failures
    assert (path.name, summary.images) == ("b.png", 3)
    assert message.startswith(
        f"{path}: cannot segment it ({type(error).__name__}: odd; at upscore/"
    )
    assert files(tmp_path / "out/labels") == ["a.png", "sub/a.png", "sub/deep/c.png"]


def test_an_error_of_writing_is_that_photos_and_not_the_next_ones(
    by_color, photos, tmp_path, monkeypatch
):
    def write(out, name, formats, item):
        if name == "a":
            raise ValueError("odd")
        write_outputs(out, name, formats, item)

    monkeypatch.setattr(predict_module, "write_outputs", write)
    summary = predict_files(by_color, [photos], tmp_path / "out", workers=1)
    ((path, message),) = summary.failures
    assert (path, summary.images) == (photos / "a.png", 3)
    assert "a.png (30x20): cannot segment it (ValueError: odd; at upscore/" in message
    assert files(tmp_path / "out/labels") == ["b.png", "sub/a.png", "sub/deep/c.png"]


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), OSError(28, "full")])
def test_what_no_photo_is_to_blame_for_ends_it(photos, tmp_path, error):
    class Unlucky(ByColor):
        def predict(self, image):
            if len(self.sizes) == 1:
                raise error
            return super().predict(image)

    with pytest.raises(WorkError):
        predict_files(Unlucky(), [photos], tmp_path / "out")
    assert files(tmp_path / "out/labels") == ["a.png"]


def test_a_long_list_of_failures_is_cut():
    summary = Summary(failures=[(Path(f"{i}.jpg"), f"{i}.jpg: bad") for i in range(100)])
    with pytest.raises(WorkError, match="100 files") as e:
        summary.check()
    assert str(e.value).endswith("19.jpg: bad\n  and 80 more")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "try a smaller --tile"),
        (MemoryError(), r"b\.png \(30x21\): not enough memory to segment it; try a smaller --tile"),
        (
            RuntimeError("odd"),
            r"b\.png \(30x21\): cannot segment it \(RuntimeError: odd; at upscore/\S+\.py:\d+\)$",
        ),
        (KeyError("odd"), r"b\.png \(30x21\): cannot segment it \(KeyError: 'odd'; at upscore/"),
        (
            AttributeError("width"),
            r"b\.png \(30x21\): cannot segment it \(AttributeError: width; at",
        ),
    ],
)
def test_a_photo_that_the_network_cannot_take(photos, tmp_path, error, message):
    class Fragile(ByColor):
        def predict(self, image):
            if image.shape[0] == 21:
                raise error
            return super().predict(image)

    summary = predict_files(Fragile(), [photos], tmp_path / "out")
    assert summary.images == 3
    with pytest.raises(WorkError, match=message):
        summary.check()


def test_resume_passes_over_what_is_complete(by_color, photos, tmp_path):
    out = tmp_path / "out"
    predict_files(by_color, [photos], out)
    (out / "overlay/b.jpg").unlink()
    (out / "labels/sub/a.png").unlink()
    before = (out / "labels/a.png").stat().st_mtime_ns
    by_color.sizes.clear()
    calls = []
    summary = predict_files(
        by_color, [photos], out, resume=True, progress=lambda *call: calls.append(call)
    )
    assert (summary.images, summary.skipped) == (2, 2)
    assert calls == [(2, 4), (3, 4), (4, 4)]
    assert len(by_color.sizes) == 2
    assert (out / "labels/a.png").stat().st_mtime_ns == before
    assert len(files(out)) == 8
    # without it everything is done again
    assert predict_files(by_color, [photos], out).images == 4
    # another product makes all incomplete
    assert predict_files(by_color, [photos], out, save=["probabilities"], resume=True).images == 4


def test_an_input_is_never_overwritten(by_color, tmp_path):
    photo = save_photo(tmp_path / "out/labels/a.png", random_photo(9, 9))
    with pytest.raises(SettingsError, match=r"out/labels/a\.png is an input and would be overwr"):
        predict_files(by_color, [photo], tmp_path / "out")
    predict_files(by_color, [photo], tmp_path / "out", save=["overlay"])


@pytest.mark.parametrize(
    ("save", "message"),
    [
        ((), "save is empty; there are labels, overlay, probabilities"),
        (["masks"], "has no 'masks'"),
    ],
)
def test_unknown_products_are_refused(by_color, photos, tmp_path, save, message):
    with pytest.raises(SettingsError, match=message):
        predict_files(by_color, [photos], tmp_path / "out", save=save)


def test_a_missing_input_stops_before_the_start(by_color, photos, tmp_path):
    with pytest.raises(NotFoundError):
        predict_files(by_color, [photos, tmp_path / "no.jpg"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_output_folder_that_is_a_file(by_color, photos, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        predict_files(by_color, [photos], tmp_path / "out")


def test_a_full_disk_stops_the_batch(by_color, photos, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OutputError, match="the disk is full"):
        predict_files(by_color, [photos], tmp_path / "out")
    assert files(tmp_path / "out") == []


def test_ctrl_c_leaves_whole_files_only(photos, tmp_path):
    class Interrupted(ByColor):
        def predict(self, image):
            if len(self.sizes) == 2:
                raise KeyboardInterrupt
            return super().predict(image)

    (photos / "0.jpg").write_text("no image")  # it sorts first
    with pytest.raises(KeyboardInterrupt):
        predict_files(Interrupted(), [photos], tmp_path / "out")
    kept = list(map(json.loads, (tmp_path / "out" / "predictions.jsonl").read_text().splitlines()))
    done, failed = ([r["name"] for r in kept if ("error" in r) is bad] for bad in (False, True))
    assert failed == ["0"]
    table = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    assert len(done) >= 1
    assert [line.split(",")[0] for line in table[1:]] == done
    (photos / "0.jpg").unlink()
    done = files(tmp_path / "out")
    assert all(not Path(name).name.startswith(".") for name in done)
    for name in done:
        with Image.open(tmp_path / "out" / name) as picture:
            picture.load()
    resumed = predict_files(ByColor(), [photos], tmp_path / "out", resume=True)
    assert resumed.images + resumed.skipped == 4
    assert len(files(tmp_path / "out")) == 8


def test_stages_overlap(photos, tmp_path, monkeypatch):
    """While the network works, the next photos are read and the last results written.

    The second photo is read while the network has the first, whose results are written while it has
    the third: each waits for the other, so that one thing at a time would hang.
    """
    from upscore.inference import predict_files as batch

    begun = [threading.Event() for _ in range(4)]
    read_on, written = threading.Event(), threading.Event()
    reads, predictions, writes = count(), count(), count()
    read, write = batch.read_image, batch.write_outputs

    def meet(event):
        assert event.wait(HANG_S), "nothing else goes on meanwhile"

    class Slow(ByColor):
        def predict(self, image):
            number = next(predictions)
            begun[number].set()
            if number == 0:
                meet(read_on)
            if number == 2:
                meet(written)
            return super().predict(image)

    def reading(*arguments, **options):
        number = next(reads)
        if number == 1:
            meet(begun[0])
        photo = read(*arguments, **options)
        if number == 1:
            read_on.set()
        return photo

    def writing(*arguments):
        number = next(writes)
        if number == 0:
            meet(begun[2])
        write(*arguments)
        if number == 0:
            written.set()

    monkeypatch.setattr(batch, "read_image", reading)
    monkeypatch.setattr(batch, "write_outputs", writing)
    summary = predict_files(Slow(), [photos], tmp_path / "out", workers=1)
    assert (summary.images, summary.failures) == (4, [])
    assert len(files(tmp_path / "out")) == 8


def test_few_photos_are_held_at_once(by_color, tmp_path, monkeypatch):
    """Slow writing holds the network back instead of filling memory.

    Each write waits until as many further results have come as may wait for it.
    """
    from upscore.inference import predict_files as batch

    for number in range(30):
        save_photo(tmp_path / "photos" / f"{number:02d}.png", random_photo(8, 8))
    changed, held, most, results, begun = threading.Condition(), 0, 0, 0, 0
    read, write, put = batch.read_image, batch.write_outputs, Writer.put

    def reading(*arguments, **options):
        nonlocal held, most
        with changed:
            held += 1
            most = max(most, held)
        return read(*arguments, **options)

    def putting(*arguments):
        nonlocal results
        with changed:
            results += 1
            changed.notify_all()
        put(*arguments)

    def writing(*arguments):
        nonlocal held, begun
        with changed:
            begun += 1
            wanted = min(30, begun + batch.DEPTH)
            assert changed.wait_for(lambda: results >= wanted, HANG_S)
        write(*arguments)
        with changed:
            held -= 1

    monkeypatch.setattr(batch, "read_image", reading)
    monkeypatch.setattr(batch, "write_outputs", writing)
    monkeypatch.setattr(Writer, "put", putting)
    predict_files(by_color, [tmp_path / "photos"], tmp_path / "out")
    assert most <= 2 * batch.DEPTH + 4


def test_writer_raises_the_first_error():
    def fail():
        raise OutputError("first")

    with Writer(workers=1, depth=2) as writer:
        writer.put(fail)
        writer.put(int)
        with pytest.raises(OutputError, match="first"):
            writer.put(int)


def test_writer_raises_at_the_end_of_its_block():
    def fail():
        raise OutputError("late")

    writer = Writer(workers=1, depth=2)
    writer.put(fail)
    with pytest.raises(OutputError, match="late"), writer:
        pass


def test_writer_keeps_order_with_one_worker():
    done: list[int] = []
    with Writer(workers=1, depth=3) as writer:
        for number in range(50):
            writer.put(done.append, number)
    assert done == list(range(50))


def test_drain_forgets_errors():
    def fail():
        raise OutputError("first")

    with Writer(workers=1, depth=4) as writer:
        writer.put(fail)
        writer.put(fail)
        writer.drain()


def test_pages_are_labelled_one_by_one(by_color, tmp_path):
    pages = [random_photo(20, 30, seed=seed) for seed in range(3)]
    first, *others = map(Image.fromarray, pages)
    first.save(tmp_path / "stack.tif", save_all=True, append_images=others)
    save_photo(tmp_path / "plain.png", pages[0])
    inputs, out = [tmp_path / "stack.tif", tmp_path / "plain.png"], tmp_path / "out"
    summary = predict_files(by_color, inputs, out)
    assert summary.images == 1
    assert "stack.tif: holds 3 pages or frames" in summary.failures[0][1]
    predict_files(by_color, inputs, out, pages=True, save=["labels"]).check()
    for number, page in enumerate(pages, start=1):
        with Image.open(out / f"labels/stack/{number:06d}.png") as labels:
            np.testing.assert_array_equal(np.asarray(labels), by_color.predict(page))
    (out / "labels/stack/000002.png").unlink()
    again = predict_files(by_color, inputs, out, pages=True, save=["labels"], resume=True)
    assert (again.images, again.skipped) == (1, 3)


def test_deep_photos_of_a_batch_share_their_range(tmp_path):
    class Seen(ByColor):
        def predict(self, image):
            seen.append(int(image.max()))
            return super().predict(image)

    seen: list[int] = []
    for name, value in (("a", 200), ("b", 1000), ("c", 4000)):
        Image.new("I;16", (8, 8), value).save(tmp_path / f"{name}.png")
    predict_files(Seen(), [tmp_path / "?.png"], tmp_path / "out", workers=1).check()
    assert seen == [200 >> 4, 1000 >> 4, 4000 >> 4]
    (tmp_path / "out/labels/a.png").unlink()  # the others count after an interruption too
    predict_files(Seen(), [tmp_path / "?.png"], tmp_path / "out", resume=True).check()
    assert seen[3:] == [200 >> 4]


def test_all_names_of_a_file_and_dangling_links(by_color, photos, tmp_path):
    (photos / "second.png").symlink_to(photos / "a.png")
    (photos / "gone.jpg").symlink_to(photos / "nowhere.jpg")
    (photos / "self.jpg").symlink_to("self.jpg")
    (photos / "notes.txt").write_text("no photo")
    summary = predict_files(by_color, [photos], tmp_path / "out", save=["labels"])
    assert [path.name for path in summary.passed_over] == ["notes.txt"]
    assert [message.split(":")[1] for _, message in summary.failures] == [
        f" is a link to {photos / 'nowhere.jpg'}, which is not there",
        " is a link to self.jpg, which is not there",
    ]
    written = files(tmp_path / "out/labels")
    assert written == ["a.png", "b.png", "second.png", "sub/a.png", "sub/deep/c.png"]
