"""The store: what goes in comes out, photo by photo; files that are none or not whole."""

from __future__ import annotations

import json
import pickle
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from upscore.errors import DataError, NotFoundError, OutputError, RunError, SettingsError
from upscore.proposals import store as room
from upscore.proposals.base import Proposals
from upscore.proposals.store import (
    ProposalStore,
    StoredPhoto,
    plain_settings,
    settings_differences,
    write_store,
)

SETTINGS = {"kind": "Made", "max_boxes": 9, "sides": (1, 2), "edges": {"kind": "E", "radius": 4}}
DATA = {"layout": "folder", "split": None, "fingerprint": "abc"}


def boxes_of(number: int, count: int) -> Proposals:
    rng = np.random.default_rng(number)
    corner = rng.uniform(-20, 300, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(1, 99, (count, 2))], axis=1)
    return Proposals.sorted(boxes, rng.normal(size=count))


def name_of(number: int) -> str:
    return f"sub/Größe {number}"


def key_of(number: int) -> str:
    return f"{number:064x}"


def write(path: Path, counts, **options) -> Path:
    options = {"settings": SETTINGS, "data": DATA, **options}
    with write_store(path, **options) as writer:
        for number, count in enumerate(counts):
            photo = StoredPhoto(name_of(number), key_of(number), (100 + number, 200), count)
            writer.add(photo, boxes_of(number, count))
    return path


@pytest.fixture
def stored(tmp_path) -> Path:
    return write(tmp_path / "boxes.parquet", [5, 0, 700, 1, 1200, 900, 3])


def test_what_goes_in_comes_out(stored):
    store = ProposalStore.open(stored)
    counts = [5, 0, 700, 1, 1200, 900, 3]
    assert len(store) == 7
    assert store.names == tuple(map(name_of, range(7)))
    assert store.num_boxes == sum(counts)
    assert store.settings == {**SETTINGS, "sides": [1, 2]}
    assert store.data == DATA
    assert store.find(name_of(2)) == StoredPhoto(name_of(2), key_of(2), (102, 200), 700)
    for number in [3, 0, 6, 4, 1, 5, 2, 2]:
        for photo in (name_of(number), key_of(number)):
            found = store.read(photo)
            expected = boxes_of(number, counts[number])
            np.testing.assert_array_equal(found.boxes, expected.boxes)
            np.testing.assert_array_equal(found.scores, expected.scores)


def test_any_parquet_reader_opens_it(stored):
    table = pq.read_table(stored)
    assert table.column_names == "name key height width count boxes scores".split()
    row = table.slice(2, 1).to_pylist()[0]
    np.testing.assert_array_equal(
        np.reshape(np.float32(row["boxes"]), (-1, 4)), boxes_of(2, 700).boxes
    )
    about = json.loads(table.schema.metadata[b"upscore.proposals"])
    assert about["format_version"] == room.FORMAT_VERSION


def test_equal_content_gives_equal_bytes(tmp_path, stored):
    again = write(tmp_path / "again.parquet", [5, 0, 700, 1, 1200, 900, 3])
    assert again.read_bytes() == stored.read_bytes()


def test_no_photo_and_many_photos_of_few_boxes(tmp_path):
    assert len(ProposalStore.open(write(tmp_path / "none.parquet", []))) == 0
    store = ProposalStore.open(write(tmp_path / "few.parquet", [1] * 600))
    assert pq.ParquetFile(store.path).num_row_groups == 3
    np.testing.assert_array_equal(store.read(name_of(599)).boxes, boxes_of(599, 1).boxes)


def test_reading_a_photo_does_not_load_the_others(tmp_path):
    path = write(tmp_path / "boxes.parquet", [2000] * 100)
    before = pa.total_allocated_bytes()
    store = ProposalStore.open(path)
    found = [store.read(name_of(number)) for number in (3, 90, 41)]
    of_one = 2000 * 5 * 4
    assert pa.total_allocated_bytes() - before < 4 * of_one + 100_000  # those held, and an index
    del found
    for number in range(100):
        store.read(name_of(number))
    assert pa.total_allocated_bytes() - before < 2 * of_one + 100_000


def test_threads_read_at_once(tmp_path):
    store = ProposalStore.open(write(tmp_path / "boxes.parquet", [300] * 40))
    wrong: list[int] = []

    def look(seed: int) -> None:
        for number in np.random.default_rng(seed).permutation(40):
            if not np.array_equal(
                store.read(name_of(number)).boxes, boxes_of(number, 300).boxes
            ):  # pragma: no cover
                wrong.append(number)

    threads = [threading.Thread(target=look, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_it_goes_to_other_processes_by_its_path(stored):
    again = pickle.loads(pickle.dumps(ProposalStore.open(stored)))
    np.testing.assert_array_equal(again.read(name_of(5)).boxes, boxes_of(5, 900).boxes)
    assert len(pickle.dumps(again)) < 1000


def test_a_file_that_is_replaced_meanwhile_stays_readable(stored):
    store = ProposalStore.open(stored)
    write(stored, [2, 2])
    np.testing.assert_array_equal(store.read(name_of(4)).boxes, boxes_of(4, 1200).boxes)
    assert len(ProposalStore.open(stored)) == 2


def test_paths_that_are_not_ascii(tmp_path):
    path = write(tmp_path / "Käste ☃" / "größe.parquet", [3])
    assert len(ProposalStore.open(path).read(name_of(0))) == 3
    assert len(ProposalStore.open(str(path))) == 1


def test_photos_of_the_same_content(tmp_path):
    path = tmp_path / "boxes.parquet"
    with write_store(path, settings=SETTINGS, data=DATA) as writer:
        for number, name in enumerate(["a", "b"]):
            writer.add(StoredPhoto(name, key_of(7), (4, 4), 2), boxes_of(number, 2))
    store = ProposalStore.open(path)
    np.testing.assert_array_equal(store.read("b").boxes, boxes_of(1, 2).boxes)
    np.testing.assert_array_equal(store.read(key_of(7)).boxes, boxes_of(0, 2).boxes)
    assert store.find(key_of(7)).name == "a"


# -- what does not fit -----------------------------------------------------------------------------


def test_other_settings(stored):
    ProposalStore.open(stored, SETTINGS)
    other = {**SETTINGS, "max_boxes": 10, "edges": {"kind": "E", "radius": 5, "more": True}}
    with pytest.raises(SettingsError) as told:
        ProposalStore.open(stored, other)
    assert str(stored) in str(told.value)
    assert "edges.more null there, true here; edges.radius 4 there, 5 here; " in str(told.value)
    assert "max_boxes 9 there, 10 here. Take those, or make another" in str(told.value)


def test_differences_name_no_more_than_needed():
    assert settings_differences(SETTINGS, SETTINGS) == []
    assert settings_differences(SETTINGS, {"kind": "Other", "x": 1}) == [
        'kind "Made" there, "Other" here'
    ]
    long = settings_differences({"a": "x" * 100}, {"a": 1})[0]
    assert long == 'a "' + "x" * 56 + "... there, 1 here"


@pytest.mark.parametrize("value", [np.float32(1), {1, 2}, float("nan")])
def test_settings_that_are_no_json(value):
    with pytest.raises(SettingsError, match="settings of a source must be JSON values"):
        plain_settings({"a": value})


def test_other_photos(stored):
    store = ProposalStore.open(stored)
    store.require_photos([name_of(3), key_of(2)])
    with pytest.raises(DataError) as told:
        store.require_photos([name_of(3), "a", "b", "c", "d"])
    assert "lacks 4 of 5 photos, 'a', 'b', 'c' and 1 more" in str(told.value)
    assert "made for 7 photos ('sub/Größe 0', 'sub/Größe 1', ...) of fingerprint abc, " in str(
        told.value
    )
    for look in (store.find, store.read):
        with pytest.raises(DataError, match=r"has no photo 'a'; it was made for 7 photos"):
            look("a")


def test_what_is_no_store(tmp_path):
    with pytest.raises(NotFoundError, match=r"no such file; `upscore proposals make"):
        ProposalStore.open(tmp_path / "none.parquet")
    with pytest.raises(DataError, match="cannot be read as a store"):
        ProposalStore.open(tmp_path)
    for content in (b"", b"PAR1", b"some text that is long enough for a footer" * 9):
        (tmp_path / "x.parquet").write_bytes(content)
        with pytest.raises(DataError, match=r"x\.parquet: "):
            ProposalStore.open(tmp_path / "x.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(DataError, match="a Parquet file, but not a store of boxes"):
        ProposalStore.open(tmp_path / "x.parquet")


@pytest.mark.parametrize("share", [0.01, 0.3, 0.9, 0.999])
def test_truncated(stored, share):
    content = stored.read_bytes()
    stored.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"truncated, damaged or not a store.*run `upscore prop"):
        ProposalStore.open(stored)


def test_damaged_in_the_middle(tmp_path):
    """A flipped bit is told where it is read, or when it is opened; never read as boxes."""
    path = write(tmp_path / "boxes.parquet", [500] * 12)
    content = bytearray(path.read_bytes())
    place = pq.ParquetFile(path).metadata.row_group(1).column(5).data_page_offset + 500
    content[place] ^= 64
    path.write_bytes(content)
    store = ProposalStore.open(path)
    store.read(name_of(0))
    with pytest.raises(DataError, match=r"damaged.*at photo 'sub/Größe 4'"):
        store.read(name_of(4))
    store.read(name_of(8))


def test_boxes_that_are_none(tmp_path):
    """Whole for Parquet, but somebody else wrote it."""
    path = write(tmp_path / "boxes.parquet", [3])
    table = pq.read_table(path)
    boxes = pa.array([[9.0, 9, 1, 1] * 3], table.schema.field("boxes").type)
    pq.write_table(table.set_column(5, table.schema.field("boxes"), boxes), path)
    with pytest.raises(DataError, match=r"x1 <= x2.*at photo"):
        ProposalStore.open(path).read(name_of(0))


def test_other_columns_or_metadata(tmp_path):
    path = write(tmp_path / "boxes.parquet", [3])
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["scores"]), path)
    with pytest.raises(DataError, match="columns or metadata are not those of a store"):
        ProposalStore.open(path)
    for about in (b"{}", b"{", b"[1]"):
        pq.write_table(table.replace_schema_metadata({"upscore.proposals": about}), path)
        with pytest.raises(DataError, match="truncated, damaged or not a store"):
            ProposalStore.open(path)


def test_from_a_newer_upscore(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "FORMAT_VERSION", 2)
    path = write(tmp_path / "boxes.parquet", [3])
    monkeypatch.undo()
    with pytest.raises(RunError, match=r"boxes\.parquet: written by a newer upscore \(format 2"):
        ProposalStore.open(path)


# -- writing ---------------------------------------------------------------------------------------


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = write(tmp_path / "boxes.parquet", [3])
    before = path.read_bytes()

    def interrupted() -> None:
        with write_store(path, settings=SETTINGS, data=DATA) as writer:
            writer.add(StoredPhoto("a", key_of(1), (4, 4), 900), boxes_of(1, 900))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["boxes.parquet"]


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        write(tmp_path / "file" / "boxes.parquet", [1])
