"""A real HTTP server on loopback that accepts requests, refuses them or hangs."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.running import free_port


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """`answer` returns the status and headers for a request, and may block;
    `arrived` holds the requests.
    """

    answer: Callable[[Received], tuple[int, dict[str, str]]] = lambda _: (204, {})
    port: int = field(default_factory=free_port)
    arrived: list[Received] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    @contextmanager
    def up(self) -> Iterator[None]:
        """Listens within the block."""
        server = _Server(("127.0.0.1", self.port), _handler(self))
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()


class _Server(ThreadingHTTPServer):
    block_on_close = False  # a request that hangs on purpose must not hold the test

    def handle_error(self, request: Any, client_address: Any) -> None:
        """In some tests the sender closes the connection, which is not an
        error.
        """


def _handler(receiver: Receiver) -> type[socketserver.BaseRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            received = Received(
                self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body
            )
            receiver.arrived.append(received)
            status, headers = receiver.answer(received)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST  # noqa: N815  the name that http.server looks for

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  as http.server has it
            """Nothing is printed."""

    return Handler
