"""Line numbers as hints: which of several rows a hint prefers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence


def preferred_row(rows: Sequence[int], hints: Iterable[int]) -> int | None:
    """Return the row that every hint prefers, of at least two in order; None
    when there is no such row.

    A hint prefers the nearest row, if it is less than half as far as the next.
    """
    preferred = {_nearest(rows, hint) for hint in hints}
    if len(preferred) != 1:
        return None
    return preferred.pop()


def _nearest(rows: Sequence[int], hint: int) -> int | None:
    index = bisect_left(rows, hint)
    neighbours = rows[max(0, index - 2) : index + 2]
    nearest, second = sorted(neighbours, key=lambda row: abs(row - hint))[:2]
    if 2 * abs(nearest - hint) < abs(second - hint):
        return nearest
    return None
