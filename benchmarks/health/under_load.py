"""Sections `open-loop`, `saturated`, `locked` and `slow`: `/health` under
difficult clients.
"""

from __future__ import annotations

import asyncio
import subprocess
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from benchmarks.health import wrk
from benchmarks.health.clients import Polls, dawdle, poll
from benchmarks.health.faults import ledger_locked
from benchmarks.health.options import Options
from benchmarks.health.report import Section
from benchmarks.health.rounds import NAIVE, TRIVIAL
from benchmarks.health.servers import OURS, Server, fleet
from tests.running import Installation, installed

SENDERS = 64
_OPEN_RATE = 300
_OPEN_SECONDS = 8
_NAIVE_SECONDS = 3
_SATURATED_SECONDS = 8
_LOCK_SECONDS = 9
_LOCK_SEEN_SECONDS = 8.0  # three intervals and the deadline of the check
_SLOW_SECONDS = 7.0
_SLOW_CLIENTS = 200


def open_loop(options: Options) -> Section:
    """300 polls a second on fresh connections, sent when due whether or not the
    last was answered.
    """
    section = Section(
        f"open-loop: {_OPEN_RATE} polls a second, each on a fresh connection, {_OPEN_SECONDS} s"
    )
    heard: dict[str, Polls] = {}
    with fleet(options.fresh("open-loop"), (TRIVIAL, NAIVE)) as servers:
        for name, seconds in (
            (TRIVIAL, _OPEN_SECONDS),
            (OURS, _OPEN_SECONDS),
            (NAIVE, _NAIVE_SECONDS),
        ):
            server = servers.servers[name]
            heard[name], share = asyncio.run(_polled(server, seconds))
            section.add(f"{name:8} {heard[name]}; {100 * share:.0f} % of a core")
    polls, limit = heard[OURS], max(50.0, 1.5 * heard[TRIVIAL].ms(0.99))
    within = polls.share_within(1)
    section.aim("ours answered within 1 s", "100 %", f"{100 * within:.2f} %", within == 1)
    p99 = polls.ms(0.99)
    section.aim(
        "ours p99",
        f"<= 1.5 times trivial's or 50 ms: {limit:.0f} ms",
        f"{p99:.1f} ms",
        p99 <= limit,
    )
    return section


async def _polled(server: Server, seconds: float) -> tuple[Polls, float]:
    used, began = server.cpu_seconds(), time.monotonic()
    polls = await poll(server.port, server.path, _OPEN_RATE, seconds)
    return polls, (server.cpu_seconds() - used) / (time.monotonic() - began)


def saturated(options: Options) -> Section:
    """More senders than permits post as fast as they are answered; no runner
    takes their patches.
    """
    section = Section(
        f"saturated: {SENDERS} connections post patches as fast as they can, 100 polls a second"
    )
    with installed(options.fresh("saturated"), "gateway") as installation:
        installation.wait_for_health("degraded")  # there is no runner
        senders = _post(installation, _SATURATED_SECONDS + 2)
        time.sleep(1)
        reasons: Counter[str] = Counter()
        polls = asyncio.run(
            poll(
                installation.port,
                "/health",
                100,
                _SATURATED_SECONDS,
                lambda _, body: reasons.update(body["reasons"]),
            )
        )
        posted = wrk.finish(senders)
        accepted = (posted.answers - posted.refused) / posted.seconds
        section.add(
            f"{posted.rate:.0f} posts a second, {accepted:.0f} of them accepted, {posted.late} late"
        )
        section.add(f"/health {polls}; statuses {polls.statuses}")
        section.add(
            "what it says meanwhile:"
            f" {', '.join(f'{name} {count}' for name, count in reasons.most_common())}"
        )
        truthful = polls.statuses.get(200, 0) / max(1, polls.asked)
        section.aim(
            "patches are taken, and it says so",
            ">= 99 %",
            f"{100 * truthful:.1f} %",
            truthful >= 0.99,
        )
        section.aim("p99 of /health", "<= 75 ms", f"{polls.ms(0.99):.1f} ms", polls.ms(0.99) <= 75)
    return section


def locked(options: Options) -> Section:
    """Another process holds the ledger's write lock, while senders wait for it
    in the gateway.
    """
    section = Section(
        f"locked: the ledger's write lock held for {_LOCK_SECONDS} s, {SENDERS} connections posting"
    )
    words: list[tuple[float, str]] = []

    def note_first_unknown(moment: float, body: dict[str, Any]) -> None:
        words.append((moment, body["overall_status"]))

    with installed(options.fresh("locked"), "gateway") as installation:
        installation.wait_for_health("degraded")
        senders = _post(installation, _LOCK_SECONDS + 1)
        with ledger_locked(installation):
            began = time.monotonic()
            polls = asyncio.run(
                poll(installation.port, "/health", 20, _LOCK_SECONDS, note_first_unknown)
            )
        wrk.finish(senders)
        section.add(f"/health {polls}; statuses {polls.statuses}")
        within = polls.share_within(1)
        section.aim("answered within 1 s", "100 %", f"{100 * within:.1f} %", within == 1)
        first = min((moment - began for moment, word in words if word == "unknown"), default=None)
        figure = "never"
        if first is not None:
            figure = f"after {first:.1f} s"
        in_time = first is not None and first <= _LOCK_SEEN_SECONDS
        section.aim("it reported unknown", f"within {_LOCK_SEEN_SECONDS:.0f} s", figure, in_time)
    return section


def slow(options: Options) -> Section:
    """200 clients that send a header slowly, a body slowly, or nothing."""
    section = Section(f"slow: {_SLOW_CLIENTS} clients that take their time, 20 polls a second")
    with installed(options.fresh("slow"), "gateway", "runner") as installation:
        for name, opening, drip in _slow_clients(installation):
            polls = asyncio.run(_polled_among_dawdlers(installation.port, opening, drip))
            within = polls.share_within(1)
            section.add(f"{name:8} {polls}")
            section.aim(
                f"answered within 1 s under slow {name}",
                "100 %",
                f"{100 * within:.1f} %",
                within == 1,
            )
    return section


def _slow_clients(installation: Installation) -> list[tuple[str, bytes, bytes]]:
    head = f"POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {installation.key}\r\n".encode()
    body = b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    return [
        ("headers", head + b"X-Slow: ", b"x"),
        ("bodies", head + body, b" "),
        ("silence", b"", b""),
    ]


async def _polled_among_dawdlers(port: int, opening: bytes, drip: bytes) -> Polls:
    async def polled() -> Polls:
        await asyncio.sleep(1)
        return await poll(port, "/health", 20, _SLOW_SECONDS)

    return await _beside(polled, [lambda: dawdle(port, opening, drip)] * _SLOW_CLIENTS)


async def _beside(
    work: Callable[[], Awaitable[Polls]], others: list[Callable[[], Awaitable[None]]]
) -> Polls:
    tasks = [asyncio.ensure_future(other()) for other in others]
    try:
        return await work()
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


def _post(installation: Installation, seconds: int) -> subprocess.Popen[str]:
    return wrk.start(
        f"http://127.0.0.1:{installation.port}/webhook", SENDERS, seconds, installation.key, "load"
    )
