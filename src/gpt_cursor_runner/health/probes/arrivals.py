"""How long patches have waited, by the clock of the one who looks. No setting
of a wall clock makes them older.
"""

from __future__ import annotations

_MOST_LOOKS = 512


class Arrivals:
    """Remembers at which look the ledger had come how far.

    A patch that was there at the first look is as old as the wall clock had it
    then, and grows older with the reader's own clock; any other is as old as
    the first look that found its number reached.
    """

    def __init__(self) -> None:
        self._first_wall = 0.0
        self._looks: list[tuple[int, float]] = []

    def note(self, last_seq: int, now: float, wall: float) -> None:
        """A look at `now` (the reader's clock) found the last arrival to be
        `last_seq`.
        """
        if (
            not self._looks or last_seq < self._looks[-1][0]
        ):  # another ledger, or one restored from a copy
            self._first_wall = wall
            self._looks = [(last_seq, now)]
        elif last_seq > self._looks[-1][0]:
            self._looks.append((last_seq, now))
        if (
            len(self._looks) > _MOST_LOOKS
        ):  # what falls between two looks seems younger, never older, than it is
            self._looks = [self._looks[0], *self._looks[2::2]]

    def age(self, seq: int, accepted_at: float, now: float) -> float:
        """Seconds that the patch of this number has been known to wait."""
        first_seq, first_at = self._looks[0]
        if seq <= first_seq:
            return max(0.0, self._first_wall - accepted_at) + now - first_at
        return now - next(at for reached, at in self._looks if reached >= seq)


class Since:
    """How long one thing has been the same, by the reader's clock."""

    def __init__(self) -> None:
        self._thing: object = None
        self._at = 0.0

    def seconds(self, thing: object, now: float) -> float:
        """Zero when it is another thing than at the look before, or none."""
        if thing is None or thing != self._thing:
            self._thing, self._at = thing, now
        return now - self._at
