"""Clients for measurements that wrk cannot make: polls on a fixed plan,
fairness between connections, slow senders.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks.health.report import percentile

_GIVE_UP_SECONDS = 5.0


@dataclass
class Polls:
    """Answers to polls, each sent at its planned moment whether or not the
    earlier ones were answered.
    """

    seconds: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    unanswered: int = 0

    @property
    def asked(self) -> int:
        return len(self.seconds) + self.unanswered

    def share_within(self, limit: float) -> float:
        return sum(seconds <= limit for seconds in self.seconds) / max(1, self.asked)

    def ms(self, share: float) -> float:
        """A percentile of the answered polls, counted from the planned moment."""
        return 1000 * percentile(self.seconds, share)

    def __str__(self) -> str:
        lost = (
            f", {self.unanswered} not answered in {_GIVE_UP_SECONDS:.0f} s"
            if self.unanswered
            else ""
        )
        within = f"{100 * self.share_within(1):.1f} % within 1 s"
        return (
            f"{within}, p50 {self.ms(0.5):.1f} ms, p99 {self.ms(0.99):.1f} ms, worst"
            f" {self.ms(1):.0f} ms{lost}"
        )


OnAnswer = Callable[[float, dict[str, Any]], None]


async def poll(
    port: int, path: str, rate: float, seconds: float, on_answer: OnAnswer | None = None
) -> Polls:
    """`rate` polls a second, each on a connection of its own. `seen` is told
    each moment and body (JSON).
    """
    polls = Polls()
    began = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            group.create_task(_poll_once(port, path, due, polls, on_answer))
    return polls


async def _poll_once(
    port: int, path: str, due: float, polls: Polls, on_answer: OnAnswer | None
) -> None:
    try:
        status, body = await asyncio.wait_for(get(port, path), _GIVE_UP_SECONDS)
    except (OSError, ValueError, IndexError, TimeoutError, asyncio.IncompleteReadError):
        polls.unanswered += 1
        return
    now = time.monotonic()
    polls.seconds.append(now - due)
    polls.statuses[status] = polls.statuses.get(status, 0) + 1
    if on_answer:
        on_answer(now, json.loads(body))


async def get(port: int, path: str) -> tuple[int, bytes]:
    """One GET on a fresh connection; raise OSError, ValueError or IndexError
    when the answer is none.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        )
        head, _, body = (await reader.read(-1)).partition(b"\r\n\r\n")
        return int(head.split(None, 2)[1]), body
    finally:
        writer.close()


async def fairness(port: int, path: str, connections: int, seconds: float) -> list[int]:
    """How many answers each kept-alive connection got, all asking as fast as
    they are answered.
    """
    until = time.monotonic() + seconds
    return list(await asyncio.gather(*(_ask_until(port, path, until) for _ in range(connections))))


async def _ask_until(port: int, path: str, until: float) -> int:
    answered = 0
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.CancelledError):
        async with asyncio.timeout(max(0.1, until - time.monotonic())):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            while True:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                await reader.readexactly(length)
                answered += 1
    return answered


async def dawdle(port: int, opening: bytes, drip: bytes, pause_seconds: float = 0.5) -> None:
    """A slow client until it is cancelled: says the opening, then lets a byte
    drip; comes again when cut off.
    """
    while True:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(opening)
            while not reader.at_eof():
                writer.write(drip)
                await writer.drain()
                await asyncio.sleep(pause_seconds)
            writer.close()
        except OSError:
            await asyncio.sleep(pause_seconds)
