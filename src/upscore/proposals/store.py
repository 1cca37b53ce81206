"""Proposals of many photos in one Parquet file, read photo by photo.

One row a photo, in the order of the data set:

==========  ==============  =======================================================================
column      type            holds
==========  ==============  =======================================================================
name        string          of the photo in its data set
key         string          :func:`upscore.proposals.base.image_key` of its pixels
height      int32           of the photo
width       int32           of the photo
count       int32           number K of boxes
boxes       list<float32>   4 K numbers: x1, y1, x2, y2 of the best box, of the second, and so on
scores      list<float32>   K numbers
==========  ==============  =======================================================================

The file's metadata hold, under ``upscore.proposals``, JSON of ``format_version``, ``settings`` of
the source and ``data`` (which data set). Row groups are small, so that the boxes of one photo are
read without those of the others. Equal rows, settings and data give equal bytes, as long as
pyarrow is the same. Any Parquet reader opens the file.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from upscore.core.choices import near_path
from upscore.core.damage import reading, refuse_pipe
from upscore.core.failures import first_line
from upscore.core.files import atomic_path, refuse_newer
from upscore.core.json import JSONObject, parse_json
from upscore.core.quoting import quote, shorten
from upscore.errors import DataError, NotFoundError, SettingsError
from upscore.proposals.base import Proposals

SUFFIX = ".parquet"
FORMAT_VERSION = 1
"""Raised when a store of this program could not be read by an older one."""

MOST_PHOTOS = 10_000_000

GROUP_BOXES = 2000
"""A row group ends with the photo that brings it here, as a read decodes a whole one."""
GROUP_PHOTOS = 256
"""Or here, where photos have few boxes."""

_KEY = b"upscore.proposals"
_FLOATS = pa.list_(pa.field("element", pa.float32(), nullable=False))
_INDEX = ["name", "key", "height", "width", "count"]
_ARRAYS = ["boxes", "scores"]
_LEAVES = [f"{name}.list.element" for name in _ARRAYS]
_SCHEMA = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("count", pa.int32(), nullable=False),
        pa.field("boxes", _FLOATS, nullable=False),
        pa.field("scores", _FLOATS, nullable=False),
    ]
)
_DAMAGED = "truncated, damaged or not a store of boxes"
_FIX = "remove it and run `upscore proposals make` again"


@dataclass(frozen=True)
class StoredPhoto:
    """A photo in the index of a store.

    Attributes:
        name: in its data set.
        key: of its content.
        size: height and width.
        num_boxes: that the store has of it.
    """

    name: str
    key: str
    size: tuple[int, int]
    num_boxes: int


class ProposalStore:
    """Boxes of many photos in a file; opening reads the index, :meth:`read` one photo.

    Several threads may read at once. Other processes get it by its path when it is pickled. The
    file is mapped, not held in memory, and can be replaced meanwhile.

    Attributes:
        path: the file.
        settings: of the source that made the boxes.
        data: the data set that they were made for, as described when they were made.
        photos: the index, in the order of the data set.
    """

    path: Path
    settings: JSONObject
    data: Mapping[str, Any]
    photos: tuple[StoredPhoto, ...]

    def __init__(self, path: Path) -> None:
        """See :meth:`open`."""
        self.path = path
        self._map = _mapped(path)
        with reading(path, _DAMAGED, _FIX):
            self._file = pq.ParquetFile(
                pa.BufferReader(pa.py_buffer(self._map)), page_checksum_verification=True
            )
            about = _about(self._file, path)
            if self._file.metadata.num_rows > MOST_PHOTOS:
                raise ValueError(f"says that it has {self._file.metadata.num_rows} photos")
            columns = self._file.read(columns=_INDEX, use_threads=False).to_pydict()
            if any(None in column for column in columns.values()):
                raise ValueError("a value is missing")
        self.settings = about["settings"]
        self.data = about["data"]
        self.photos = tuple(
            StoredPhoto(name, key, (height, width), count)
            for name, key, height, width, count in zip(
                *(columns[name] for name in _INDEX), strict=True
            )
        )
        self._rows: dict[str, int] = {}
        for row, photo in enumerate(self.photos):
            self._rows.setdefault(photo.key, row)  # the first of photos of equal content
        self._rows |= {photo.name: row for row, photo in enumerate(self.photos)}
        metadata = self._file.metadata
        sizes = [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
        self._lock = threading.Lock()
        self._last: tuple[int, pa.Table] | None = None

    @classmethod
    def open(cls, path: str | Path, settings: Mapping[str, Any] | None = None) -> ProposalStore:
        """Open a store and read its index.

        Args:
            settings: what the boxes must have been made with; None takes any.

        Raises:
            NotFoundError: no such file.
            DataError: not a store, or a truncated or damaged one.
            RunError: written by a newer upscore.
            SettingsError: made with other settings; the message lists what differs.
        """
        store = cls(Path(path))
        if settings is None:
            return store
        differences = settings_differences(store.settings, plain_settings(settings))
        if differences:
            raise SettingsError(
                f"{store.path}: made with other settings: {'; '.join(differences)}. Take those, or "
                "make another store with `upscore proposals make`"
            )
        return store

    def require_photos(self, names: Iterable[str]) -> None:
        """Refuse a store that lacks some of the photos, as one of another data set does.

        Raises:
            DataError: names some of the missing ones, and what the store was made for.
        """
        wanted = list(names)
        missing = [name for name in wanted if name not in self]
        if missing:
            more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
            raise DataError(
                f"{self.path}: lacks {len(missing)} of {len(wanted)} photos, "
                f"{', '.join(map(quote, missing[:3]))}{more}; it was made for {self.made_for()}. "
                "Run `upscore proposals make` for these photos"
            )

    def made_for(self) -> str:
        """How many photos, some names, and which data set, in words."""
        data = shorten(", ".join(f"{key} {value}" for key, value in self.data.items() if value))
        names = ", ".join(quote(photo.name) for photo in self.photos[:2])
        etc = ", ..." if len(self) > 2 else ""
        return f"{len(self)} photos ({names}{etc}){f' of {data}' if data else ''}"

    def __len__(self) -> int:
        """Number of photos."""
        return len(self.photos)

    def __contains__(self, photo: object) -> bool:
        """Whether there is a photo of this name or key."""
        return photo in self._rows

    @property
    def names(self) -> tuple[str, ...]:
        """Of all photos, in the order of the data set."""
        return tuple(photo.name for photo in self.photos)

    @property
    def num_boxes(self) -> int:
        """Of all photos together."""
        return sum(photo.num_boxes for photo in self.photos)

    def find(self, photo: str) -> StoredPhoto:
        """What is known of a photo, by its name or else its key (the first of equal content).

        Raises:
            DataError: no such photo.
        """
        return self.photos[self._row(photo)]

    def _row(self, photo: str) -> int:
        if photo not in self._rows:
            raise DataError(
                f"{self.path}: has no photo {quote(photo)}; it was made for {self.made_for()}. "
                "Run `upscore proposals make` for the data set of this photo"
            )
        return self._rows[photo]

    def read(self, photo: str) -> Proposals:
        """The boxes of a photo, by its name or else its key.

        Raises:
            DataError: no such photo, or the file is damaged there.
        """
        row = self._row(photo)
        group = int(np.searchsorted(self._starts, row, side="right")) - 1
        place = row - int(self._starts[group])
        try:
            table = self._group(group)
            boxes = _values(table["boxes"], place).reshape(-1, 4)
            return Proposals(boxes, _values(table["scores"], place))
        except Exception as error:  # pyarrow raises many kinds
            name = self.photos[row].name
            raise DataError(f"{_damaged(self.path, error)} (at photo {quote(name)})") from error

    def _group(self, group: int) -> pa.Table:
        """A row group's boxes; the last one is kept, for its next photo. One thread at a time."""
        with self._lock:
            if self._last is None or self._last[0] != group:
                table = self._file.read_row_group(group, columns=_ARRAYS, use_threads=False)
                self._last = group, table
            return self._last[1]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path,)


def _values(column: pa.ChunkedArray, place: int) -> npt.NDArray[np.float32]:
    """The list at ``place``: a view into the row group, without copying."""
    array = column.chunk(0)
    start, stop = array.offsets[place].as_py(), array.offsets[place + 1].as_py()
    values: npt.NDArray[np.float32] = array.values.to_numpy(zero_copy_only=True)[start:stop]
    return values


def _mapped(path: Path) -> mmap.mmap:
    refuse_pipe(path)
    try:
        with path.open("rb") as stream:
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"{path}: no such file{near_path(path)}; "
            f"`upscore proposals make --data PATH --out {path}` makes it"
        ) from error
    except (OSError, ValueError) as error:  # a folder, no permission, an empty file
        raise DataError(f"{path}: cannot be read as a store of boxes ({error})") from error


def _about(file: pq.ParquetFile, path: Path) -> dict[str, Any]:
    """The JSON in the metadata, checked."""
    stored = (file.metadata.metadata or {}).get(_KEY)
    if stored is None:
        raise DataError(
            f"{path}: a Parquet file, but not a store of boxes that `upscore proposals make` wrote"
        )
    about = parse_json(stored)
    good = file.schema_arrow.equals(_SCHEMA)
    if isinstance(about, dict):
        refuse_newer(path, about, FORMAT_VERSION)
        good &= all(isinstance(about.get(key), dict) for key in ("settings", "data"))
    if not good or not isinstance(about, dict):
        raise ValueError("columns or metadata are not those of a store")
    return about


def _damaged(path: Path, error: Exception) -> str:
    return f"{path}: {_DAMAGED} ({first_line(error).rstrip('.')}); {_FIX}"


def plain_settings(settings: Mapping[str, Any]) -> JSONObject:
    """Settings as they come back from a file: tuples are lists, keys are sorted.

    Raises:
        SettingsError: something in them that JSON does not know.
    """
    try:
        plain: JSONObject = json.loads(json.dumps(dict(settings), sort_keys=True, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise SettingsError(f"settings of a source must be JSON values: {error}") from error
    return plain


def settings_differences(there: Any, here: Any, key: str = "") -> list[str]:
    """What differs between the settings of a store and others, one phrase a dotted key."""
    if isinstance(there, Mapping) and isinstance(here, Mapping):
        if "kind" in there and "kind" in here and there["kind"] != here["kind"]:
            there, here = {"kind": there["kind"]}, {"kind": here["kind"]}
        found = []
        for name in sorted({*there, *here}):
            inner = f"{key}.{name}" if key else name
            found += settings_differences(there.get(name), here.get(name), inner)
        return found
    return [] if there == here else [f"{key} {_show(there)} there, {_show(here)} here"]


def _show(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."


class StoreWriter:
    """Adds photos to a store that is being written; see :func:`write_store`."""

    def __init__(self, writer: pq.ParquetWriter) -> None:
        self._writer = writer
        self._rows: list[tuple[StoredPhoto, Proposals]] = []
        self._boxes = 0

    def add(self, photo: StoredPhoto, proposals: Proposals) -> None:
        """The next photo, with its boxes."""
        assert photo.num_boxes == len(proposals)
        self._rows.append((photo, proposals))
        self._boxes += len(proposals)
        if self._boxes >= GROUP_BOXES or len(self._rows) >= GROUP_PHOTOS:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait as a row group."""
        if not self._rows:
            return
        photos = [photo for photo, _ in self._rows]
        columns = {
            "name": [photo.name for photo in photos],
            "key": [photo.key for photo in photos],
            "height": [photo.size[0] for photo in photos],
            "width": [photo.size[1] for photo in photos],
            "count": [photo.num_boxes for photo in photos],
            "boxes": _lists([proposals.boxes.ravel() for _, proposals in self._rows]),
            "scores": _lists([proposals.scores for _, proposals in self._rows]),
        }
        table = pa.table(columns, schema=_SCHEMA)
        self._writer.write_table(table, row_group_size=len(photos))
        self._rows.clear()
        self._boxes = 0


def _lists(rows: list[npt.NDArray[np.float32]]) -> pa.ListArray:
    offsets = np.cumsum([0, *map(len, rows)], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.concatenate(rows)), type=_FLOATS)


@contextlib.contextmanager
def write_store(
    path: Path, *, settings: Mapping[str, Any], data: Mapping[str, Any]
) -> Iterator[StoreWriter]:
    """Write a store; ``path`` appears whole when the block succeeds, or stays as it was.

    Args:
        settings: of the source, JSON values.
        data: which data set, JSON values.

    Raises:
        OutputError: cannot write.
        SettingsError: settings that are no JSON.
    """
    about = {
        "format_version": FORMAT_VERSION,
        "settings": plain_settings(settings),
        "data": plain_settings(data),
    }
    text = json.dumps(about, sort_keys=True, ensure_ascii=False)
    with (
        atomic_path(path) as temporary,
        temporary.open("wb") as stream,
        pq.ParquetWriter(
            stream,
            _SCHEMA.with_metadata({_KEY: text.encode()}),
            # uncompressed, the index of 12,000 photos reads four times as fast
            compression={**dict.fromkeys(_INDEX, "none"), **dict.fromkeys(_LEAVES, "zstd")},
            # coordinates are whole numbers, mostly: a fifth smaller than plain zstd
            column_encoding=dict.fromkeys(_LEAVES, "BYTE_STREAM_SPLIT"),
            use_dictionary=False,
            write_statistics=False,
            write_page_checksum=True,
        ) as writer,
    ):
        rows = StoreWriter(writer)
        yield rows
        rows.flush()
