"""Downloads against a server on this machine that breaks off, refuses, or sends something else."""

from __future__ import annotations

import errno
import hashlib
import itertools
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from file_server import CONTENT, Server, answering, serving
from upscore.core import files, web
from upscore.core.files import download
from upscore.errors import OutputError, WorkError

MD5 = f"md5:{hashlib.md5(CONTENT).hexdigest()}"


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running


Headers = tuple[tuple[str, str], ...]


def part(target: Path) -> Path:
    return target.with_name(target.name + ".part")


def test_whole(server: Server, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    target = tmp_path / "deep" / "file.bin"
    done = download(server.url, target, expected=MD5, progress=lambda *s: steps.append(s))
    assert done == target
    assert target.read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), len(CONTENT))
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_without_a_checksum_or_a_length(server: Server, tmp_path: Path) -> None:
    server.send_length = False
    steps: list[tuple[int, int | None]] = []
    download(server.url, tmp_path / "a", progress=lambda *step: steps.append(step))
    assert (tmp_path / "a").read_bytes() == CONTENT
    assert steps[-1] == (len(CONTENT), None)


@pytest.mark.parametrize("send_length", [True, False])
def test_larger_than_allowed(server: Server, tmp_path: Path, send_length: bool) -> None:
    server.send_length = send_length
    found = "has 0.0 GiB" if send_length else "sends more than that"
    with pytest.raises(WorkError, match=f"at most 0.0 GiB, and the server {found}.*is the address"):
        download(server.url, tmp_path / "a", at_most=len(CONTENT) - 1)
    assert list(tmp_path.iterdir()) == []
    download(server.url, tmp_path / "a", at_most=len(CONTENT))
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_a_length_that_is_no_number(server: Server, tmp_path: Path) -> None:
    server.send_length = False
    server.headers = (("Content-Length", "many"),)
    download(server.url, tmp_path / "a", expected=MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_goes_on_after_a_broken_connection(server: Server, tmp_path: Path) -> None:
    server.break_after = 100_000
    target = tmp_path / "a"
    for have in (100_000, 200_000):
        with pytest.raises(WorkError, match=f"broke after {have} of 300000 bytes; run the same"):
            download(server.url, target, expected=MD5)
        assert not target.exists()
    download(server.url, target, expected=MD5)
    assert target.read_bytes() == CONTENT
    assert server.requests == [None, "bytes=100000-", "bytes=200000-"]
    assert not part(target).exists()


DATE = "Mon, 30 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(
    ("first", "then", "resumes"),
    [
        ((("ETag", '"1"'),), (("ETag", '"1"'),), True),
        ((("ETag", '"1"'),), (("ETag", '"2"'),), False),
        ((("ETag", 'W/"1"'), ("Last-Modified", DATE)), (("Last-Modified", DATE),), True),
        ((("Last-Modified", DATE),), (("Last-Modified", DATE.replace("10", "11")),), False),
        ((("ETag", 'W/"1"'),), (("ETag", 'W/"1"'),), False),
        ((), (), False),
    ],
)
def test_without_a_checksum_only_the_same_version_is_resumed(
    server: Server, tmp_path: Path, first: Headers, then: Headers, resumes: bool
) -> None:
    """Half of one file and half of another would be weights of nothing."""
    server.break_after, server.headers = 100_000, first
    target = tmp_path / "a"
    with pytest.raises(WorkError, match="broke after 100000"):
        download(server.url, target)
    server.break_after, server.headers = None, then
    if not resumes:
        server.content = CONTENT[::-1]
    download(server.url, target)
    assert target.read_bytes() == server.content
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    if resumes:
        assert server.requests == [None, "bytes=100000-"]


def test_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    part(tmp_path / "a").write_bytes(CONTENT[:1000])
    server.ranges = False
    download(server.url, tmp_path / "a", expected=MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_server_that_sends_another_part(server: Server, tmp_path: Path) -> None:
    part(tmp_path / "a").write_bytes(CONTENT[:1000])
    server.shift = 7
    with pytest.raises(WorkError, match="another part than asked for"):
        download(server.url, tmp_path / "a", expected=MD5)
    server.shift = 0
    download(server.url, tmp_path / "a", expected=MD5)


def test_part_that_is_whole_already(server: Server, tmp_path: Path) -> None:
    part(tmp_path / "a").write_bytes(CONTENT)
    download(server.url, tmp_path / "a", expected=MD5)  # answered 416
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_part_longer_than_the_file_is_dropped(server: Server, tmp_path: Path) -> None:
    part(tmp_path / "a").write_bytes(CONTENT + b"old release")
    with pytest.raises(WorkError, match=r"300011 bytes\) is no part of the one on the server"):
        download(server.url, tmp_path / "a", expected=MD5)
    download(server.url, tmp_path / "a", expected=MD5)
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_wrong_checksum_drops_the_part(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[::-1]
    with pytest.raises(
        WorkError, match=r"md5 is .* expected .* It was deleted; run the same command"
    ):
        download(server.url, tmp_path / "a", expected=MD5)
    assert list(tmp_path.iterdir()) == []
    server.content = CONTENT
    download(server.url, tmp_path / "a", expected=MD5)


def test_part_of_another_release_is_found_by_its_checksum(server: Server, tmp_path: Path) -> None:
    part(tmp_path / "a").write_bytes(b"x" * 1000)
    with pytest.raises(WorkError, match="md5 is"):
        download(server.url, tmp_path / "a", expected=MD5)
    download(server.url, tmp_path / "a", expected=MD5)


def test_what_is_there_is_checked_and_kept(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(CONTENT)
    download(server.url, tmp_path / "a", expected=MD5)
    assert server.requests == []
    (tmp_path / "a").write_bytes(b"x")
    with pytest.raises(WorkError, match="Delete it and download again"):
        download(server.url, tmp_path / "a", expected=MD5)
    assert (tmp_path / "a").read_bytes() == b"x"  # a file of the user's is never removed


@pytest.mark.parametrize("status", [404, 403, 500])
def test_refused(server: Server, tmp_path: Path, status: int) -> None:
    server.status = status
    with pytest.raises(WorkError, match=f"the server answered {status} .*--from FILE"):
        download(server.url, tmp_path / "a", expected=MD5)
    assert list(tmp_path.iterdir()) == []


def test_empty_answer(server: Server, tmp_path: Path) -> None:
    server.content = b""
    with pytest.raises(WorkError, match="the server sent an empty file"):
        download(server.url, tmp_path / "a")


def test_offline(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(WorkError, match=r"cannot be reached .*Are you offline\?.*--from FILE"):
        download(f"http://127.0.0.1:{port}/a", tmp_path / "a")


def test_unknown_host(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="cannot be reached"):
        download("http://upscore.invalid/a", tmp_path / "a", timeout=2)


def test_silence_is_not_waited_out(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a"
        with pytest.raises(WorkError, match="cannot be reached"):
            download(url, tmp_path / "a", timeout=0.2)


def test_no_http_at_all(tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(WorkError, match=r"not as a web server does \(SSH-2.0-OpenSSH_9.2\)"):
            download(f"http://127.0.0.1:{listener.getsockname()[1]}/a", tmp_path / "a")
        thread.join()


def head(status: str, *headers: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode("latin1")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"\x00\xff\xfegarbage\r\n\r\n", r"not as a web server does \(.*garbage\)"),
        (b"HTTP/1.1 abc OK\r\n\r\n", r"not as a web server does \(HTTP/1.1 abc OK\)"),
        (
            head("200 OK", *["X: 1"] * 200),
            r"not as a web server does \(got more than 100 headers\)",
        ),
        (head("302 Found", "Location: http://[bad/x"), "does .Invalid IPv6 URL"),
        (head("302 Found", "Location: http://a..b/x"), "does .encoding with 'idna'.*label"),
        (head("302 Found", "Location: http://127.0.0.1:b/x"), "does .nonnumeric port"),
        (head("302 Found", "Location: ftp://127.0.0.1:1/x"), "does .a redirect to ftp://127.0.0.1"),
        (head("302 Found", "Location: file:///etc/passwd"), "answered 302 .* is not allowed"),
        (head("302 Found", "Location: /file.bin"), "302 The HTTP server.*an infinite loop; give"),
        (head("200 OK", "Transfer-Encoding: chunked") + b"ZZZ\r\nabc", "broke after 0 bytes"),
        (head("200 OK", "Transfer-Encoding: chunked") + b"A\r\nabc", "broke after 3 bytes .Incom"),
    ],
)
def test_answers_and_redirects_that_cannot_be_used(
    tmp_path: Path, answer: bytes, message: str
) -> None:
    with answering(lambda: [answer]) as url, pytest.raises(WorkError, match=message) as error:
        download(url, tmp_path / "a")
    assert "offline" not in str(error.value)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "a").exists()


@pytest.fixture
def second_per_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock by which a second passes whenever bytes arrive."""
    ticks = itertools.count()
    monkeypatch.setattr(web, "time", SimpleNamespace(monotonic=lambda: next(ticks)))


@pytest.mark.usefixtures("second_per_look")
def test_a_body_that_trickles_is_given_up_and_resumed(tmp_path: Path) -> None:
    arrived = threading.Semaphore()
    whole = head("200 OK", 'ETag: "1"', "Content-Length: 1000")

    def trickle() -> Iterator[bytes]:
        yield whole
        for byte in CONTENT[:1000]:
            arrived.acquire()
            yield bytes([byte])

    with answering(trickle) as url, pytest.raises(WorkError, match=r"broke after .*too slow: "):
        download(url, tmp_path / "a", progress=lambda *_: arrived.release())
    have = part(tmp_path / "a").stat().st_size
    assert part(tmp_path / "a").read_bytes() == CONTENT[:have]
    assert have > 10


@pytest.mark.usefixtures("second_per_look")
@pytest.mark.parametrize(
    "answer",
    [
        head("100 Continue") * 20_000 + head("200 OK", "Content-Length: 1"),
        head("200 OK", "Content-Length: 1", *["X: " + "x" * 60_000] * 50),
    ],
    ids=["many answers", "long headers"],
)
def test_headers_without_end_are_given_up(tmp_path: Path, answer: bytes) -> None:
    """Not even where they come fast."""
    with answering(lambda: [answer, b"x"]) as url, pytest.raises(WorkError, match="too slow: "):
        download(url, tmp_path / "a")


@pytest.mark.parametrize(
    ("have", "headers"),
    [
        (0, ["Content-Range: bytes 0-9/1000", "Content-Length: 10"]),
        (5, ["Content-Range: bytes 5-14/*", "Content-Length: 10"]),
        (5, ["Content-Range: bytes 5-14/15", "Content-Length: 10", 'ETag: "2"']),
        (5, ["Content-Range: bytes 6-15/16", "Content-Length: 10"]),
        (5, ["Content-Length: 10"]),
    ],
)
def test_an_answer_that_does_not_follow_the_part(
    tmp_path: Path, have: int, headers: list[str]
) -> None:
    if have:
        part(tmp_path / "a").write_bytes(bytes(have))
        part(tmp_path / "a").with_name("a.part.version").write_text('"1"')
    answer = head("206 Partial Content", *headers) + bytes(10)
    with (
        answering(lambda: [answer]) as url,
        pytest.raises(WorkError, match="another part than asked for, or one of another file; run"),
    ):
        download(url, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [["Content-Length: 10"], []])
def test_a_shorter_range_than_asked_for_is_no_whole_file(tmp_path: Path, length: list[str]) -> None:
    part(tmp_path / "a").write_bytes(bytes(5))
    part(tmp_path / "a").with_name("a.part.version").write_text('"1"')
    answer = head("206 Partial Content", "Content-Range: bytes 5-14/1000", 'ETag: "1"', *length)
    with (
        answering(lambda: [answer + bytes(10)]) as url,
        pytest.raises(WorkError, match="broke after 15 of 1000 bytes"),
    ):
        download(url, tmp_path / "a")
    assert part(tmp_path / "a").stat().st_size == 15


def test_nothing_left_of_a_file_of_unknown_size_is_no_whole_file(tmp_path: Path) -> None:
    part(tmp_path / "a").write_bytes(bytes(5))
    part(tmp_path / "a").with_name("a.part.version").write_text('"1"')
    answer = head("416 Range Not Satisfiable", "Content-Length: 0")
    with (
        answering(lambda: [answer]) as url,
        pytest.raises(WorkError, match=r"\(unknown bytes\) and was dropped; run the same"),
    ):
        download(url, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_disk_full(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise files.explain_os_error(OSError(errno.ENOSPC, "full"), tmp_path / "a.part")

    monkeypatch.setattr(files, "_append", full)
    with pytest.raises(OutputError, match="the disk is full"):
        download(server.url, tmp_path / "a")


def test_folder_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    part(tmp_path / "a").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        download(server.url, tmp_path / "a")
