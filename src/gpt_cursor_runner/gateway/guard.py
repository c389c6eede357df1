"""What is refused before Flask sees a request: too many at once, too much header, two lengths.

A webhook takes its permit before a byte of its body is read. There are fewer permits than server threads, so slow
senders can never hold the threads that answer health.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger()

MAX_HEADER_BYTES = 32 * 1024
PERMITS = 48


_FROM_THE_REQUEST = ("HTTP_", "CONTENT_TYPE", "QUERY_STRING")


class Permits:
    """How many requests with a body may be inside at once."""

    def __init__(self, count: int = PERMITS) -> None:
        self._free = count
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Whether there was one to take; never waits."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def give_back(self) -> None:
        with self._lock:
            self._free += 1

    def free(self) -> int:
        return self._free


class Guard:
    """WSGI middleware around the application."""

    def __init__(self, application: WSGIApplication, permits: Permits) -> None:
        self._application, self._permits = application, permits

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        refusal = _refusal(environ)
        if refusal is not None:
            return _answer(environ, start_response, *refusal)
        if environ["REQUEST_METHOD"] in ("GET", "HEAD", "OPTIONS"):
            return self._application(environ, start_response)
        if not self._permits.take():
            busy = ("503 Service Unavailable", "busy", "The webhook is busy. Nothing was accepted; send it again.")
            return _answer(environ, start_response, *busy)
        # A view has read its body and done its work when the call returns, so the permit need not outlive it.
        try:
            return self._application(environ, start_response)
        finally:
            self._permits.give_back()


def _refusal(environ: WSGIEnvironment) -> tuple[str, str, str] | None:
    size = sum(len(name) + len(str(value)) for name, value in environ.items() if name.startswith(_FROM_THE_REQUEST))
    if size > MAX_HEADER_BYTES:
        return "431 Request Header Fields Too Large", "headers_too_large", "Send less than 32 KiB of headers and query."
    if environ.get("CONTENT_LENGTH") and environ.get("HTTP_TRANSFER_ENCODING"):
        return "400 Bad Request", "two_lengths", "Send Content-Length or Transfer-Encoding, not both."
    return None


def _answer(
    environ: WSGIEnvironment, start_response: StartResponse, status: str, code: str, detail: str
) -> list[bytes]:
    number, _, title = status.partition(" ")
    request_id = secrets.token_hex(8)
    problem: dict[str, Any] = {
        "type": f"urn:gcr:problem:{code}",
        "title": title,
        "status": int(number),
        "detail": detail,
        "instance": f"urn:gcr:request:{request_id}",
        "code": code,
    }
    body = json.dumps(problem).encode()
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    headers += [("X-Request-Id", request_id), *([("Retry-After", "1")] if number == "503" else [])]
    log.info("refused_before_the_application", request_id=request_id, status=int(number), code=code)
    start_response(status, headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
