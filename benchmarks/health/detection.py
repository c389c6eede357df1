"""Sections `detection` and `calm`: the time until health reports a fault, and
that it reports none under normal load.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

from benchmarks.health import faults
from benchmarks.health.clients import poll
from benchmarks.health.options import Options
from benchmarks.health.report import Section
from tests.building import patch_body
from tests.running import Installation, installed

Body = Mapping[str, Any]
_POLL_SECONDS = 0.02
_GIVE_UP_SECONDS = 40.0
_CALM_POLLS_PER_SECOND = 10
_CALM_PATCH_EVERY_SECONDS = 2.0


@dataclass(frozen=True)
class Case:
    """A fault, the answer that reports it, and the time limit for it."""

    name: str
    strike: Callable[[Installation], AbstractContextManager[None]]
    is_reported: Callable[[Body], bool]
    limit_seconds: float
    why: str


def _component(name: str, *words: object) -> Callable[[Body], bool]:
    return lambda body: body["components"][name] in words


def _port_is_not_ours(body: Body) -> bool:
    bound = [value for name, value in body["components"].items() if name.startswith("port_")]
    return not any(bound)


CASES = (
    Case("runner killed", faults.runner_killed, _component("ghost_runner", "down"), 1, "fixed"),
    Case(
        "runner stopped",
        faults.runner_stopped,
        _component("ghost_runner", "stalled", "paused"),
        10,
        "stall limit",
    ),
    Case(
        "patches a file", faults.patches_a_file, _component("fs_writable", False), 10, "2 intervals"
    ),
    Case(
        "patches missing",
        faults.patches_missing,
        _component("fs_writable", False),
        10,
        "2 intervals",
    ),
    Case("disk hung", faults.disk_hung, _component("fs_writable", False), 10, "2 intervals"),
    Case("port foreign", faults.port_foreign, _port_is_not_ours, 2, "2 intervals"),
    Case(
        "ledger locked",
        faults.ledger_locked,
        _component("queue", "fail", "unknown"),
        8,
        "3 intervals, deadline",
    ),
)


@dataclass
class Poller:
    """Polls over one persistent connection, which stays with the gateway when
    another program listens on its port.
    """

    port: int
    _connection: http.client.HTTPConnection | None = field(default=None, repr=False)

    def poll(self) -> Body | None:
        """One answer, of any status; None when the connection broke, as an idle
        one can.
        """
        connection = self._connection or http.client.HTTPConnection(
            "127.0.0.1", self.port, timeout=2
        )
        try:
            connection.request("GET", "/health")
            body: Body = json.loads(connection.getresponse().read())
        except (OSError, ValueError, http.client.HTTPException):
            connection.close()
            self._connection = None
            return None
        self._connection = connection
        return body

    def wait_until(
        self, is_reported: Callable[[Body], bool], give_up_seconds: float = _GIVE_UP_SECONDS
    ) -> float | None:
        """Seconds until an answer reports it, or None."""
        began = time.monotonic()
        while (waited := time.monotonic() - began) < give_up_seconds:
            body = self.poll()
            if body is not None and is_reported(body):
                return waited
            time.sleep(_POLL_SECONDS)
        return None

    def close(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None


def detection(options: Options) -> Section:
    """Each fault in turn: the time to the first truthful answer, and back to
    `healthy` after the repair.
    """
    section = Section("detection: fault -> first truthful answer, one poll every 20 ms")
    with installed(options.fresh("detection"), "gateway", "runner") as installation:
        for case in CASES:
            poller = Poller(installation.port)
            poller.wait_until(_is_healthy)
            with case.strike(installation):
                reported_after = poller.wait_until(case.is_reported)
            healed = poller.wait_until(_is_healthy)
            poller.close()
            figure = f"{_seconds(reported_after)}, healthy {_seconds(healed)} after its end"
            met = reported_after is not None and reported_after <= case.limit_seconds
            section.aim(f"{case.name:15}", f"{case.limit_seconds:g} s, {case.why}", figure, met)
    return section


def calm(options: Options) -> Section:
    """Polls and patches under normal load; every answer must be `healthy`."""
    length = "full length"
    if options.calm_minutes < 60:
        length = "shortened; --calm-minutes 60 is the full length"
    section = Section(f"calm: {options.calm_minutes:g} minutes of normal load ({length})")
    alarms: Counter[str] = Counter()

    def count_alarms(_: float, body: Body) -> None:
        if not _is_healthy(body):
            alarms[", ".join(body["reasons"]) or body["overall_status"]] += 1

    with installed(options.fresh("calm"), "gateway", "runner") as installation:
        over = threading.Event()
        sender = threading.Thread(target=_send_until, args=(installation, over), daemon=True)
        sender.start()
        polls = asyncio.run(
            poll(
                installation.port,
                "/health",
                _CALM_POLLS_PER_SECOND,
                60 * options.calm_minutes,
                count_alarms,
            )
        )
        over.set()
        sender.join()
        section.add(f"/health {polls}")
        listed = "; ".join(f"{count} times {reasons}" for reasons, count in alarms.items())
        section.aim("false alarms", "none", listed or f"none in {polls.asked} answers", not alarms)
    return section


def _send_until(installation: Installation, over: threading.Event) -> None:
    while not over.wait(_CALM_PATCH_EVERY_SECONDS):
        installation.call("POST", "/webhook", patch_body())


def _is_healthy(body: Body) -> bool:
    healthy: bool = body["overall_status"] == "healthy"
    return healthy


def _seconds(span: float | None) -> str:
    if span is None:
        return f"not in {_GIVE_UP_SECONDS:.0f} s"
    return f"{span:.2f} s"
