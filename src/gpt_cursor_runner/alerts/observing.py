"""How long each subject stood how: seconds per minute, added up between two
looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from gpt_cursor_runner.alerts.standing import OVERALL
from gpt_cursor_runner.health.monitor.judging import Verdict
from gpt_cursor_runner.health.monitor.model import Overall, Status
from gpt_cursor_runner.ledger.history import Seconds

_MINUTE = 60
# Between looks that far apart nobody looked.
_LONGEST_GAP_SECONDS = 5.0
# While the ledger refuses, a day is kept.
_MINUTES_KEPT = 1440
_PLACES = {Status.OK: 0, Status.WARN: 1, Status.FAIL: 2, Status.UNKNOWN: 3}
_OVERALL = {
    Overall.HEALTHY: Status.OK,
    Overall.DEGRADED: Status.WARN,
    Overall.UNKNOWN: Status.UNKNOWN,
    Overall.ERROR: Status.FAIL,
}


class UptimeTally:
    """Minutes that are not written down yet. Every moment is passed in."""

    def __init__(self) -> None:
        self._minutes: dict[int, dict[str, list[float]]] = {}
        self._looked: tuple[float, float] | None = None

    def add(self, verdict: Verdict, now: float, wall: float) -> None:
        """The time since the look before, given to how each subject stands now;
        `now` is of the sleepless clock.
        """
        before, self._looked = self._looked, (now, wall)
        if before is None or not 0 < now - before[0] <= _LONGEST_GAP_SECONDS:
            return
        stood = {one.state.name: one.status for one in verdict.checks} | {
            OVERALL: _OVERALL[verdict.overall]
        }
        for minute, seconds in _shares(wall - (now - before[0]), wall):
            subjects = self._minutes.setdefault(minute, {})
            for subject, status in stood.items():
                subjects.setdefault(subject, [0.0, 0.0, 0.0, 0.0])[_PLACES[status]] += seconds
        while len(self._minutes) > _MINUTES_KEPT:
            del self._minutes[min(self._minutes)]

    def due(self, wall: float | None) -> list[tuple[int, Mapping[str, Seconds]]]:
        """The minutes that are over at `wall`, the oldest first; all of them at
        None, the end.
        """
        over = [
            minute for minute in sorted(self._minutes) if wall is None or minute + _MINUTE <= wall
        ]
        return [
            (minute, {name: (a, b, c, d) for name, (a, b, c, d) in self._minutes[minute].items()})
            for minute in over
        ]

    def written(self, minute: int) -> None:
        """It is in the ledger."""
        del self._minutes[minute]


def _shares(begin: float, end: float) -> Iterator[tuple[int, float]]:
    """The span, cut where one minute ends and the next begins."""
    while begin < end:
        minute = math.floor(begin / _MINUTE) * _MINUTE
        until = min(end, minute + _MINUTE)
        yield minute, until - begin
        begin = until
