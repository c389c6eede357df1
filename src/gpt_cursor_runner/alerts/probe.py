"""Checks that alerts are delivered."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpt_cursor_runner.alerts.dispatch import SinkState
from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading

UNDELIVERED_SECONDS = 600.0
_GIVEN_UP_SECONDS = 24 * 3600.0
_REMEDY = "Correct [alerts] in runner.toml; the gateway's log has the answers of the sink."


class AlertsProbe:
    """Warns when a sink has accepted nothing for ten minutes, or when an alert
    was given up within the last day.
    """

    spec = ProbeSpec(
        "alerts", "alerts", Criticality.IMPAIRING, interval_seconds=10.0, deadline_seconds=2.0
    )
    codes = CodeTable(
        delivering=Code(CheckStatus.OK),
        undelivered=Code(CheckStatus.WARN, _REMEDY),
        given_up=Code(CheckStatus.WARN, _REMEDY),
    )

    def __init__(
        self, sink_states: Callable[[], Sequence[SinkState]], clock: Callable[[], float]
    ) -> None:
        self._sink_states, self._clock = sink_states, clock

    def read(self) -> Reading:
        now, sinks = self._clock(), self._sink_states()
        data = {sink.sink: _shown(sink, now) for sink in sinks}
        late = [sink.sink for sink in sinks if _waiting_seconds(sink, now) > UNDELIVERED_SECONDS]
        if late:
            message = f"{', '.join(late)}: alerts are not delivered"
            return self.codes.reading("undelivered", message, data)
        lossy = [sink.sink for sink in sinks if _gave_up_lately(sink, now)]
        if lossy:
            message = f"{', '.join(lossy)}: alerts were given up"
            return self.codes.reading("given_up", message, data)
        return self.codes.reading("delivering", data=data)


def _waiting_seconds(sink: SinkState, now: float) -> float:
    if sink.waiting_since is None:
        return 0.0
    return max(0.0, now - sink.waiting_since)


def _gave_up_lately(sink: SinkState, now: float) -> bool:
    return sink.gave_up_at is not None and now - sink.gave_up_at < _GIVEN_UP_SECONDS


def _shown(sink: SinkState, now: float) -> dict[str, float | str]:
    return {"waiting_seconds": round(_waiting_seconds(sink, now), 1), "trouble": sink.trouble}
