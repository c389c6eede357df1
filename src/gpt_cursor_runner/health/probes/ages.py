"""Ages measured by the reader's own clock, so that a wall clock that is set
changes none of them.
"""

from __future__ import annotations

_MAX_ENTRIES = 512


class ArrivalLog:
    """Remembers when each sequence number of the ledger was first observed.

    A patch that was there at the first observation has the age that the wall
    clock gave it then, plus the time since; a later one has the age of the first
    observation that included its number.
    """

    def __init__(self) -> None:
        self._first_wall = 0.0
        self._entries: list[tuple[int, float]] = []

    def record(self, last_seq: int, now: float, wall: float) -> None:
        """Note that the last arrival at `now` was `last_seq`."""
        # A smaller number: another ledger, or one restored from a copy.
        if not self._entries or last_seq < self._entries[-1][0]:
            self._first_wall = wall
            self._entries = [(last_seq, now)]
        elif last_seq > self._entries[-1][0]:
            self._entries.append((last_seq, now))
        if len(self._entries) > _MAX_ENTRIES:
            # Of the entries that remain the later one counts, so that a patch
            # may appear younger than it is and never older.
            self._entries = [self._entries[0], *self._entries[2::2]]

    def age(self, seq: int, accepted_at: float, now: float) -> float:
        """Seconds since the patch of this number was first observed."""
        first_seq, first_at = self._entries[0]
        if seq <= first_seq:
            return max(0.0, self._first_wall - accepted_at) + now - first_at
        return now - next(at for last_seq, at in self._entries if last_seq >= seq)


class UnchangedTimer:
    """Measures how long a value has stayed the same."""

    def __init__(self) -> None:
        self._value: object = None
        self._changed_at = 0.0

    def update(self, value: object, now: float) -> float:
        """Seconds since the value changed; zero when it changed since the last
        call or is None.
        """
        if value is None or value != self._value:
            self._value = value
            self._changed_at = now
        return now - self._changed_at
