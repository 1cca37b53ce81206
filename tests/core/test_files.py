"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from upscore.core import files
from upscore.core.files import (
    atomic_path,
    checksum,
    make_folder,
    read_json,
    verify,
    write_json,
    write_text,
)
from upscore.errors import NotFoundError, OutputError, RunError, WorkError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_parents_are_made_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b" / "c.txt", "grüße")
    assert (tmp_path / "a" / "b" / "c.txt").read_text(encoding="utf-8") == "grüße"
    assert names(tmp_path / "a" / "b") == ["c.txt"]


def test_names_that_are_no_text_are_kept(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"name": "caf\udce9"})
    assert read_json(tmp_path / "a.json") == {"name": "caf\udce9"}


def test_old_content_until_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_path(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError("x"), KeyboardInterrupt(), OutputError("full")])
def test_an_error_in_the_block_passes_and_changes_nothing(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a.txt", "x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o640


def test_the_umask_of_the_process_is_never_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even for a moment: files of other threads would get the permissions of that moment."""

    def refuse(_: int) -> int:
        raise AssertionError("os.umask was called")

    monkeypatch.setattr(os, "umask", refuse)
    write_text(tmp_path / "a.txt", "x")
    assert (tmp_path / "a.txt").read_text() == "x"


def test_long_names(tmp_path: Path) -> None:
    write_text(tmp_path / ("n" * 250), "x")
    assert names(tmp_path) == ["n" * 250]


REASONS = [
    (errno.ENOSPC, "the disk is full"),
    (errno.EDQUOT, "your disk quota is used up"),
    (errno.EROFS, "the file system is read-only"),
    (errno.EACCES, "no permission to write there"),
    (errno.EPERM, "no permission to write there"),
    (errno.EIO, "Input/output error"),
]


@pytest.mark.parametrize(("code", "reason"), REASONS)
def test_failures_to_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, reason: str
) -> None:
    """Tests may run as root, who may write everywhere, so the refusal is simulated."""

    def refuse(_: Path) -> Path:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files, "temporary_file", refuse)
    with pytest.raises(OutputError, match=f"cannot write .*a.txt: {reason}") as caught:
        write_text(tmp_path / "a.txt", "x")
    assert caught.value.exit_code == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("where", ["write", "rename"])
def test_disk_full_half_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text" if where == "write" else "replace", full)
        with pytest.raises(OutputError, match=r"a.txt: the disk is full; free some space"):
            write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_file_where_a_folder_is_needed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        write_text(tmp_path / "a" / "b.txt", "x")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        make_folder(tmp_path / "a")
    make_folder(tmp_path / "b" / "c")
    make_folder(tmp_path / "b" / "c")


def test_folder_where_a_file_is_to_be(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == ["a.txt"]


def test_json(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ä": [1, None]})
    assert read_json(tmp_path / "a.json") == {"ä": [1, None]}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", {"x": float("nan")})
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "damaged, not JSON"), (b"\xff\xfe", "damaged, not JSON"), (b"[1]", "found list")],
)
def test_damaged_json(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(RunError, match=message):
        read_json(tmp_path / "a.json")


def test_no_json(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_json(tmp_path / "a.json")


def test_checksums(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    assert checksum(path, "md5") == "900150983cd24fb0d6963f7d28e17f72"
    verify(path, "md5:900150983cd24fb0d6963f7d28e17f72")
    verify(path, "sha256:ba7816bf")  # torchvision's file names hold the first eight digits
    with pytest.raises(WorkError, match=r"md5 is 9001.* expected 0000; .*Delete it"):
        verify(path, "md5:0000")


def test_every_reason_has_words() -> None:
    for code, reason in REASONS:
        assert reason in str(files.explain_os_error(OSError(code, os.strerror(code)), Path("x")))


NOISE = np.random.default_rng(0).integers(0, 256, 1 << 17, dtype=np.uint8)


def write_parquet(path: Path) -> None:
    table = pa.table({"a": NOISE})
    with path.open("wb") as stream, pq.ParquetWriter(stream, table.schema) as writer:
        writer.write_table(table)


def write_npz(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, a=NOISE)


@contextlib.contextmanager
def no_more_than(num_bytes: int) -> Iterator[None]:
    """The system takes no more of any file, as on a disk that fills up."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: torch.save({"a": torch.from_numpy(NOISE)}, path),
        lambda path: save_file({"a": torch.from_numpy(NOISE)}, path),
        write_parquet,
        write_npz,
        lambda path: path.write_bytes(NOISE.tobytes()),
    ],
    ids=["torch", "safetensors", "parquet", "npz", "bytes"],
)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_is_told_alike_whatever_library_writes(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    path = tmp_path / "a.bin"
    path.write_text("old")
    with no_more_than(50_000), pytest.raises(OutputError) as caught, atomic_path(path) as temporary:
        write(temporary)
    assert str(caught.value) == (
        f"cannot write {path}: the file would be larger than the system allows (see ulimit -f)"
    )
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.bin"]
    del caught
    gc.collect()  # the zip file that numpy left open complains here and not in the next test


def test_other_errors_of_a_library_come_through(tmp_path: Path) -> None:
    with pytest.raises(AttributeError), atomic_path(tmp_path / "a.pt") as temporary:
        torch.save(lambda: 1, temporary)
    assert names(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes there")
def test_a_pipe_or_device_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/stdout"), Path(os.devnull)):
        with pytest.raises(OutputError, match=r"is a pipe or device, not a file; choose another"):
            write_text(path, "text")
    assert (tmp_path / "pipe").is_fifo()
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
