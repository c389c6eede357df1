"""Checks that the webhook can accept a patch. The ledger, the disk and the port
have checks of their own.
"""

from __future__ import annotations

from collections.abc import Callable

from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading


class WebhookProbe:
    """Reads the thread that records patches and the permits for requests."""

    spec = ProbeSpec(
        "webhook",
        "webhook_endpoint",
        Criticality.CRITICAL,
        interval_seconds=1.0,
        deadline_seconds=1.0,
        caused_by=("web", "queue"),
    )
    codes = CodeTable(
        operational=Code(CheckStatus.OK),
        writer_dead=Code(CheckStatus.FAIL, "Restart the gateway.", fact=True),
        saturated=Code(CheckStatus.WARN),
    )

    def __init__(self, permits_free: Callable[[], int], writer_alive: Callable[[], bool]) -> None:
        self._permits_free = permits_free
        self._writer_alive = writer_alive

    def read(self) -> Reading:
        permits = self._permits_free()
        data = {"permits_free": permits}
        if not self._writer_alive():
            message = "the thread that records patches has died"
            return self.codes.reading("writer_dead", message, data)
        # A warning only: senders retry, and a burst of them is no fault.
        if permits <= 0:
            message = "all permits are in use; senders get 503 and retry"
            return self.codes.reading("saturated", message, data)
        return self.codes.reading("operational", data=data)
