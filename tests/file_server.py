"""A server on this machine that breaks off, refuses, or sends something else."""

from __future__ import annotations

import contextlib
import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONTENT = bytes(i * 7919 % 251 for i in range(300_000))


class Server(ThreadingHTTPServer):
    """Serves CONTENT at every path; the attributes say how badly."""

    daemon_threads = True
    ranges = True
    break_after: int | None = None  # bytes of one answer, then the connection closes
    status: int | None = None
    content = CONTENT
    send_length = True
    shift = 0  # a range that begins elsewhere than asked
    headers: tuple[tuple[str, str], ...] = ()  # such as an ETag
    requests: list[str | None]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file.bin"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        wanted = self.headers.get("Range")
        server.requests.append(wanted)
        if server.status is not None:
            self.send_error(server.status)
            return
        version = self.headers.get("If-Range")
        same = version is None or version in dict(server.headers).values()
        resumes = wanted and server.ranges and same
        begin = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and resumes else 0
        size = len(server.content)
        if begin >= size and begin:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        begin = begin + server.shift if begin else 0
        body = server.content[begin:]
        self.send_response(206 if begin else 200)
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{size - 1}/{size}")
        if server.send_length:
            self.send_header("Content-Length", str(len(body)))
        for header in server.headers:
            self.send_header(*header)
        self.end_headers()
        if server.break_after is not None:
            body = body[: server.break_after]
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


class _Answers(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        while self.rfile.readline().strip():  # to the end of the request
            pass
        with contextlib.suppress(OSError):  # nobody listens any more
            for piece in self.server.answer():  # type: ignore[attr-defined]
                self.wfile.write(piece)


@contextlib.contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@contextlib.contextmanager
def serving() -> Iterator[Server]:
    running = Server(("127.0.0.1", 0), Handler)
    running.requests = []
    with _running(running):
        yield running


@contextlib.contextmanager
def answering(answer: Callable[[], Iterable[bytes]]) -> Iterator[str]:
    """The address of a server that sends these bytes to each request, HTTP or not."""
    running = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _Answers)
    running.daemon_threads = True
    running.answer = answer  # type: ignore[attr-defined]
    with _running(running):
        yield f"http://127.0.0.1:{running.server_address[1]}/file.bin"
