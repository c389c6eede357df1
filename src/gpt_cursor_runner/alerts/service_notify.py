"""What systemd is told: started, how it goes, still alive, stopping.

The protocol is a line of text in a datagram to a Unix socket; no library that
is kept up does more for us than the twenty lines below. The gateway is a child
of what systemd started, so its unit needs `NotifyAccess=all`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import structlog

from gpt_cursor_runner.health.monitor.judging import Verdict
from gpt_cursor_runner.system.periodic import PeriodicThread

_log = structlog.get_logger(__name__)

_GLANCE_SECONDS = 0.5
_JOIN_SECONDS = 0.2
_REASONS_SHOWN = 3


class ServiceNotify:
    """Tells `address` (NOTIFY_SOCKET; an @ begins an abstract one).
    `watchdog_seconds` is WATCHDOG_USEC, 0 for none.

    Alive is said only of real progress: the monitor ticks, and the gateway has
    just answered itself over HTTP.
    """

    def __init__(
        self, address: str, watchdog_seconds: float, verdict: Callable[[], Verdict]
    ) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        self._pause_seconds = (
            min(_GLANCE_SECONDS, watchdog_seconds / 3) if watchdog_seconds else _GLANCE_SECONDS
        )
        self._alive_every_seconds = watchdog_seconds / 3
        self._verdict = verdict
        self._said: set[str] = set()
        self._status = ""
        self._alive_at = float("-inf")
        self._silent = False
        self._rounds = PeriodicThread("service-notify", self._turn, _JOIN_SECONDS)

    def start(self) -> None:
        self._rounds.start()

    def stop(self) -> None:
        """Say, unless it was said, that the end has begun."""
        self._rounds.stop()
        self._once("STOPPING=1")

    def turn(self) -> None:
        """Say what has to be said now."""
        verdict = self._verdict()
        works = verdict.engine_alive and any(
            one.state.name == "web" and one.proven for one in verdict.checks
        )
        status = ", ".join([verdict.overall, *verdict.reasons[:_REASONS_SHOWN]])
        if works:
            self._once("READY=1")
        if verdict.draining:
            self._once("STOPPING=1")
        if status != self._status and self._say(f"STATUS={status}"):
            self._status = status
        now = time.monotonic()
        if (
            works
            and self._alive_every_seconds
            and now - self._alive_at >= 0.9 * self._alive_every_seconds
        ):
            self._alive_at = now
            self._say("WATCHDOG=1")

    def _turn(self) -> float:
        self.turn()
        return self._pause_seconds

    def _once(self, line: str) -> None:
        if line not in self._said and self._say(line):
            self._said.add(line)

    def _say(self, line: str) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as outlet:
                outlet.setblocking(False)
                outlet.sendto(line.encode(), self._address)
        except OSError as refused:
            if not self._silent:
                _log.warning("service_manager_unreachable", reason=refused.strerror)
            self._silent = True
            return False
        self._silent = False
        return True
