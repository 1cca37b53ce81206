"""Requests to web servers that may redirect anywhere, send anything, or hardly anything."""

from __future__ import annotations

import http.client
import io
import math
import time
import urllib.error
import urllib.request
from typing import IO, Any

SLOWEST = 100
"""Bytes per second; the timeout of a socket alone lets a server send one byte now and then."""


def open_url(request: urllib.request.Request, timeout: float) -> http.client.HTTPResponse:
    """The answer to a request, after redirects to other http and https addresses.

    Args:
        timeout: seconds for the connection, for the headers, and for each ``SLOWEST * timeout``
            bytes of the content.

    Raises, and so does reading the answer:
        OSError: no connection, an answer that reports an error (HTTPError), or too slow.
        http.client.HTTPException: an answer or a redirect that cannot be understood.
    """
    opener = urllib.request.build_opener(_Handler, _RedirectHandler)
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout)
    except ValueError as error:  # also UnicodeError, for the name of a host
        raise http.client.InvalidURL(str(error)) from error
    return response


class _PacedStream(io.RawIOBase):
    """What a connection brings, at least ``least`` bytes in each ``seconds``."""

    def __init__(self, stream: io.RawIOBase, seconds: float) -> None:
        self._stream, self.seconds = stream, seconds
        self.least = math.inf
        self._since, self._count = time.monotonic(), 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._stream.readinto(buffer)
        self._count += count or 0
        now = time.monotonic()
        if count and now - self._since > self.seconds:
            if self._count < self.least:
                raise TimeoutError(f"too slow: {self._count} bytes in {now - self._since:.0f} s")
            self._since, self._count = now, 0
        return count

    def close(self) -> None:
        self._stream.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self._paced = _PacedStream(self.fp.detach(), sock.gettimeout())
        self.fp = io.BufferedReader(self._paced)

    def begin(self) -> None:
        super().begin()  # until here, any number of bytes is too few
        self._paced.least = SLOWEST * self._paced.seconds


class _Connection(http.client.HTTPConnection):
    response_class = _Response


class _SecureConnection(http.client.HTTPSConnection):
    response_class = _Response


class _Handler(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_Connection, request)

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_SecureConnection, request)


class _RedirectHandler(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if not newurl.startswith(("http://", "https://")):  # the base class allows ftp
            raise ValueError(f"a redirect to {newurl}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)
