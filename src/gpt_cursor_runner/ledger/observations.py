"""How long each subject was in each state, by the minute and by the hour, and
the uptime that follows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from gpt_cursor_runner.ledger.schema import observations

MINUTE, HOUR = 60, 3600
MINUTES_KEPT_SECONDS = 7 * 86_400
UPTIME_WINDOWS: Mapping[str, int] = {
    "1h": HOUR,
    "24h": 24 * HOUR,
    "7d": 7 * 24 * HOUR,
    "30d": 30 * 24 * HOUR,
}

Seconds = tuple[float, float, float, float]  # ok, warn, fail, unknown
# Counted in whole milliseconds, which add up to what they should however often
# they are added.
_Counts = list[int]


@dataclass(frozen=True)
class Observation:
    """What a minute or an hour (`length` seconds from `start` on) was made of,
    by subject.
    """

    length: int
    start: int
    seconds: Mapping[str, Seconds]


@dataclass(frozen=True)
class Uptime:
    """What became of the seconds of a window. `ratio` is of those observed;
    None where nobody looked.
    """

    ok_seconds: float
    warn_seconds: float
    fail_seconds: float
    unknown_seconds: float
    unobserved_seconds: float
    ratio: float | None


def add(connection: Connection, minute_start: int, seconds: Mapping[str, Seconds]) -> None:
    """Add to a minute and to its hour, inside the caller's transaction.

    A minute holds 60 seconds of every subject and no more: what is too much is
    left out in proportion.
    """
    if minute_start % MINUTE:
        raise ValueError(f"no minute begins at {minute_start}: give a multiple of {MINUTE}")
    added = {subject: _counts(of) for subject, of in seconds.items()}
    _merge(
        connection,
        HOUR,
        minute_start - minute_start % HOUR,
        _merge(connection, MINUTE, minute_start, added),
    )


def read(connection: Connection, length: int, since: float) -> list[Observation]:
    """The minutes (`length` 60) or hours (3600) that begin at `since` or later,
    the oldest first.
    """
    wanted = (observations.c.length == length) & (observations.c.start >= since)
    rows = connection.execute(select(observations).where(wanted).order_by(observations.c.start))
    return [
        Observation(row.length, row.start, {name: _seconds(of) for name, of in row.seconds.items()})
        for row in rows
    ]


def uptime(
    connection: Connection, now: float, windows: Mapping[str, int]
) -> dict[str, dict[str, Uptime]]:
    """By subject and window; a window ends with the last whole minute."""
    end = int(now) // MINUTE * MINUTE
    spans = {label: _span(end, length) for label, length in windows.items()}
    sums = {label: _sum_up(connection, first, end) for label, first in spans.items()}
    subjects = sorted({subject for of in sums.values() for subject in of})
    return {
        subject: {
            label: _uptime(sums[label].get(subject, [0] * 4), end - spans[label])
            for label in windows
        }
        for subject in subjects
    }


def _merge(
    connection: Connection, length: int, start: int, added: Mapping[str, _Counts]
) -> dict[str, _Counts]:
    """Add to one row what there is room for, and tell how much that was."""
    here = (observations.c.length == length) & (observations.c.start == start)
    before = connection.execute(
        select(observations.c.seconds).where(here).with_for_update()
    ).scalar()
    kept: dict[str, Any] = dict(before or {})
    fitted = {}
    for subject, counts in added.items():
        old = _counts(kept.get(subject, (0, 0, 0, 0)))
        fitted[subject] = _fit(counts, 1000 * length - sum(old))
        kept[subject] = [
            (one + more) / 1000 for one, more in zip(old, fitted[subject], strict=True)
        ]
    if before is None:
        connection.execute(insert(observations).values(length=length, start=start, seconds=kept))
    else:
        connection.execute(update(observations).where(here).values(seconds=kept))
    return fitted


def _fit(counts: _Counts, room: int) -> _Counts:
    total = sum(counts)
    return counts if total <= room else [count * room // total for count in counts]


def _span(end: int, length: int) -> int:
    """Where a window begins: with a whole hour, when it reaches back behind the
    minutes that are kept.
    """
    first = end - length
    return first if length <= MINUTES_KEPT_SECONDS else first - first % HOUR


def _sum_up(connection: Connection, first: int, end: int) -> dict[str, _Counts]:
    """The whole hours between as hours, which are the sums of their minutes,
    and only the ends by the minute.
    """
    first_hour, last_hour = -(-first // HOUR) * HOUR, end // HOUR * HOUR
    start, minutes = observations.c.start, observations.c.length == MINUTE
    pieces = [minutes & (start >= first) & (start < end)]
    if first_hour < last_hour:
        hours = (observations.c.length == HOUR) & (start >= first_hour) & (start < last_hour)
        ends = (
            minutes & (start >= first) & (start < first_hour),
            minutes & (start >= last_hour) & (start < end),
        )
        pieces = [hours, *ends]
    sums: dict[str, _Counts] = {}
    for piece in pieces:
        for row in connection.execute(select(observations.c.seconds).where(piece)):
            _add_row(sums, row)
    return sums


def _add_row(sums: dict[str, _Counts], row: Row[Any]) -> None:
    for subject, seconds in row.seconds.items():
        sum_ = sums.setdefault(subject, [0] * 4)
        for state, count in enumerate(_counts(seconds)):
            sum_[state] += count


def _uptime(sum_: _Counts, span: int) -> Uptime:
    observed = sum(sum_)
    ratio = (sum_[0] + sum_[1]) / observed if observed else None
    return Uptime(
        *_seconds([count / 1000 for count in sum_]), max(0.0, span - observed / 1000), ratio
    )


def _counts(seconds: Sequence[float]) -> _Counts:
    if len(seconds) != 4 or not all(math.isfinite(one) and one >= 0 for one in seconds):
        raise ValueError(f"{seconds} are not the seconds of four states")
    return [round(one * 1000) for one in seconds]


def _seconds(of: Sequence[float]) -> Seconds:
    ok, warn, fail, unknown = of
    return ok, warn, fail, unknown
