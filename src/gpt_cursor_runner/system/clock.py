"""Clocks for who watches. Ages never follow the wall clock, which people, NTP
and suspended machines move.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# Counts while the machine sleeps: what was read before it fell asleep is old
# when it wakes. On macOS the plain monotonic clock of the C library does so.
_SLEEPLESS = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
# More than any slow correction does between two looks: the wall clock was set.
_JUMP_SECONDS = 2.0


def boottime() -> float:
    """Seconds of a clock that nobody sets and that no sleep stops."""
    return time.clock_gettime(_SLEEPLESS)


class SteadyClock:
    """Epoch seconds that follow the wall clock's slow corrections and none of
    its jumps.
    """

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = boottime
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._offset = wall() - monotonic()

    def __call__(self) -> float:
        now = self._monotonic()
        apart = self._wall() - now
        if abs(apart - self._offset) <= _JUMP_SECONDS:
            self._offset = apart
        return now + self._offset
