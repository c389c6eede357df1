"""Clients that poll `/health` during a fault."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.running import wait_until

# A generous limit, for a machine under load. A request that waited for a check
# which hangs would exceed any limit; `make bench-health` measures the times.
POLL_SECONDS = 30.0


@dataclass
class Pollers:
    """The answers to many pollers, each of which keeps a connection open.

    A poll that gets no answer within `POLL_SECONDS` is in `troubles`.
    """

    port: int
    count: int
    pause_seconds: float = 0.05
    bodies: list[dict[str, Any]] = field(default_factory=list)
    codes: set[int] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def poll(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=POLL_SECONDS)
        while not self._over.is_set():
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                self.bodies.append(json.loads(answer.read()))
            except (OSError, http.client.HTTPException, ValueError) as trouble:
                self.troubles.append(repr(trouble))
                connection.close()
            else:
                self.codes.add(answer.status)
            self._over.wait(self.pause_seconds)
        connection.close()

    def wait_for(self, count: int) -> None:
        """Wait until `count` more polls are answered."""
        target = len(self.bodies) + count
        wait_until(lambda: len(self.bodies) >= target, f"{count} polls were not answered")

    def stop(self) -> None:
        self._over.set()


@contextmanager
def polled(port: int, count: int, pause_seconds: float = 0.05) -> Iterator[Pollers]:
    """Poll with `count` clients during the block; read their answers after it."""
    pollers = Pollers(port, count, pause_seconds)
    threads = [threading.Thread(target=pollers.poll, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield pollers
    finally:
        pollers.stop()
        for thread in threads:
            thread.join(2 * POLL_SECONDS)
