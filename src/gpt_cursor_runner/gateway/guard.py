"""What is refused before Flask sees a request: a foreign Host, too much header,
two lengths, too many at once.

A webhook takes its permit before a byte of its body is read. There are fewer
permits than server threads, so slow senders can never hold the threads that
answer health.
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
PERMITS = 48

_FROM_THE_REQUEST = ("HTTP_", "CONTENT_TYPE", "QUERY_STRING")


class ConcurrencyLimit:
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


class InFlight:
    """How many requests hold a thread of the server at this moment."""

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
    """WSGI middleware around everything that answers on a port; `hosts` are the
    names it may be asked under.
    """

    def __init__(
        self, application: WSGIApplication, hosts: Sequence[str], inside: InFlight
    ) -> None:
        self._application, self._inside = application, inside
        self._hosts = frozenset(bare(host) for host in hosts)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        problem = _refusal(environ) or self._foreign(environ)
        if problem is not None:
            return send(environ, start_response, problem_response(problem))
        with self._inside:
            return self._application(environ, start_response)

    def _foreign(self, environ: WSGIEnvironment) -> Problem | None:
        """A request under any other name was led here by a page that rebound
        its own name to our address.

        Flask's TRUSTED_HOSTS cannot say this for IPv6 addresses, and takes
        capitals for another name.
        """
        if bare(environ.get("HTTP_HOST", "")) in self._hosts:
            return None
        return Problem(
            400,
            "foreign_host",
            "This gateway is not known under that Host; use the address it was given.",
        )


class Turnstile:
    """WSGI middleware before Flask: who may change something needs a permit."""

    def __init__(self, application: WSGIApplication, permits: ConcurrencyLimit) -> None:
        self._application, self._permits = application, permits

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] in ("GET", "HEAD", "OPTIONS"):
            return self._application(environ, start_response)
        if not self._permits.take():
            detail = "The webhook is busy. Nothing was accepted; send it again."
            busy = Problem(503, "busy", detail, headers={"Retry-After": "1"})
            return send(environ, start_response, problem_response(busy))
        # A view has read its body and done its work when the call returns, so
        # the permit need not outlive it.
        try:
            return self._application(environ, start_response)
        finally:
            self._permits.give_back()


def bare(host: str) -> str:
    """A host without its port and brackets, in small letters; empty for what is
    none.
    """
    match = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::[0-9]{1,5})?", host.lower())
    return (match[1] or match[2]) if match else host.lower()


def _refusal(environ: WSGIEnvironment) -> Problem | None:
    size = 0
    for (
        name
    ) in environ:  # a plain loop: this runs for every request, and a generator takes twice its time
        if name.startswith(_FROM_THE_REQUEST):
            size += len(name) + len(environ[name])
    if size > MAX_HEADER_BYTES:
        return Problem(431, "headers_too_large", "Send less than 32 KiB of headers and query.")
    if environ.get("CONTENT_LENGTH") and environ.get("HTTP_TRANSFER_ENCODING"):
        return Problem(400, "two_lengths", "Send Content-Length or Transfer-Encoding, not both.")
    return None
