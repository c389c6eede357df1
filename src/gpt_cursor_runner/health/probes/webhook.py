"""Can the webhook take a patch in? The ledger, the disk and the port are other
checks; this one asks the door.
"""

from __future__ import annotations

from collections.abc import Callable

from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status


class WebhookProbe:
    """Reads the gateway's own admission: the thread that records patches, and
    the permits left for requests.
    """

    spec = ProbeSpec(
        "webhook",
        "webhook_endpoint",
        Criticality.CRITICAL,
        interval_seconds=1.0,
        deadline_seconds=1.0,
        caused_by=("web", "queue"),
    )

    def __init__(self, permits_free: Callable[[], int], writer_alive: Callable[[], bool]) -> None:
        self._permits_free = permits_free
        self._writer_alive = writer_alive

    def read(self) -> Reading:
        """Without its writer nothing is recorded; without permits a sender is
        told to come back.
        """
        permits = self._permits_free()
        data = {"permits_free": permits}
        if not self._writer_alive():
            message = "the thread that records patches has died"
            return Reading(
                Status.FAIL, "writer_dead", message, data, "Restart the gateway.", fact=True
            )
        if permits <= 0:
            return Reading(
                Status.WARN,
                "saturated",
                "every permit is taken; senders get 503 and try again",
                data,
            )
        return Reading(Status.OK, "operational", data=data)

    def close(self) -> None:
        """Nothing is held between two looks."""
