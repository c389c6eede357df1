"""One request to the outside: one deadline for all of it, no redirects, TLS
verified by the system's store.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException

from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
)
from urllib3.util import Url, make_headers, parse_url

BODY_BYTES = 64 * 1024
_PIECE_BYTES = 8192


class NoAnswer(Exception):
    """No whole answer came. `code` says why: bad_url, no_host, refused,
    timed_out, tls or broken.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Response:
    """What was answered: header names in small letters, and no more than the
    first 64 KiB of the body.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes


def fetch(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = 10.0,
) -> Response:
    """The answer, whatever its status; raise NoAnswer when there is none
    within `seconds`.

    Looking up the host's name is the system's affair, and the one part that the
    deadline cannot cut short.
    """
    give_up_at = time.monotonic() + seconds
    try:
        parsed = parse_url(url)
        connection = _connection(parsed, seconds)
        with _ended_at(give_up_at, connection, seconds):
            return _exchange(connection, method, parsed, body, dict(headers or {}))
    except (
        HTTPError,
        HTTPException,
        OSError,
        ValueError,
    ) as trouble:  # the last: a header that holds a newline
        raise _told(trouble, time.monotonic() >= give_up_at, seconds) from trouble


def _connection(url: Url, seconds: float) -> HTTPConnection:
    if url.host is None or url.scheme not in ("http", "https"):
        raise LocationParseError("an address must begin with http:// or https:// and name a host")
    host = url.host.strip("[]")
    if url.scheme == "http":
        return HTTPConnection(host, url.port, timeout=seconds)
    return HTTPSConnection(
        host, url.port, timeout=seconds, ssl_context=ssl.create_default_context()
    )


@contextmanager
def _ended_at(give_up_at: float, connection: HTTPConnection, seconds: float) -> Iterator[None]:
    """A timeout of a socket begins anew with every byte, so that an answer in
    drips has to be cut off from outside.
    """
    try:
        connection.connect()
        axe = threading.Timer(max(0.0, give_up_at - time.monotonic()), _cut, [connection.sock])
        axe.daemon = True
        axe.start()
        try:
            yield
        finally:
            axe.cancel()
        if time.monotonic() >= give_up_at:  # what was cut off can look like an answer that ended
            raise TimeoutError
    finally:
        connection.close()


def _cut(connection: socket.socket) -> None:
    with suppress(OSError):  # it ended just now by itself
        socket.socket.shutdown(
            connection, socket.SHUT_RDWR
        )  # the TLS object of the reading thread is left alone


def _exchange(
    connection: HTTPConnection, method: str, url: Url, body: bytes | None, headers: dict[str, str]
) -> Response:
    known = {"User-Agent": "gpt-cursor-runner", "Connection": "close"}
    if url.auth:
        known |= make_headers(basic_auth=url.auth)
    connection.request(
        method, url.request_uri, body, known | headers, preload_content=False, decode_content=False
    )
    answer = connection.getresponse()
    return Response(
        answer.status,
        {name.lower(): value for name, value in answer.headers.items()},
        _body(answer),
    )


def _body(answer: HTTPResponse) -> bytes:
    received = b""
    while len(received) < BODY_BYTES and (piece := answer.read1(_PIECE_BYTES)):
        received += piece
    return received[:BODY_BYTES]


def _told(trouble: Exception, is_late: bool, seconds: float) -> NoAnswer:
    causes = (trouble, trouble.__cause__)
    if any(isinstance(one, LocationParseError) for one in causes):
        return NoAnswer("bad_url", str(trouble))
    if any(isinstance(one, NameResolutionError | socket.gaierror) for one in causes):
        return NoAnswer("no_host", "the host's name cannot be resolved")
    if any(isinstance(one, ConnectionRefusedError) for one in causes):
        return NoAnswer("refused", "nobody listens there")
    if is_late or any(isinstance(one, TimeoutError | ConnectTimeoutError) for one in causes):
        return NoAnswer("timed_out", f"no whole answer within {seconds:g} s")
    if any(isinstance(one, ssl.SSLError) for one in causes):
        return NoAnswer("tls", str(trouble))
    return NoAnswer("broken", f"{type(trouble).__name__}: {trouble}")
