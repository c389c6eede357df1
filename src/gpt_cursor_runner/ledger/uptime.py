"""The seconds that each subject spent in each state, by minute and by hour, and
the uptime computed from them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from gpt_cursor_runner.ledger.database import Database, delete_in_pieces
from gpt_cursor_runner.ledger.schema import observations

MINUTE, HOUR, DAY = 60, 3600, 86_400
UPTIME_WINDOWS: Mapping[str, int] = {"1h": HOUR, "24h": DAY, "7d": 7 * DAY, "30d": 30 * DAY}

_MINUTES_KEPT_SECONDS = 7 * DAY
_HOURS_KEPT_SECONDS = 90 * DAY
_STATES = 4

StateSeconds = tuple[float, float, float, float]  # ok, warn, fail, unknown
# Whole numbers, so that sums are exact however many observations they have.
_Milliseconds = list[int]


@dataclass(frozen=True)
class Observation:
    """A minute or an hour (`length` seconds from `start` on): the seconds of
    each state, by subject.
    """

    length: int
    start: int
    seconds: Mapping[str, StateSeconds]


@dataclass(frozen=True)
class Uptime:
    """The seconds of each state in a window. `ratio` is the share of ok and
    warn among the observed seconds; None when there are none.
    """

    ok_seconds: float
    warn_seconds: float
    fail_seconds: float
    unknown_seconds: float
    unobserved_seconds: float
    ratio: float | None


class UptimeStore:
    """Reads and writes observations. Every time is epoch seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def observe(self, minute_start: int, seconds: Mapping[str, StateSeconds]) -> None:
        """Add the seconds of each state, by subject, to a minute and to its hour.

        A minute has at most 60 seconds for each subject; seconds beyond them are
        left out, of every state in proportion.
        """
        if minute_start % MINUTE:
            raise ValueError(f"{minute_start} is not the start of a minute")
        added = {subject: _milliseconds(states) for subject, states in seconds.items()}
        with self._database.write() as connection:
            added = _add(connection, MINUTE, minute_start, added)
            _add(connection, HOUR, minute_start - minute_start % HOUR, added)

    def observations(self, length: int, since: float) -> list[Observation]:
        """The minutes (`length` 60) or hours (3600) that start at `since` or
        later, the oldest first.
        """
        query = (
            select(observations)
            .where(observations.c.length == length, observations.c.start >= since)
            .order_by(observations.c.start)
        )
        result: list[Observation] = []
        with self._database.read() as connection:
            for row in connection.execute(query):
                seconds = {subject: _seconds(states) for subject, states in row.seconds.items()}
                result.append(Observation(row.length, row.start, seconds))
        return result

    def uptime(
        self, now: float, windows: Mapping[str, int] = UPTIME_WINDOWS
    ) -> dict[str, dict[str, Uptime]]:
        """Uptime by subject and by the label of each window. `windows` has their
        lengths in seconds; they end with the last whole minute.
        """
        end = int(now) // MINUTE * MINUTE
        lengths: dict[str, int] = {}
        totals: dict[str, dict[str, _Milliseconds]] = {}
        with self._database.read() as connection:
            for label, length in windows.items():
                start = _window_start(end, length)
                lengths[label] = end - start
                totals[label] = _total(connection, start, end)
        uptimes: dict[str, dict[str, Uptime]] = {}
        for subject in sorted(set().union(*totals.values())):
            uptimes[subject] = {}
            for label, length in lengths.items():
                # A subject may be missing in the shorter windows.
                milliseconds = totals[label].get(subject, [0] * _STATES)
                uptimes[subject][label] = _uptime(milliseconds, length)
        return uptimes

    def prune(self, now: float) -> int:
        """Delete minutes and hours that are past their time, in short
        transactions; returns the number of deleted rows.
        """
        # Minutes are kept one hour longer than the longest window that is made
        # of them, because such a window may start within an hour.
        minutes = (observations.c.length == MINUTE) & (
            observations.c.start < now - _MINUTES_KEPT_SECONDS - HOUR
        )
        hours = (observations.c.length == HOUR) & (observations.c.start < now - _HOURS_KEPT_SECONDS)
        return delete_in_pieces(self._database, observations, or_(minutes, hours))


def _add(
    connection: Connection, length: int, start: int, added: Mapping[str, _Milliseconds]
) -> dict[str, _Milliseconds]:
    """Add as much as the minute or hour has room for; returns that part."""
    is_row = (observations.c.length == length) & (observations.c.start == start)
    query = select(observations.c.seconds).where(is_row).with_for_update()
    before = connection.execute(query).scalar()
    seconds: dict[str, Sequence[float]] = dict(before or {})
    fitted: dict[str, _Milliseconds] = {}
    for subject, milliseconds in added.items():
        total = _milliseconds(seconds.get(subject, [0.0] * _STATES))
        fitted[subject] = _fit(milliseconds, room=1000 * length - sum(total))
        for state, count in enumerate(fitted[subject]):
            total[state] += count
        seconds[subject] = _seconds_of(total)
    if before is None:
        connection.execute(insert(observations).values(length=length, start=start, seconds=seconds))
    else:
        connection.execute(update(observations).where(is_row).values(seconds=seconds))
    return fitted


def _fit(milliseconds: _Milliseconds, room: int) -> _Milliseconds:
    total = sum(milliseconds)
    if total <= room:
        return milliseconds
    return [count * room // total for count in milliseconds]


def _window_start(end: int, length: int) -> int:
    start = end - length
    if length <= _MINUTES_KEPT_SECONDS:
        return start
    # The minutes of that time are deleted; only whole hours are left of it.
    return start - start % HOUR


def _total(connection: Connection, start: int, end: int) -> dict[str, _Milliseconds]:
    """The milliseconds from `start` to `end`, by subject.

    Whole hours are read as hours, which are the sums of their minutes, and only
    the rest at both ends as minutes.
    """
    first_hour = -(-start // HOUR) * HOUR
    last_hour = end // HOUR * HOUR
    if first_hour < last_hour:
        spans = [
            _is_within(HOUR, first_hour, last_hour),
            _is_within(MINUTE, start, first_hour),
            _is_within(MINUTE, last_hour, end),
        ]
    else:
        spans = [_is_within(MINUTE, start, end)]
    totals: dict[str, _Milliseconds] = {}
    for is_within in spans:
        query = select(observations.c.seconds).where(is_within)
        for seconds in connection.execute(query).scalars():
            _add_to(totals, seconds)
    return totals


def _is_within(length: int, start: int, end: int) -> ColumnElement[bool]:
    return (
        (observations.c.length == length)
        & (observations.c.start >= start)
        & (observations.c.start < end)
    )


def _add_to(totals: dict[str, _Milliseconds], seconds: Mapping[str, Sequence[float]]) -> None:
    for subject, states in seconds.items():
        total = totals.setdefault(subject, [0] * _STATES)
        for state, count in enumerate(_milliseconds(states)):
            total[state] += count


def _uptime(milliseconds: _Milliseconds, length: int) -> Uptime:
    ok, warn, _, _ = milliseconds
    observed = sum(milliseconds)
    ratio = None
    if observed:
        ratio = (ok + warn) / observed
    # An hour that began before the window may hold more than the window is long.
    unobserved_seconds = max(0.0, length - observed / 1000)
    return Uptime(*_seconds_of(milliseconds), unobserved_seconds, ratio)


def _milliseconds(states: Sequence[float]) -> _Milliseconds:
    are_valid = all(math.isfinite(seconds) and seconds >= 0 for seconds in states)
    if len(states) != _STATES or not are_valid:
        raise ValueError(f"{states} are not the seconds of four states")
    return [round(1000 * seconds) for seconds in states]


def _seconds_of(milliseconds: _Milliseconds) -> StateSeconds:
    return _seconds([count / 1000 for count in milliseconds])


def _seconds(states: Sequence[float]) -> StateSeconds:
    ok, warn, fail, unknown = states
    return ok, warn, fail, unknown
