"""Clocks that ignore jumps of the wall clock, and times as text."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

# Counts while the machine sleeps, so that a value read before a suspend is old
# after it. On macOS the plain monotonic clock of the C library does so.
_SLEEPLESS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# NTP slews by at most 0.5 ms per second; a larger difference between two calls
# means that the wall clock was set.
_JUMP_SECONDS = 2.0


def boottime() -> float:
    """Seconds of a clock that cannot be set and that continues during suspend."""
    return time.clock_gettime(_SLEEPLESS)


class SteadyClock:
    """Epoch seconds that follow slow corrections of the wall clock and ignore
    its jumps.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = boottime
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def __call__(self) -> float:
        now = self._monotonic()
        offset = self._wall() - now
        if abs(offset - self._offset) <= _JUMP_SECONDS:
            self._offset = offset
        return now + self._offset


def format_rfc3339(at: float, timespec: str = "milliseconds") -> str:
    """Epoch seconds as UTC, like 2026-08-01T12:00:00.000+00:00."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec)


def parse_rfc3339(text: str) -> float:
    """Epoch seconds of a time with its offset; ValueError for any other text."""
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError(f"{text} has no offset from UTC")
        return moment.timestamp()
    except OverflowError as error:  # the year 1 or 9999, moved out of range by its offset
        raise ValueError(str(error)) from error


def format_local(at: float) -> str:
    """Epoch seconds in the time zone of this machine, like 2026-08-01 14:00:00+02:00."""
    return datetime.fromtimestamp(at).astimezone().isoformat(sep=" ", timespec="seconds")
