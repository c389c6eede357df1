"""The rung `fuzzy`: context may differ a little, the file must have the deleted
lines as sent.

1. The rarest deleted line gives the rows where the hunk may belong. The rows
   with most of the context around them are aligned.
2. An alignment matches lines in order. It may skip context on either side, but
   no deleted line, nor anything between two of them. A skipped line of the file
   counts a quarter, or next to nothing when it is blank or a comment.
3. The best place must reach LEAST_SIMILARITY; it is ambiguous unless it is
   LEAST_LEAD ahead of the next.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from itertools import islice

from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.limits import Budget
from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.matching.alignment import SLACK, align
from gpt_cursor_runner.formats.matching.fuzz_factor import fuzz_factor_places
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.matching.rarest_lines import rarest_first
from gpt_cursor_runner.formats.text import Text

LEAST_SIMILARITY = 0.90
LEAST_LEAD = 0.10
_LEAST_LINES = 3
_MOST_LINES = 200
_MOST_ROWS = 5_000  # of the rarest deleted line: with more it identifies nothing
_MOST_ALIGNED = 12


def fuzzy_places(text: Text, hunk: Hunk, budget: Budget) -> list[Place]:
    """Return the places with similar context, or with no more differing context
    lines than the hunk's fuzz factor.
    """
    if hunk.fuzz:
        return fuzz_factor_places(text, hunk, budget)
    return _similar_places(text, hunk, budget)


def _similar_places(text: Text, hunk: Hunk, budget: Budget) -> list[Place]:
    old = hunk.old
    if not _LEAST_LINES <= len(old) <= _MOST_LINES:
        return []
    rarest = _rarest_deleted_line(text, old)
    if rarest is None:
        return []
    rows = list(islice(text.rows_of(core(old[rarest].data)), _MOST_ROWS))
    aligned_rows = _rows_with_most_context(text, hunk, rarest, rows)
    budget.aligned_lines_left -= len(old) * len(aligned_rows)
    if budget.aligned_lines_left < 0 or len(rows) == _MOST_ROWS:
        return []
    return _best_places(_aligned_places(text, hunk, rarest, aligned_rows))


def _aligned_places(text: Text, hunk: Hunk, pinned: int, rows: Iterable[int]) -> Collection[Place]:
    places: dict[Sequence[int | None], Place] = {}
    for row in rows:
        place = align(text, hunk, pinned, row)
        if place:
            places[place.rows] = place
    return places.values()


def _rarest_deleted_line(text: Text, old: Sequence[HunkLine]) -> int | None:
    """The number of the deleted line that the file has least often; None when
    the file lacks one, or the hunk has no deletion or no context.
    """
    counts = rarest_first(text, old, "-")
    rarest = next(iter(counts), None)
    if rarest is None or counts[rarest] == 0:
        return None
    if all(line.sign == "-" for line in old):
        return None
    return rarest


def _rows_with_most_context(text: Text, hunk: Hunk, pinned: int, rows: Sequence[int]) -> list[int]:
    """The few rows around which the file has most different lines of the hunk."""
    string, _ = text.cores
    hunk_characters = set(map(text.character_of, map(core, hunk.old_data)))
    context = hunk_characters - {""}
    size = len(hunk.old)

    def lines_around(row: int) -> int:
        start = row - pinned
        around = string[max(0, start - SLACK) : max(0, start) + size + SLACK]
        return len(context.intersection(around))

    return sorted(rows, key=lines_around, reverse=True)[:_MOST_ALIGNED]


def _best_places(places: Iterable[Place]) -> list[Place]:
    """The best place, with those that come too near to it."""
    best = sorted(places, key=lambda place: -place.similarity)
    if not best or best[0].similarity < LEAST_SIMILARITY:
        return []
    return [place for place in best if place.similarity > best[0].similarity - LEAST_LEAD]
