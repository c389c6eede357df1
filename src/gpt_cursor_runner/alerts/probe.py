"""Do alerts reach whom they are for?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpt_cursor_runner.alerts.dispatch import Delivery
from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status

UNDELIVERED_SECONDS = 600.0
_GAVE_UP_SHOWN_SECONDS = 24 * 3600.0


class AlertsProbe:
    """A sink that takes nothing for ten minutes, or that lost a alert within
    the last day, is a warning.
    """

    spec = ProbeSpec(
        "alerts", "alerts", Criticality.IMPAIRING, interval_seconds=10.0, deadline_seconds=2.0
    )

    def __init__(
        self, deliveries: Callable[[], Sequence[Delivery]], clock: Callable[[], float]
    ) -> None:
        self._deliveries, self._clock = deliveries, clock

    def read(self) -> Reading:
        """From memory; `clock` is that of the dispatch."""
        now, found = self._clock(), self._deliveries()
        data = {one.sink: _shown(one, now) for one in found}
        late = [one.sink for one in found if _waits(one, now) > UNDELIVERED_SECONDS]
        lost = [
            one.sink
            for one in found
            if one.gave_up_at and now - one.gave_up_at < _GAVE_UP_SHOWN_SECONDS
        ]
        if not late and not lost:
            return Reading(Status.OK, "delivering", data=data)
        code = "undelivered" if late else "given_up"
        message = (
            f"{', '.join(late or lost)}: alerts do not arrive"
            if late
            else f"{', '.join(lost)}: alerts were lost"
        )
        return Reading(
            Status.WARN,
            code,
            message,
            data,
            "Correct [alerts] in runner.toml; the log says what was answered.",
        )

    def close(self) -> None:
        """Nothing is held between two looks."""


def _waits(one: Delivery, now: float) -> float:
    return 0.0 if one.waiting_since is None else max(0.0, now - one.waiting_since)


def _shown(one: Delivery, now: float) -> dict[str, float | str]:
    return {"waiting_seconds": round(_waits(one, now), 1), "trouble": one.trouble}
