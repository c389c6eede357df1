"""The gateway calls itself over HTTP: the only proof that the port is bound,
bound by us, and answered.

A table of sockets says less: it needs privileges, counts what does not listen,
and a process that never accepts looks well in it.
"""

from __future__ import annotations

import json
import secrets
import socket
import threading
import time
from dataclasses import dataclass
from enum import StrEnum

# Answered by Flask itself, not by what stands before it, so that the answer
# proves Flask.
PULSE = "/pulse"
CALL_SECONDS = 1.5
_SHARE_SECONDS = 0.2  # and so the most by which an answer may be older than the check that shows it
_ANSWER_BYTES = 8192
_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  compared, not bound


class Found(StrEnum):
    """What was at the other end."""

    OURS = "ours"
    FOREIGN = "foreign"
    NOBODY = "nobody"
    SILENCE = "silence"


@dataclass(frozen=True)
class Answer:
    """What one call found; `http_status` is None when no HTTP came back."""

    found: Found
    seconds: float
    http_status: int | None = None
    trouble: str = ""


class SelfCall:
    """One round trip to `GET /pulse` serves every check that asks within a
    fifth of a second of it.
    """

    def __init__(
        self, host: str, port: int, instance_id: str, patience_seconds: float = CALL_SECONDS
    ) -> None:
        self._address = (_LOOPBACK.get(host, host), port)
        self._instance_id = instance_id
        self._patience_seconds = patience_seconds
        self._one_at_a_time = threading.Lock()
        self._answer: Answer | None = None
        self._made_at = 0.0

    @property
    def address(self) -> str:
        """Where the call goes, as a `Host` header has it."""
        host, port = self._address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def answer(self) -> Answer:
        """What is at our address now; or that nobody said anything in time."""
        with self._one_at_a_time:
            if self._answer is None or time.monotonic() - self._made_at > _SHARE_SECONDS:
                self._answer = self._call()
                self._made_at = time.monotonic()
            return self._answer

    def _call(self) -> Answer:
        nonce = secrets.token_urlsafe(12)
        began = time.monotonic()
        try:
            received = _exchange(
                self._address, self._request(nonce), began + self._patience_seconds
            )
        except TimeoutError as late:
            return Answer(Found.SILENCE, time.monotonic() - began, trouble=str(late))
        except ConnectionRefusedError as refused:
            return Answer(Found.NOBODY, time.monotonic() - began, trouble=str(refused))
        except OSError as broken:
            return Answer(Found.SILENCE, time.monotonic() - began, trouble=str(broken))
        if not received:
            return Answer(
                Found.SILENCE,
                time.monotonic() - began,
                trouble="the connection was closed without a word",
            )
        status, said = _parse(received)
        ours = said.get("nonce") == nonce and said.get("instance_id") == self._instance_id
        return Answer(Found.OURS if ours else Found.FOREIGN, time.monotonic() - began, status)

    def _request(self, nonce: str) -> bytes:
        # HTTP/1.0: the answer ends where the connection ends, and is never chunked.
        lines = (
            f"GET {PULSE}?nonce={nonce} HTTP/1.0",
            f"Host: {self.address}",
            "Connection: close",
            "",
            "",
        )
        return "\r\n".join(lines).encode()


def _exchange(address: tuple[str, int], request: bytes, give_up_at: float) -> bytes:
    """Send and receive within one deadline for all of it, so that an answer in
    drips cannot hold us.
    """
    with socket.create_connection(address, timeout=_left(give_up_at)) as connection:
        connection.sendall(request)
        received = b""
        while len(received) < _ANSWER_BYTES:
            connection.settimeout(_left(give_up_at))
            part = connection.recv(4096)
            if not part:
                break
            received += part
        return received


def _left(give_up_at: float) -> float:
    left = give_up_at - time.monotonic()
    if left <= 0:
        raise TimeoutError("no whole answer in time")
    return left


def _parse(received: bytes) -> tuple[int | None, dict[str, object]]:
    head, _, body = received.partition(b"\r\n\r\n")
    words = head.split(b" ", 2)
    status = (
        int(words[1])
        if len(words) > 1 and words[0].startswith(b"HTTP/") and words[1].isdigit()
        else None
    )
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    return status, said if isinstance(said, dict) else {}
