"""People and monitors that poll `/health` while something is broken."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Pollers:
    """Every answer that many pollers got, each on a connection of its own kept
    open.
    """

    port: int
    count: int
    pause_seconds: float = 0.05
    seconds: list[float] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    codes: set[int] = field(default_factory=set)
    troubles: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)

    def poll(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        while not self._over.is_set():
            began = time.monotonic()
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                self.bodies.append(json.loads(answer.read()))
            except (OSError, http.client.HTTPException, ValueError) as trouble:
                self.troubles.append(repr(trouble))
                connection.close()
            else:
                self.seconds.append(time.monotonic() - began)
                self.codes.add(answer.status)
            self._over.wait(self.pause_seconds)
        connection.close()

    def quantile(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]

    def stop(self) -> None:
        self._over.set()


@contextmanager
def polled(port: int, count: int, pause_seconds: float = 0.05) -> Iterator[Pollers]:
    """`count` pollers for as long as the block lasts; their answers are read
    after it.
    """
    pollers = Pollers(port, count, pause_seconds)
    threads = [threading.Thread(target=pollers.poll, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield pollers
    finally:
        pollers.stop()
        for thread in threads:
            thread.join(15)
