"""One HTTP request with one deadline for all of it, without redirects, TLS
verified against the certificates of the system.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import BadStatusLine, HTTPException, LineTooLong, RemoteDisconnected
from typing import Any

from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    NameResolutionError,
)
from urllib3.util import Url, make_headers, parse_url

MAX_BODY_BYTES = 64 * 1024
_CHUNK_BYTES = 8192
# Some services reject the default of a library, so requests carry the name of
# the program: that of the package.
_USER_AGENT = __name__.partition(".")[0].replace("_", "-")


class RequestFailed(Exception):
    """No complete response arrived. `code` is bad_url, bad_request, no_host,
    refused, timed_out, tls, not_http or broken.
    """

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass(frozen=True)
class Response:
    """Header names are in lower case; `body` is cut at the caller's limit."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json_object(self) -> dict[str, Any] | None:
        """The body as a JSON object; None when it is not one."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        return value


def fetch(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    seconds: float = 10.0,
    max_body_bytes: int = MAX_BODY_BYTES,
) -> Response:
    """Send one request and return its response, of any status; raise
    RequestFailed when none is complete within `seconds`.

    The deadline does not cover the resolution of the host's name, which the
    system's resolver does not let go of.
    """
    give_up_at = time.monotonic() + seconds
    try:
        parsed = parse_url(url)
        _refuse_line_breaks(headers or {})
        connection = _connection(parsed, seconds)
        with _closed_at(give_up_at, connection):
            _send(connection, method, parsed, body, headers or {})
            return _receive(connection, max_body_bytes)
    except (HTTPError, HTTPException, OSError, ValueError) as error:
        is_late = time.monotonic() >= give_up_at
        raise _request_failed(error, is_late, seconds) from error


def _refuse_line_breaks(headers: Mapping[str, str]) -> None:
    # http.client refuses them too, but only after it has connected.
    for name, value in headers.items():
        if any(character in name + value for character in "\r\n"):
            raise ValueError(f"the header {name!r} has a line break in it")


def _connection(url: Url, seconds: float) -> HTTPConnection:
    if url.host is None or url.scheme not in ("http", "https"):
        raise LocationParseError("an address must begin with http:// or https:// and name a host")
    host = url.host.strip("[]")
    if url.scheme == "http":
        return HTTPConnection(host, url.port, timeout=seconds)
    context = ssl.create_default_context()
    return HTTPSConnection(host, url.port, timeout=seconds, ssl_context=context)


@contextmanager
def _closed_at(give_up_at: float, connection: HTTPConnection) -> Iterator[None]:
    """Connect, and shut the connection down at the deadline."""
    try:
        connection.connect()
        # The timeout of a socket starts again with every byte, so that a slow
        # but steady response has to be cut off from another thread.
        left = max(0.0, give_up_at - time.monotonic())
        timer = threading.Timer(left, _shut_down, [connection.sock])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
        # A body without a length that was cut off looks like a complete one.
        if time.monotonic() >= give_up_at:
            raise TimeoutError
    finally:
        connection.close()


def _shut_down(connection: socket.socket) -> None:
    with suppress(OSError):  # closed by the other side just before
        # The method of the plain socket: that of a TLS socket would change the
        # TLS object under the thread that reads from it.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)


def _send(
    connection: HTTPConnection,
    method: str,
    url: Url,
    body: bytes | None,
    headers: Mapping[str, str],
) -> None:
    all_headers = {"User-Agent": _USER_AGENT, "Connection": "close"}
    if url.auth:
        all_headers |= make_headers(basic_auth=url.auth)
    all_headers |= headers
    connection.request(
        method, url.request_uri, body, all_headers, preload_content=False, decode_content=False
    )


def _receive(connection: HTTPConnection, max_body_bytes: int) -> Response:
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Response(response.status, headers, _read_body(response, max_body_bytes))


def _read_body(response: HTTPResponse, max_bytes: int) -> bytes:
    body = bytearray()
    while len(body) < max_bytes:
        chunk = response.read1(_CHUNK_BYTES)
        if not chunk:
            break
        body += chunk
    return bytes(body[:max_bytes])


# The first row that matches counts: RemoteDisconnected is a BadStatusLine too,
# and a rejected certificate is a ValueError. The other ValueErrors come from
# headers that cannot be sent.
_CAUSES: tuple[tuple[tuple[type[Exception], ...], str, str], ...] = (
    ((LocationParseError,), "bad_url", "{error}"),
    ((NameResolutionError, socket.gaierror), "no_host", "the host's name cannot be resolved"),
    ((ConnectionRefusedError,), "refused", "connection refused"),
    (
        (TimeoutError, ConnectTimeoutError),
        "timed_out",
        "no complete response within {seconds:g} s",
    ),
    ((ssl.SSLError,), "tls", "{error}"),
    ((ValueError,), "bad_request", "{error}"),
    ((RemoteDisconnected,), "broken", "the connection was closed without a response"),
    ((BadStatusLine, LineTooLong), "not_http", "the response is not HTTP"),
    ((Exception,), "broken", "{kind}: {error}"),
)


def _request_failed(error: Exception, is_late: bool, seconds: float) -> RequestFailed:
    # urllib3 wraps the errors of a connection in its own.
    causes = [error]
    if isinstance(error.__cause__, Exception):
        causes.append(error.__cause__)
    if is_late:
        # A connection that was shut down at the deadline fails in many ways.
        causes.append(TimeoutError())
    for kinds, code, message in _CAUSES:
        if any(isinstance(cause, kinds) for cause in causes):
            kind = type(error).__name__
            return RequestFailed(code, message.format(error=error, kind=kind, seconds=seconds))
    raise AssertionError("the last row matches every error")
