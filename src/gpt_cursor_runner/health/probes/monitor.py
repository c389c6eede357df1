"""How does the machinery that watches do itself?"""

from __future__ import annotations

from collections.abc import Callable

from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status
from gpt_cursor_runner.health.monitor.monitor import Vitals

LAGGING_SECONDS = 2.0
_BEHIND_LOOKS = 2


class MonitorProbe:
    """Reads figures that the monitor keeps; a monitor that is dead altogether
    is judged by the age of its snapshot.

    `history_behind` is how many flips are not written down yet.
    """

    spec = ProbeSpec(
        "monitor",
        "health_engine",
        Criticality.IMPAIRING,
        interval_seconds=2.0,
        deadline_seconds=2.0,
    )

    def __init__(self, vitals: Callable[[], Vitals], history_behind: Callable[[], int]) -> None:
        self._vitals = vitals
        self._history_behind = history_behind
        self._looks_behind = 0

    def read(self) -> Reading:
        """Dead threads first, then what is late."""
        vitals, behind = self._vitals(), self._history_behind()
        self._looks_behind = self._looks_behind + 1 if behind > 0 else 0
        data = {
            "lag_seconds": round(vitals.lag_seconds, 3),
            "stuck": list(vitals.stuck),
            "dead": list(vitals.dead),
            "history_behind": behind,
        }
        if vitals.dead:
            message = f"threads that died: {', '.join(vitals.dead)}"
            return Reading(
                Status.FAIL,
                "thread_dead",
                message,
                data,
                "Restart the gateway; its log says why.",
                fact=True,
            )
        if vitals.lag_seconds > LAGGING_SECONDS:
            message = (
                f"a tick came {vitals.lag_seconds:.1f} s late of late; this machine is overloaded"
            )
            return Reading(Status.WARN, "lagging", message, data)
        if self._looks_behind >= _BEHIND_LOOKS:
            message = f"{behind} changes are not written into the history yet"
            return Reading(
                Status.WARN,
                "history_behind",
                message,
                data,
                "See the queue check: the ledger takes none.",
            )
        return Reading(Status.OK, "alive", data=data)

    def close(self) -> None:
        """Nothing is held between two looks."""
