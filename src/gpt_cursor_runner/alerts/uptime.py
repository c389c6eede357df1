"""Counts the seconds that each subject spends in each state, by the minute."""

from __future__ import annotations

import math
from collections.abc import Iterator

from gpt_cursor_runner.alerts.subjects import OVERALL
from gpt_cursor_runner.health.monitor.judging import Verdict
from gpt_cursor_runner.health.monitor.model import CheckStatus, Overall
from gpt_cursor_runner.ledger.uptime import StateSeconds

_MINUTE = 60
# A longer gap between two verdicts was not observed: the machine slept, or the
# gateway did not run.
_LONGEST_GAP_SECONDS = 5.0
# The number of minutes, a day's, that are kept while the ledger rejects writes.
_MINUTES_KEPT = 1440
_POSITIONS = {CheckStatus.OK: 0, CheckStatus.WARN: 1, CheckStatus.FAIL: 2, CheckStatus.UNKNOWN: 3}
_STATUS_OF_OVERALL = {
    Overall.HEALTHY: CheckStatus.OK,
    Overall.DEGRADED: CheckStatus.WARN,
    Overall.UNKNOWN: CheckStatus.UNKNOWN,
    Overall.ERROR: CheckStatus.FAIL,
}


class UptimeTally:
    """Minutes that are not in the ledger yet. Every moment is passed in."""

    def __init__(self) -> None:
        self._minutes: dict[int, dict[str, list[float]]] = {}
        self._last_at: float | None = None

    def add(self, verdict: Verdict, now: float, wall: float) -> None:
        """Count the time since the verdict before for the states of this one.

        `now` is of a clock that runs while the machine sleeps, `wall` is epoch
        seconds.
        """
        before, self._last_at = self._last_at, now
        if before is None or not 0 < now - before <= _LONGEST_GAP_SECONDS:
            return
        statuses = {result.state.name: result.status for result in verdict.checks}
        statuses[OVERALL] = _STATUS_OF_OVERALL[verdict.overall]
        for minute, seconds in _split_by_minute(wall - (now - before), wall):
            subjects = self._minutes.setdefault(minute, {})
            for subject, status in statuses.items():
                states = subjects.setdefault(subject, [0.0, 0.0, 0.0, 0.0])
                states[_POSITIONS[status]] += seconds
        while len(self._minutes) > _MINUTES_KEPT:
            del self._minutes[min(self._minutes)]

    def complete_minutes(self, wall: float) -> list[int]:
        """The starts of the minutes that are over at `wall`, the oldest first."""
        return [minute for minute in sorted(self._minutes) if minute + _MINUTE <= wall]

    def seconds(self, minute: int) -> dict[str, StateSeconds]:
        """The seconds of each state in a minute, by subject."""
        result: dict[str, StateSeconds] = {}
        for subject, (ok, warn, fail, unknown) in self._minutes[minute].items():
            result[subject] = (ok, warn, fail, unknown)
        return result

    def discard(self, minute: int) -> None:
        """Drop a minute that is in the ledger now."""
        del self._minutes[minute]


def _split_by_minute(begin: float, end: float) -> Iterator[tuple[int, float]]:
    while begin < end:
        minute = math.floor(begin / _MINUTE) * _MINUTE
        until = min(end, minute + _MINUTE)
        yield minute, until - begin
        begin = until
