"""The gateway's HTTP call to itself, which proves that the port is bound by this
process and that Flask answers.

A table of sockets proves less: it needs privileges, contains connections beside
listeners, and does not show whether a process accepts.
"""

from __future__ import annotations

import re
import secrets
import threading
import time
from dataclasses import dataclass
from enum import StrEnum

from gpt_cursor_runner.system.http_client import RequestFailed, Response, fetch

# A route of Flask, not of the middleware in front of it.
PULSE = "/pulse"
CALL_SECONDS = 1.5
_NONCE = re.compile(r"[A-Za-z0-9_-]{1,64}")
# A result is shared for so long, so that the probes of one second make one call;
# and so a result may be this much older than the reading made from it.
_SHARE_SECONDS = 0.2
_MAX_BODY_BYTES = 8192
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


_LISTENER_BY_CODE = {"refused": Listener.ABSENT, "not_http": Listener.FOREIGN}


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
        try:
            response = fetch(
                "GET",
                f"http://{self.address}{PULSE}?nonce={nonce}",
                seconds=self._timeout_seconds,
                max_body_bytes=_MAX_BODY_BYTES,
            )
        except RequestFailed as error:
            listener = _LISTENER_BY_CODE.get(error.code, Listener.SILENT)
            return SelfCallResult(listener, time.monotonic() - began_at, error=str(error))
        listener = Listener.FOREIGN
        if self._is_ours(response, nonce):
            listener = Listener.OURS
        return SelfCallResult(listener, time.monotonic() - began_at, response.status)

    def _is_ours(self, response: Response, nonce: str) -> bool:
        content = response.json_object()
        if content is None:
            return False
        return content.get("nonce") == nonce and content.get("instance_id") == self._instance_id
