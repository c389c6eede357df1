"""A place of a hunk in a file, and the result of searching for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.matching.line_hints import preferred_row
from gpt_cursor_runner.formats.matching.reindenting import Reindent


@dataclass(frozen=True, slots=True)
class Place:
    """The row in the file (from 0) of each old line of a hunk; None for a line
    that the file lacks.
    """

    rows: Sequence[int | None]
    similarity: float = 1.0
    reindent: Reindent | None = None

    @property
    def start(self) -> int:
        return next(row for row in self.rows if row is not None)

    @property
    def end(self) -> int:
        """The row after the last."""
        return 1 + next(row for row in reversed(self.rows) if row is not None)


def preferred_place(places: Sequence[Place], hints: Iterable[int]) -> Place | None:
    """Return the place that every hint prefers, as `preferred_row` does."""
    row = preferred_row([place.start for place in places], hints)
    for place in places:
        if place.start == row:
            return place
    return None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The places on the last rung tried, in order; empty when no rung matched.

    `applied_rows` are the rows at which the hunk's new lines already start, as
    strictly as the places or more so.
    """

    places: tuple[Place, ...]
    rungs_tried: tuple[str, ...]
    applied_rows: tuple[int, ...] = ()

    @property
    def rung(self) -> str:
        return self.rungs_tried[-1]
