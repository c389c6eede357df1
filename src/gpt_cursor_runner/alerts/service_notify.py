"""Notifies systemd: ready, status, watchdog, stopping.

The protocol is one line of text in a datagram to a Unix socket, as in
sd_notify(3); no maintained library does more for us than `_send`. The gateway
is a child of the process that systemd started, so its unit needs
`NotifyAccess=all`.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import structlog

from gpt_cursor_runner.health.monitor.judging import Verdict
from gpt_cursor_runner.system.periodic import PeriodicThread

_log = structlog.get_logger(__name__)

_POLL_SECONDS = 0.5
_JOIN_SECONDS = 0.2
_REASONS_SHOWN = 3


class ServiceNotifier:
    """Sends notifications to `address` (NOTIFY_SOCKET; an @ begins an abstract
    one). `watchdog_seconds` is WATCHDOG_USEC in seconds, 0 for none.

    The watchdog is fed only while the monitor ticks and the gateway answers its
    own HTTP request, so that a gateway that hangs is restarted.
    """

    def __init__(
        self, address: str, watchdog_seconds: float, verdict: Callable[[], Verdict]
    ) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        # Three notifications within the time after which systemd acts: one may
        # be late, one may be lost.
        self._watchdog_seconds = watchdog_seconds / 3
        self._poll_seconds = _POLL_SECONDS
        if watchdog_seconds:
            self._poll_seconds = min(_POLL_SECONDS, self._watchdog_seconds)
        self._verdict = verdict
        self._sent_once: set[str] = set()
        self._status = ""
        self._watchdog_fed_at = float("-inf")
        self._failing = False
        self._thread = PeriodicThread("service-notify", self._run_once, _JOIN_SECONDS)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, and notify systemd of it if that is not done yet."""
        self._thread.stop()
        self._send_once("STOPPING=1")

    def notify(self) -> None:
        """Send every notification that is due."""
        verdict = self._verdict()
        works = _works(verdict)
        if works:
            self._send_once("READY=1")
        if verdict.draining:
            self._send_once("STOPPING=1")
        self._send_status(verdict)
        if works and self._watchdog_seconds:
            self._feed_watchdog()

    def _run_once(self) -> float:
        self.notify()
        return self._poll_seconds

    def _send_status(self, verdict: Verdict) -> None:
        status = ", ".join([verdict.overall, *verdict.reasons[:_REASONS_SHOWN]])
        if status != self._status and self._send(f"STATUS={status}"):
            self._status = status

    def _feed_watchdog(self) -> None:
        # A tenth earlier, so that a poll that is a little early is not skipped.
        now = time.monotonic()
        if now - self._watchdog_fed_at >= 0.9 * self._watchdog_seconds:
            self._watchdog_fed_at = now
            self._send("WATCHDOG=1")

    def _send_once(self, line: str) -> None:
        if line not in self._sent_once and self._send(line):
            self._sent_once.add(line)

    def _send(self, line: str) -> bool:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.setblocking(False)
                client.sendto(line.encode(), self._address)
        except OSError as error:
            if not self._failing:
                _log.warning("service_manager_unreachable", reason=error.strerror)
            self._failing = True
            return False
        self._failing = False
        return True


def _works(verdict: Verdict) -> bool:
    web = [result for result in verdict.checks if result.state.name == "web"]
    return verdict.engine_alive and any(result.proven for result in web)
