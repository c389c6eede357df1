"""The gateway's HTTP call to itself, which proves that the port is bound by this
process and that Flask answers.

A table of sockets proves less: it needs privileges, contains connections beside
listeners, and does not show whether a process accepts.
"""

from __future__ import annotations

import json
import re
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from enum import StrEnum

# A route of Flask, not of the middleware in front of it.
PULSE = "/pulse"
CALL_SECONDS = 1.5
_NONCE = re.compile(r"[A-Za-z0-9_-]{1,64}")
# A result is shared for so long, so that the probes of one second make one call;
# and so a result may be this much older than the reading made from it.
_SHARE_SECONDS = 0.2
_MAX_ANSWER_BYTES = 8192
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound


def echoed_nonce(nonce: str) -> str | None:
    """The nonce as an answer repeats it; None for any other text, which could be
    chosen to do harm in a page that shows the answer.
    """
    if _NONCE.fullmatch(nonce) is None:
        return None
    return nonce


class Listener(StrEnum):
    """The program that listens on our address."""

    OURS = "ours"
    FOREIGN = "foreign"
    ABSENT = "absent"
    SILENT = "silent"


@dataclass(frozen=True)
class SelfCallResult:
    """The result of one call; `http_status` is None for an answer that is not
    HTTP.
    """

    listener: Listener
    seconds: float
    http_status: int | None = None
    error: str = ""


class SelfCall:
    """Calls `GET /pulse`; probes that ask within a fifth of a second share one
    call.
    """

    def __init__(
        self, host: str, port: int, instance_id: str, timeout_seconds: float = CALL_SECONDS
    ) -> None:
        self._address = (_LOOPBACK.get(host, host), port)
        self._instance_id = instance_id
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._result: SelfCallResult | None = None
        self._called_at = 0.0

    @property
    def address(self) -> str:
        """Host and port in the form of a `Host` header."""
        host, port = self._address
        if ":" in host:
            host = f"[{host}]"
        return f"{host}:{port}"

    def result(self) -> SelfCallResult:
        """The result of a call just made."""
        with self._lock:
            if self._result is None or time.monotonic() - self._called_at > _SHARE_SECONDS:
                self._result = self._call()
                self._called_at = time.monotonic()
            return self._result

    def _call(self) -> SelfCallResult:
        nonce = secrets.token_urlsafe(12)
        began_at = time.monotonic()
        http_status, error = None, ""
        try:
            answer = _exchange(
                self._address, self._request(nonce), began_at + self._timeout_seconds
            )
        except ConnectionRefusedError as refused:
            listener, error = Listener.ABSENT, str(refused)
        except OSError as failed:
            listener, error = Listener.SILENT, str(failed)
        else:
            listener, http_status, error = self._judge(answer, nonce)
        return SelfCallResult(listener, time.monotonic() - began_at, http_status, error)

    def _judge(self, answer: bytes, nonce: str) -> tuple[Listener, int | None, str]:
        if not answer:
            return Listener.SILENT, None, "the connection was closed without an answer"
        http_status, body = _parse(answer)
        if body.get("nonce") == nonce and body.get("instance_id") == self._instance_id:
            return Listener.OURS, http_status, ""
        return Listener.FOREIGN, http_status, ""

    def _request(self, nonce: str) -> bytes:
        # HTTP/1.0: the answer ends with the connection and is never chunked.
        lines = (
            f"GET {PULSE}?nonce={nonce} HTTP/1.0",
            f"Host: {self.address}",
            "Connection: close",
            "",
            "",
        )
        return "\r\n".join(lines).encode()


def _exchange(address: tuple[str, int], request: bytes, deadline: float) -> bytes:
    """Send a request and receive its answer, cut at 8 KiB."""
    with socket.create_connection(address, timeout=_seconds_left(deadline)) as connection:
        connection.sendall(request)
        answer = b""
        while len(answer) < _MAX_ANSWER_BYTES:
            # Set again for every chunk: the timeout of a socket starts again with
            # each of them, so that a slow sender would have no deadline.
            connection.settimeout(_seconds_left(deadline))
            chunk = connection.recv(4096)
            if not chunk:
                break
            answer += chunk
        return answer


def _seconds_left(deadline: float) -> float:
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the deadline passed")
    return seconds


def _parse(answer: bytes) -> tuple[int | None, dict[str, object]]:
    """The HTTP status, and the JSON object of the body; empty without one."""
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        content = {}
    return _http_status(head), content


def _http_status(head: bytes) -> int | None:
    words = head.split(b" ", 2)
    if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit():
        return int(words[1])
    return None
