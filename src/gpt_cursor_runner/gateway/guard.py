"""WSGI middleware in front of Flask: refuses a foreign Host, oversized headers
and two body lengths, and limits how many requests run at once.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.gateway.wsgi import problem_response, send

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_HEADER_BYTES = 32 * 1024
# Fewer than the server has threads, so that slow senders never occupy the
# threads that answer health.
PERMITS = 48

_SAFE_METHODS = ("GET", "HEAD", "OPTIONS")
_REQUEST_VARIABLES = ("HTTP_", "CONTENT_TYPE", "QUERY_STRING")
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::[0-9]{1,5})?")


class ConcurrencyLimit:
    """Limits how many requests that may change something run at once."""

    def __init__(self, permits: int = PERMITS) -> None:
        self._free = permits
        self._lock = threading.Lock()

    def acquire(self) -> bool:
        """Take a permit; False when none is free. Never waits."""
        with self._lock:
            if self._free == 0:
                return False
            self._free -= 1
            return True

    def release(self) -> None:
        with self._lock:
            self._free += 1

    def free(self) -> int:
        return self._free

    def before(self, application: WSGIApplication) -> WSGIApplication:
        """The application behind this limit: 503 when no permit is free."""

        def limited(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if environ["REQUEST_METHOD"] in _SAFE_METHODS:
                return application(environ, start_response)
            # Before a byte of the body is read: reading is what a slow sender
            # stretches.
            if not self.acquire():
                return send(environ, start_response, problem_response(_busy()))
            # A view has read its body and done its work when the call returns,
            # so the permit need not outlive it.
            try:
                return application(environ, start_response)
            finally:
                self.release()

        return limited


class InFlight:
    """Counts the requests that occupy a thread of the server at this moment."""

    def __init__(self) -> None:
        self._count = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._count += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._count -= 1

    def count(self) -> int:
        return self._count


class Guard:
    """WSGI middleware around everything on a port; `hosts` are the accepted
    values of the Host header.
    """

    def __init__(
        self, application: WSGIApplication, hosts: Sequence[str], in_flight: InFlight
    ) -> None:
        self._application, self._in_flight = application, in_flight
        self._hosts = frozenset(_host_name(host) for host in hosts)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        problem = _check_size(environ) or self._check_host(environ)
        if problem is not None:
            return send(environ, start_response, problem_response(problem))
        with self._in_flight:
            return self._application(environ, start_response)

    def _check_host(self, environ: WSGIEnvironment) -> Problem | None:
        # A web page can rebind its own name to this address (DNS rebinding);
        # its requests then carry that name. Flask's TRUSTED_HOSTS is no
        # substitute: it does not match IPv6 addresses and compares case.
        if _host_name(environ.get("HTTP_HOST", "")) in self._hosts:
            return None
        return Problem(
            400,
            "foreign_host",
            "This gateway does not serve that Host.",
            "Use the address it was configured with.",
        )


def _check_size(environ: WSGIEnvironment) -> Problem | None:
    size = 0
    # A plain loop: it runs for every request, and a generator takes twice its
    # time.
    for name in environ:
        if name.startswith(_REQUEST_VARIABLES):
            size += len(name) + len(environ[name])
    if size > MAX_HEADER_BYTES:
        return Problem(
            431,
            "headers_too_large",
            "Headers and query are too large.",
            f"Send less than {MAX_HEADER_BYTES // 1024} KiB of headers and query.",
        )
    if environ.get("CONTENT_LENGTH") and environ.get("HTTP_TRANSFER_ENCODING"):
        return Problem(
            400,
            "two_lengths",
            "The body has two lengths.",
            "Send Content-Length or Transfer-Encoding, not both.",
        )
    return None


def _busy() -> Problem:
    return Problem(
        503,
        "busy",
        "The webhook is busy. Nothing was accepted.",
        "Send the request again.",
        headers={"Retry-After": "1"},
    )


def _host_name(host: str) -> str:
    """A host in lower case without its port and brackets; one that does not
    parse stays as it is, and matches none.
    """
    match = _HOST.fullmatch(host.lower())
    if match is None:
        return host.lower()
    return match[1] or match[2]
