"""Make a store of boxes for many photos: in several processes, resumed where it was stopped."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import shutil
import time
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from upscore.core.failures import Failure, format_failures
from upscore.core.files import explain_os_error
from upscore.core.images import read_image
from upscore.core.json import JSONObject
from upscore.core.limits import MAX_PIXELS
from upscore.core.lock import claim
from upscore.core.parallel.map import map_items, num_processes
from upscore.core.photo_values import AS_STORED, PhotoValues
from upscore.errors import (
    DataError,
    NotFoundError,
    OutputError,
    SettingsError,
    UpscoreError,
    WorkError,
)
from upscore.proposals.base import Proposals, ProposalSource, image_key
from upscore.proposals.store import (
    SUFFIX,
    ProposalStore,
    StoredPhoto,
    plain_settings,
    settings_differences,
    write_store,
)

PART_PHOTOS = 32
"""A part is written when so many photos are done."""
PART_SECONDS = 10.0
"""Or when the last one was written so long ago: what a kill can cost."""

WORTH = 16
"""Photos that a further process must get: its start costs as much as it saves over so many."""

OPEN_PARTS = 8
"""Parts that are open at once while they are joined."""


@dataclass(frozen=True)
class Photo:
    """A photo of a data set, by a name that is unique there."""

    name: str
    path: Path


@dataclass
class MakeSummary:
    """Counts, failures and times of making a store.

    Attributes:
        photos: that the store holds.
        boxes: of all of them.
        computed: photos whose boxes were computed now; those of the others were there already.
        failures: (file, message) of photos that the store lacks.
        seconds: wall time of the whole.
        file_bytes: size of the store.
    """

    photos: int = 0
    boxes: int = 0
    computed: int = 0
    failures: list[tuple[Path, str]] = field(default_factory=list)
    seconds: float = 0.0
    file_bytes: int = 0

    def check(self) -> None:
        """Raise WorkError that lists the photos that failed, if any did."""
        if not self.failures:
            return
        count = "1 photo has" if len(self.failures) == 1 else f"{len(self.failures)} photos have"
        rest = "all others are done" if self.photos else "nothing was written"
        begin = f"{count} no boxes; {rest} (the same command tries again):"
        raise WorkError(format_failures(begin, [message for _, message in self.failures]))


def make_store(
    photos: Sequence[Photo],
    source: ProposalSource,
    out: Path,
    *,
    data: Mapping[str, Any] | None = None,
    workers: int | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
    max_pixels: int = MAX_PIXELS,
    values: PhotoValues = AS_STORED,
) -> MakeSummary:
    """Compute the boxes of photos and write them to a store, in the photos' order.

    Nothing is computed twice: boxes that ``out`` holds already, of the same settings and of a photo
    of the same name and pixels, are taken over. What is finished goes to parts in ``out.parts/``,
    which become ``out`` at the end; after an interruption, or a kill, the same call resumes from
    them. The file does not depend on interruptions or on the number of workers.

    A photo that cannot be done does not stop the others: call ``check`` on what is returned.

    Args:
        photos: those the store is to hold.
        source: makes the boxes; must pickle when there are several workers.
        out: ``FILE.parquet``; it appears whole or not at all.
        data: which data set, JSON values for the file's metadata.
        workers: processes of one core each; None for one a core, or fewer for few photos. With 1,
            all is done in this process; with more, a script that defines ``source`` itself needs
            ``if __name__ == "__main__":``.
        overwrite: replace a store of other settings, or that holds other photos, and drop
            unfinished work of other settings.
        progress: called with (photos done, photos in all).
        max_pixels: larger photos fail.
        values: how values of photos become 8-bit RGB.

    Raises:
        DataError: no photo, or ``out`` is not a store.
        SettingsError: ``workers`` below 1, another suffix than .parquet, two photos of one name; or
            ``out`` or unfinished work of other settings or photos, without ``overwrite``; or
            another job makes ``out`` just now. And what the source raises.
        OutputError: cannot write; what was finished stays.
        WorkError: a process died; likewise.
    """
    begin = time.perf_counter()
    _require_photos(photos)
    processes = num_processes(workers, len(photos), worth=WORTH)
    if out.suffix.lower() != SUFFIX:
        raise SettingsError(
            f"{out}: expected a name that ends in {SUFFIX}, for example boxes{SUFFIX}"
        )
    if out.is_dir():
        raise SettingsError(
            f"{out}: is a folder; name a file in it, for example {out / 'boxes.parquet'}"
        )
    partial = _PartialStore(out, plain_settings(source.settings()), plain_settings(data or {}))
    # before the work: an out that cannot be written, or is in use, fails at once
    with claim(partial.folder, "a job that finds boxes"):
        partial.find({photo.name for photo in photos}, overwrite=overwrite)
        tasks = [_Task(photo, partial.keys(photo.name)) for photo in photos]
        if processes > 1:  # the first is done in this process, to compile what all need
            tasks.sort(key=lambda task: bool(task.known))
        found = map_items(
            _Work(source, max_pixels, values),
            tasks,
            name=_path,
            doing="find its boxes",
            processes=processes,
            one_core=True,
            if_died="finished work is kept: the same command continues from there; try it with "
            "fewer --workers",
        )
        summary = MakeSummary()
        keys: dict[str, str] = {}
        messages: dict[str, str] = {}
        try:
            with contextlib.closing(found):
                for number, (task, result) in enumerate(found, start=1):
                    name = task.photo.name
                    if isinstance(result, Failure):
                        messages[name] = result.message
                    else:
                        keys[name] = result.key
                        if result.proposals is not None:
                            summary.computed += 1
                            partial.add(name, result)
                    if progress:
                        progress(number, len(tasks))
            rows = [(photo.name, keys[photo.name]) for photo in photos if photo.name in keys]
            if rows:
                partial.finish(rows)
        except OutputError:  # nor could the rest be written
            raise
        except BaseException:  # Ctrl-C among them
            with contextlib.suppress(OutputError):
                partial.flush()
            raise
    if rows:
        store = ProposalStore.open(out)
        summary.photos, summary.boxes = len(store), store.num_boxes
        summary.file_bytes = out.stat().st_size
    summary.failures = [(p.path, messages[p.name]) for p in photos if p.name in messages]
    summary.seconds = time.perf_counter() - begin
    return summary


def _require_photos(photos: Sequence[Photo]) -> None:
    if not photos:
        raise DataError("no photo to make boxes of; is the data set, or its split, empty?")
    paths: dict[str, Path] = {}
    for photo in photos:
        if photo.name in paths:
            raise SettingsError(
                f"{paths[photo.name]} and {photo.path} share the name {photo.name!r}; names of "
                "photos must differ"
            )
        paths[photo.name] = photo.path


# -- one photo -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Task:
    """A photo, and the keys of its content that boxes are there for already."""

    photo: Photo
    known: frozenset[str]


@dataclass(frozen=True)
class _Result:
    """Key and size of a photo, and its boxes; None where they are there already."""

    key: str
    size: tuple[int, int]
    proposals: Proposals | None


@dataclass(frozen=True)
class _Work:
    """Finds the boxes of one photo after another; it goes to each process once."""

    source: ProposalSource
    max_pixels: int
    values: PhotoValues

    def __call__(self, task: _Task) -> _Result | Failure:
        """The boxes of a photo.

        Raises:
            DataError: what is wrong with this photo.
            UpscoreError: the source cannot work, on no photo at all.
        """
        photo = task.photo
        try:
            photo.name.encode()
            image = read_image(photo.path, max_pixels=self.max_pixels, values=self.values)
        except UnicodeEncodeError:  # nor can it be printed as it is
            text = f"{photo.path!r}: the name is no text that can be stored; rename the photo"
            return Failure(0, repr(photo.name), text)
        except NotFoundError as error:
            raise DataError(str(error)) from error
        key = image_key(image)
        if key in task.known:
            return _Result(key, image.shape[:2], None)
        return _Result(key, image.shape[:2], self.source(image, name=photo.name))


def _path(task: _Task) -> str:
    return str(task.photo.path)


# -- boxes that were made before ------------------------------------------------------------------


class _PartialStore:
    """Boxes that are there: in the store of an earlier call, and in parts beside it.

    Parts are stores of their own, each of some photos in the order in which they were done.
    """

    def __init__(self, out: Path, settings: JSONObject, data: JSONObject) -> None:
        self.out = out
        self.folder = out.with_name(f"{out.name}.parts")
        self.settings = settings
        self.data = data
        self._where: dict[str, dict[str, Path]] = {}  # name -> key -> file
        self._rows: list[tuple[StoredPhoto, Proposals]] = []  # of the next part
        self._written = time.monotonic()

    def keys(self, name: str) -> frozenset[str]:
        """Of the content that a photo had when its boxes were made."""
        return frozenset(self._where.get(name, ()))

    def find(self, names: Set[str], *, overwrite: bool) -> None:
        """Look what is there of photos of these names; refuse what does not fit (SettingsError)."""
        if self.out.exists():
            try:
                store = ProposalStore.open(self.out)
            except UpscoreError:
                if not overwrite:
                    raise
            else:
                self._take(store, f"{self.out}: holds boxes", names, overwrite)
        for path in sorted(self.folder.glob(f"*{SUFFIX}")):
            try:
                part = ProposalStore.open(path)
            except UpscoreError:  # cut off by a crash of the machine: done again
                continue
            self._take(part, f"{self.folder}: holds unfinished work", names, overwrite)

    def _take(self, store: ProposalStore, what: str, names: Set[str], overwrite: bool) -> None:
        differences = settings_differences(store.settings, self.settings)
        others = [photo.name for photo in store.photos if photo.name not in names]
        if differences and not overwrite:
            raise SettingsError(
                f"{what} of other settings: {'; '.join(differences)}. Give those, another --out, "
                "or --overwrite to drop it"
            )
        if others and not overwrite:
            raise SettingsError(
                f"{what} of {len(others)} photos that are not asked for, as {others[0]!r}. Give "
                "another --out, leave out --split to have all, or --overwrite to drop it"
            )
        if not differences:
            for photo in store.photos:
                self._where.setdefault(photo.name, {})[photo.key] = store.path

    def add(self, name: str, result: _Result) -> None:
        """Boxes of one more photo. Raises OutputError when they cannot be written."""
        assert result.proposals is not None
        photo = StoredPhoto(name, result.key, result.size, len(result.proposals))
        self._rows.append((photo, result.proposals))
        late = time.monotonic() - self._written >= PART_SECONDS
        if late or len(self._rows) >= PART_PHOTOS:
            self.flush()

    def flush(self) -> None:
        """Write what was added since the last part."""
        if self._rows:
            content = "".join(f"{photo.key} {photo.name}\n" for photo, _ in self._rows)
            digest = hashlib.sha256(content.encode()).hexdigest()[:16]
            path = self.folder / f"{digest}{SUFFIX}"
            with write_store(path, settings=self.settings, data=self.data) as writer:
                for row in self._rows:
                    writer.add(*row)
            for photo, _ in self._rows:
                self._where.setdefault(photo.name, {})[photo.key] = path
            self._rows.clear()
        self._written = time.monotonic()

    def finish(self, rows: Sequence[tuple[str, str]]) -> None:
        """Join all to the store of these (name, key), and drop the parts.

        Raises:
            OutputError: cannot write.
            DataError: a part is damaged.
        """
        self.flush()
        if not self._is_finished(rows):
            opened = functools.lru_cache(OPEN_PARTS)(ProposalStore.open)
            joined = self.folder / "joined"  # what a kill leaves of it goes with the parts
            with write_store(joined, settings=self.settings, data=self.data) as writer:
                for name, key in rows:
                    store = opened(self._where[name][key])
                    writer.add(store.find(name), store.read(name))
            try:
                joined.replace(self.out)
            except OSError as error:
                raise explain_os_error(error, self.out) from error
        shutil.rmtree(self.folder, ignore_errors=True)

    def _is_finished(self, rows: Sequence[tuple[str, str]]) -> bool:
        if any(self._where[name][key] != self.out for name, key in rows):
            return False
        store = ProposalStore.open(self.out)
        there = [(photo.name, photo.key) for photo in store.photos]
        return there == list(rows) and store.data == self.data
