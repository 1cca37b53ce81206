"""Making a store: all photos once, whatever stops it; the file depends on photos and settings."""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from proposals.store_sources import ByContent, Counted, Failing, Threads
from upscore.core.images import read_image
from upscore.core.lock import claim
from upscore.core.parallel import map as parallel_map
from upscore.errors import (
    DataError,
    MissingExtraError,
    OutputError,
    SettingsError,
    WorkError,
)
from upscore.proposals import build_store as room
from upscore.proposals.base import image_key
from upscore.proposals.build_store import Photo, make_store
from upscore.proposals.store import ProposalStore
from waiting import HANG_S, wait_until

SOURCE = Path(__file__).resolve().parents[2] / "src"
TESTS = Path(__file__).resolve().parents[1]


def save(path: Path, seed: int, size: tuple[int, int] = (20, 30)) -> Photo:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return Photo(path.stem, path)


@pytest.fixture
def photos(tmp_path) -> list[Photo]:
    """Eight, one of a few pixels; their names are not in the order of the alphabet."""
    names = [f"photo {7 * number % 10}" for number in range(8)]
    made = [save(tmp_path / f"photos/{name}.png", seed) for seed, name in enumerate(names)]
    made[3] = save(made[3].path, 3, (2, 3))
    return made


@pytest.fixture
def counted(tmp_path) -> Counted:
    (tmp_path / "log").mkdir()
    return Counted(log=str(tmp_path / "log"))


@pytest.fixture(autouse=True)
def parts_by_photos(monkeypatch) -> None:
    """On a slow machine, too, a part ends after so many photos, not after ten seconds."""
    monkeypatch.setattr(room, "PART_SECONDS", math.inf)


@pytest.fixture
def small_parts(monkeypatch) -> None:
    monkeypatch.setattr(room, "PART_PHOTOS", 2)


def make(photos, source, out, **options):
    return make_store(photos, source, out, **{"workers": 1, **options})


def computed(source: Counted) -> list[str]:
    return sorted(path.name.partition("-")[0] for path in Path(source.log).iterdir())


def forget(source: Counted) -> None:
    for path in Path(source.log).iterdir():
        path.unlink()


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name not in ("photos", "log"))


# -- what it makes ---------------------------------------------------------------------------------


def test_all_photos_in_their_order(photos, tmp_path):
    calls: list[tuple[int, int]] = []
    out = tmp_path / "new folder" / "boxes.parquet"
    summary = make(
        photos, ByContent(), out, data={"split": "x"}, progress=lambda *call: calls.append(call)
    )
    assert calls == [(number, 8) for number in range(1, 9)]
    store = ProposalStore.open(out, ByContent().settings())
    assert store.names == tuple(photo.name for photo in photos)
    assert store.data == {"split": "x"}
    for photo in photos:
        image = read_image(photo.path)
        found, expected = store.read(photo.name), ByContent()(image)
        np.testing.assert_array_equal(found.boxes, expected.boxes)
        np.testing.assert_array_equal(found.scores, expected.scores)
        assert store.find(photo.name).key == image_key(image)
        assert store.find(photo.name).size == image.shape[:2]
    assert len(store.read(photos[3].name)) == 0  # too small for any box
    assert (summary.photos, summary.computed, summary.failures) == (8, 8, [])
    assert summary.boxes == store.num_boxes == 7 * 50
    assert summary.file_bytes == out.stat().st_size
    assert left(out.parent) == ["boxes.parquet"]


@pytest.mark.usefixtures("small_parts")
def test_more_workers_make_the_same_file(photos, tmp_path):
    make(photos, ByContent(), tmp_path / "one.parquet")
    make(photos, ByContent(), tmp_path / "two.parquet", workers=2)
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()


@pytest.mark.parametrize(
    ("workers", "num", "expected"), [(None, 8, 1), (None, 40, 2), (None, 100, 4), (3, 8, 3)]
)
def test_how_many_processes(tmp_path, monkeypatch, workers, num, expected):
    found: list[int] = []

    def noted(work, tasks, *, processes, **_):
        found.append(processes)
        yield from ((task, work(task)) for task in tasks)

    monkeypatch.setattr(parallel_map, "num_cores", lambda: 4)
    monkeypatch.setattr(room, "map_items", noted)
    path = save(tmp_path / "photos/x.png", 1).path
    photos = [Photo(str(number), path) for number in range(num)]
    make_store(photos, ByContent(), tmp_path / "x.parquet", workers=workers)
    assert found == [expected]


def test_photos_of_equal_content(tmp_path):
    photos = [save(tmp_path / f"photos/{name}.png", 5) for name in "ab"]
    make(photos, ByContent(), tmp_path / "x.parquet")
    store = ProposalStore.open(tmp_path / "x.parquet")
    assert store.names == ("a", "b")
    assert np.array_equal(store.read("a").boxes, store.read("b").boxes)


def test_names_and_paths_that_are_not_ascii(tmp_path):
    photos = [save(tmp_path / "Bilder ☃" / f"größe {number}.png", number) for number in range(3)]
    out = tmp_path / "Käste" / "größe.parquet"
    make(photos, ByContent(), out, workers=2)
    assert ProposalStore.open(out).names == ("größe 0", "größe 1", "größe 2")
    broken = Photo("bad \udcff", photos[0].path)
    summary = make([*photos, broken], ByContent(), out)
    assert summary.photos == 3
    assert "the name is no text that can be stored" in summary.failures[0][1]


def test_one_thread_of_torch_whatever_the_number_of_workers(photos, tmp_path):
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        out = tmp_path / "boxes.parquet"
        make(photos[:2], Threads(), out, workers=2)  # one here, one in another process
        store = ProposalStore.open(out)
        assert [store.read(name).boxes[0, 2] for name in store.names] == [1, 1]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


# -- nothing is computed twice ---------------------------------------------------------------------


def test_again_computes_nothing(photos, counted, tmp_path):
    out = tmp_path / "boxes.parquet"
    make(photos, counted, out)
    before = out.stat()
    forget(counted)
    summary = make(photos, counted, out)
    assert computed(counted) == []
    assert (summary.photos, summary.computed) == (8, 0)
    assert out.stat().st_mtime_ns == before.st_mtime_ns
    assert left(tmp_path) == ["boxes.parquet"]


def test_only_new_and_changed_photos_are_computed(photos, counted, tmp_path):
    out = tmp_path / "boxes.parquet"
    make(photos[:5], counted, out)
    save(photos[1].path, 99)
    forget(counted)
    summary = make(photos, counted, out)
    assert computed(counted) == sorted(photos[place].name for place in (1, 5, 6, 7))
    assert (summary.photos, summary.computed) == (8, 4)
    make(photos, ByContent(), tmp_path / "fresh.parquet")
    assert out.read_bytes() == (tmp_path / "fresh.parquet").read_bytes()


def test_another_order_or_data_set_is_a_new_file_of_the_same_boxes(photos, counted, tmp_path):
    out = tmp_path / "boxes.parquet"
    make(photos, counted, out)
    forget(counted)
    make(photos[::-1], counted, out, data={"fingerprint": "new"})
    assert computed(counted) == []
    store = ProposalStore.open(out)
    assert store.names == tuple(photo.name for photo in photos[::-1])
    assert store.data == {"fingerprint": "new"}


@pytest.mark.usefixtures("small_parts")
def test_an_interruption_loses_nothing(photos, counted, tmp_path):
    """Ctrl-C, in this process: what was done is kept, and the file comes out the same."""
    out = tmp_path / "boxes.parquet"
    make(photos, counted, tmp_path / "whole.parquet")
    forget(counted)
    for done in (3, 6):
        with pytest.raises(KeyboardInterrupt):
            make(photos, counted, out, progress=_stop_at(done))
        assert not out.exists()
        assert len(computed(counted)) == done
        assert len(list((tmp_path / "boxes.parquet.parts").glob("*.parquet"))) > 1
    make(photos, counted, out)
    assert computed(counted) == sorted(photo.name for photo in photos)  # each of them once
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()
    assert left(tmp_path) == ["boxes.parquet", "whole.parquet"]


def _stop_at(count: int):
    def stop(done: int, _: int) -> None:
        if done == count:
            raise KeyboardInterrupt

    return stop


def test_parts_are_written_after_some_time_too(photos, counted, tmp_path, monkeypatch):
    monkeypatch.setattr(room, "PART_SECONDS", 0.0)
    parts: list[int] = []
    folder = tmp_path / "boxes.parquet.parts"
    make(
        photos, counted, tmp_path / "boxes.parquet",
        progress=lambda *_: parts.append(len(list(folder.glob("*.parquet")))),
    )  # fmt: skip
    assert parts == list(range(1, 9))


@pytest.mark.usefixtures("small_parts")
def test_an_interruption_while_parts_are_joined(photos, counted, tmp_path, monkeypatch):
    out = tmp_path / "boxes.parquet"
    make(photos, counted, tmp_path / "whole.parquet")
    forget(counted)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(room.ProposalStore, "read", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(photos, counted, out)
    monkeypatch.undo()
    assert not out.exists()
    forget(counted)
    make(photos, counted, out)
    assert computed(counted) == []
    assert out.read_bytes() == (tmp_path / "whole.parquet").read_bytes()


@pytest.mark.usefixtures("small_parts")
def test_a_part_that_a_crash_cut_off_is_made_again(photos, counted, tmp_path):
    out = tmp_path / "boxes.parquet"
    with pytest.raises(KeyboardInterrupt):
        make(photos, counted, out, progress=_stop_at(6))
    part = sorted((tmp_path / "boxes.parquet.parts").glob("*.parquet"))[0]
    part.write_bytes(part.read_bytes()[:100])
    (part.parent / ".left by a kill").touch()
    forget(counted)
    assert make(photos, counted, out).photos == 8
    assert len(computed(counted)) == 4  # two of the part, two that had not been done
    assert left(tmp_path) == ["boxes.parquet"]


# -- settings and photos that do not fit -----------------------------------------------------------


def test_a_store_of_other_settings_is_not_replaced_unasked(photos, tmp_path):
    out = tmp_path / "boxes.parquet"
    make(photos, ByContent(50), out)
    before = out.read_bytes()
    with pytest.raises(
        SettingsError, match=r"other settings: max_boxes 50 there, 9 here\. Give those, .* --overw"
    ):
        make(photos, ByContent(9), out)
    assert out.read_bytes() == before
    assert left(tmp_path) == ["boxes.parquet"]
    assert make(photos, ByContent(9), out, overwrite=True).computed == 8
    assert ProposalStore.open(out).settings["max_boxes"] == 9


def test_photos_of_a_store_are_not_dropped_unasked(photos, counted, tmp_path):
    out = tmp_path / "boxes.parquet"
    make(photos, counted, out)
    with pytest.raises(SettingsError, match=r"of 5 photos that are not asked for, as 'photo 1'"):
        make(photos[:3], counted, out)
    forget(counted)
    summary = make(photos[:3], counted, out, overwrite=True)
    assert (summary.photos, computed(counted)) == (3, [])


@pytest.mark.usefixtures("small_parts")
def test_unfinished_work_of_other_settings(photos, tmp_path):
    out = tmp_path / "boxes.parquet"
    with pytest.raises(KeyboardInterrupt):
        make(photos, ByContent(50), out, progress=_stop_at(5))
    with pytest.raises(SettingsError, match=r"parts: holds unfinished work of other settings: max"):
        make(photos, ByContent(9), out)
    assert make(photos, ByContent(50), tmp_path / "other.parquet").photos == 8
    assert make(photos, ByContent(9), out, overwrite=True).computed == 8
    assert left(tmp_path) == ["boxes.parquet", "other.parquet"]


@pytest.mark.usefixtures("small_parts")
def test_unfinished_work_of_other_photos_is_not_dropped_unasked(photos, counted, tmp_path):
    out = tmp_path / "boxes.parquet"
    with pytest.raises(KeyboardInterrupt):
        make(photos[:5], counted, out, progress=_stop_at(4))
    with pytest.raises(SettingsError, match=r"unfinished work of \d photos that are not asked for"):
        make(photos[5:], counted, out)
    forget(counted)
    assert make(photos, counted, out).computed == 4
    assert make(photos[5:], counted, out, overwrite=True).photos == 3


def test_an_out_that_is_no_store(photos, tmp_path):
    out = tmp_path / "boxes.parquet"
    make(photos, ByContent(), out)
    out.write_bytes(out.read_bytes()[:-9])
    with pytest.raises(DataError, match="truncated, damaged or not a store"):
        make(photos, ByContent(), out)
    assert make(photos, ByContent(), out, overwrite=True).computed == 8


# -- photos that cannot be done --------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_photos_among_good_ones(photos, tmp_path, workers):
    photos[4].path.write_bytes(b"broken")
    bad = [
        Photo("none", tmp_path / "photos/none.png"),
        save(tmp_path / "photos/data.png", 20),
        save(tmp_path / "photos/odd.png", 21),
        save(tmp_path / "photos/memory.png", 22),
    ]
    out = tmp_path / "boxes.parquet"
    every = [*bad[:2], *photos, *bad[2:]]
    summary = make(every, Failing(), out, workers=workers)
    assert summary.photos == 7
    assert ProposalStore.open(out).names == tuple(p.name for p in photos if p is not photos[4])
    assert [path for path, _ in summary.failures] == [
        photo.path for photo in [*bad[:2], photos[4], *bad[2:]]
    ]
    messages = [message for _, message in summary.failures]
    places = re.compile(r"; at upscore/proposals/\w+.py:\d+\)$")
    assert [places.sub(")", message) for message in messages] == [
        f"{bad[0].path}: no such file",
        f"{bad[1].path}: this photo is not to its liking",
        f"{photos[4].path}: is not an image that can be read; replace or remove it",
        f"{bad[2].path}: cannot find its boxes (ZeroDivisionError: first line)",
        f"{bad[3].path}: not enough memory to find its boxes; try --workers 1",
    ]
    with pytest.raises(WorkError, match="5 photos have no boxes; all others are done") as told:
        summary.check()
    assert told.value.exit_code == 1
    assert all(message in str(told.value) for message in messages)


def test_a_bad_photo_that_was_mended(photos, counted, tmp_path):
    out = tmp_path / "boxes.parquet"
    whole = photos[4].path.read_bytes()
    photos[4].path.write_bytes(b"broken")
    with pytest.raises(WorkError, match="1 photo has no boxes"):
        make(photos, counted, out).check()
    photos[4].path.write_bytes(whole)
    forget(counted)
    make(photos, counted, out).check()
    assert computed(counted) == [photos[4].name]
    make(photos, ByContent(), tmp_path / "fresh.parquet")
    assert out.read_bytes() == (tmp_path / "fresh.parquet").read_bytes()


def test_nothing_but_bad_photos(photos, tmp_path):
    for photo in photos:
        photo.path.write_bytes(b"broken")
    summary = make(photos * 1, ByContent(), tmp_path / "boxes.parquet")
    with pytest.raises(WorkError, match="8 photos have no boxes; nothing was written"):
        summary.check()
    assert left(tmp_path) == []


def test_many_failures_are_not_all_listed(photos, tmp_path, monkeypatch):
    monkeypatch.setattr("upscore.core.failures.LISTED", 2)
    for photo in photos[:5]:
        photo.path.write_bytes(b"broken")
    with pytest.raises(WorkError, match="and 3 more"):
        make(photos, ByContent(), tmp_path / "boxes.parquet").check()


def test_a_source_that_cannot_work_at_all(photos, tmp_path):
    photos = [save(tmp_path / "photos/extra.png", 30), *photos]
    with pytest.raises(MissingExtraError, match="pip install"):
        make(photos, Failing(), tmp_path / "boxes.parquet", workers=2)
    assert left(tmp_path) == []


def test_a_process_that_dies(photos, tmp_path):
    photos.insert(4, save(tmp_path / "photos/die.png", 31))
    out = tmp_path / "boxes.parquet"
    with pytest.raises(WorkError, match="the same command continues from there"):
        make(photos, Failing(), out, workers=2)
    kept = [ProposalStore.open(p) for p in (tmp_path / "boxes.parquet.parts").glob("*.parquet")]
    assert sum(map(len, kept)) >= 1
    assert make([p for p in photos if p.name != "die"], Failing(), out).computed < 8


# -- wrong use: nothing is begun -------------------------------------------------------------------


def test_wrong_use(photos, counted, tmp_path):
    out = tmp_path / "boxes.parquet"
    with pytest.raises(DataError, match="no photo to make boxes of"):
        make([], counted, out)
    with pytest.raises(SettingsError, match="workers is 0"):
        make(photos, counted, out, workers=0)
    with pytest.raises(SettingsError, match=r"boxes\.npz: expected a name that ends in \.parquet"):
        make(photos, counted, tmp_path / "boxes.npz")
    with pytest.raises(SettingsError, match="share the name 'photo 0'"):
        make([*photos, Photo("photo 0", tmp_path / "x.png")], counted, out)
    (tmp_path / "folder.parquet").mkdir()
    with pytest.raises(SettingsError, match="is a folder; name a file in it"):
        make(photos, counted, tmp_path / "folder.parquet")
    assert computed(counted) == []
    assert left(tmp_path) == ["folder.parquet"]


def test_an_out_that_cannot_be_written(photos, counted, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        make(photos, counted, tmp_path / "file" / "boxes.parquet")
    assert computed(counted) == []  # told before the work


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_folder(photos, counted, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="no permission to write there"):
        make(photos, counted, tmp_path / "out" / "boxes.parquet")
    assert computed(counted) == []


def test_a_read_only_file_system(photos, counted, tmp_path, monkeypatch):
    def read_only(path, *_, **__):
        raise OSError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(OutputError, match="the file system is read-only; choose another folder"):
        make(photos, counted, tmp_path / "boxes.parquet")
    assert computed(counted) == []


def test_a_full_disk(photos, counted, tmp_path, monkeypatch):
    """What was written before stays, and the rest is told."""
    whole = room.write_store
    written: list[Path] = []

    @contextlib.contextmanager
    def full(path, **options):
        if len(written) == 2:
            raise OutputError(errno.ENOSPC, f"cannot write {path}: the disk is full")
        written.append(path)
        with whole(path, **options) as writer:
            yield writer

    monkeypatch.setattr(room, "PART_PHOTOS", 2)
    monkeypatch.setattr(room, "write_store", full)
    with pytest.raises(OutputError, match="the disk is full"):
        make(photos, counted, tmp_path / "boxes.parquet")
    monkeypatch.setattr(room, "write_store", whole)
    forget(counted)
    assert make(photos, counted, tmp_path / "boxes.parquet").photos == 8
    assert len(computed(counted)) == 4


# -- stopped from outside --------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="signals to a group of processes")
@pytest.mark.parametrize("kind", ["SIGINT", "SIGKILL"])
def test_stopped_in_the_middle(tmp_path, kind):
    for number in range(40):
        save(tmp_path / f"photos/{number:02d}.png", number)
    (tmp_path / "log").mkdir()
    # a shell starts what runs in its background deaf to Ctrl-C, and these tests may be such
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from proposals.store_sources import make_in_a_program\n"
        f"if __name__ == '__main__': make_in_a_program({str(tmp_path)!r})\n"
    )
    script = tmp_path / "program.py"
    script.write_text(program)
    process = subprocess.Popen(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": f"{SOURCE}{os.pathsep}{TESTS}"},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    folder = tmp_path / "boxes.parquet.parts"
    wait_until(lambda: process.poll() is not None or len(list(folder.glob("*.parquet"))) >= 2)
    assert process.poll() is None, process.stderr.read().decode()
    os.killpg(process.pid, getattr(signal, kind))
    (tmp_path / "release").touch()  # what has begun is finished
    _, told = process.communicate(timeout=HANG_S)
    assert process.returncode != 0
    assert not (tmp_path / "boxes.parquet").exists()
    kept = sum(len(ProposalStore.open(path)) for path in folder.glob("*.parquet"))
    assert 8 <= kept < 40
    if kind == "SIGINT":
        assert b"KeyboardInterrupt" in told
        # but for those that the processes had begun, all that were computed are kept
        assert kept >= len(list((tmp_path / "log").iterdir())) - 2 * 2 - 2
    (tmp_path / "log").rename(tmp_path / "first log")
    (tmp_path / "log").mkdir()
    photos = [Photo(p.stem, p) for p in sorted((tmp_path / "photos").iterdir())]
    source = Counted(log=str(tmp_path / "log"))
    make(photos, source, tmp_path / "boxes.parquet")
    assert len(computed(source)) == 40 - kept
    assert not folder.exists()
    shutil.rmtree(tmp_path / "log")
    make(photos, ByContent(), tmp_path / "fresh.parquet")
    assert (tmp_path / "boxes.parquet").read_bytes() == (tmp_path / "fresh.parquet").read_bytes()


def test_two_jobs_on_one_store(tmp_path: Path, photos: list[Photo]) -> None:
    out = tmp_path / "boxes.parquet"
    source = ByContent()
    with claim(tmp_path / "boxes.parquet.parts", "a job that finds boxes"):
        with pytest.raises(
            SettingsError, match=r"boxes.parquet.parts: is used by a job that finds"
        ):
            make(photos, source, out)
        assert not out.exists()
    make(photos, source, out).check()
    assert [path.name for path in tmp_path.glob("boxes*")] == ["boxes.parquet"]
