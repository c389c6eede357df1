"""Detects that a hunk is already applied: the file holds its new lines."""

from __future__ import annotations

from collections.abc import Sequence

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.matching.block_search import BLOCK_RUNGS, blocks_by_strictness
from gpt_cursor_runner.formats.matching.places import Place, SearchResult
from gpt_cursor_runner.formats.text import Text


def find_applied_rows(text: Text, hunk: Hunk) -> list[int]:
    """Return the rows where the hunk's new lines start, when that proves more
    than a coincidence.
    """
    rows = sorted(rows_of_new_lines(text, hunk, _rungs_that_prove(hunk)))
    if hunk.inserted:
        return rows
    if not hunk.deletes:
        return []
    # A hunk that only deletes leaves nothing but context: that must be complete
    # on both sides, or reach the edge of the file.
    return [row for row in rows if _has_both_sides(text, hunk, row)]


def rows_of_new_lines(text: Text, hunk: Hunk, rungs: Sequence[str]) -> tuple[int, ...]:
    """Return the rows at which the hunk's new lines start, on these rungs."""
    if not rungs:
        return ()
    blocks = blocks_by_strictness(text, hunk.new_data)
    rows: list[int] = []
    for rung in rungs:
        rows += [place.start for place in blocks.get(rung, ())]
    return tuple(rows)


def is_applied_at(hunk: Hunk, place: Place, result: SearchResult) -> bool:
    """Whether the hunk is already applied at a place of the search result, so
    that applying it again would repeat its effect.
    """
    if hunk.deletes or result.rung not in BLOCK_RUNGS:
        return _overlaps_applied(hunk, place, result.applied_rows)
    return _is_inserted_at(hunk, place, result.applied_rows)


def _overlaps_applied(hunk: Hunk, place: Place, applied_rows: Sequence[int]) -> bool:
    size = len(hunk.new)
    return any(row < place.end and place.start < row + size for row in applied_rows)


def _is_inserted_at(hunk: Hunk, place: Place, applied_rows: Sequence[int]) -> bool:
    # A hunk that only inserts still matches after the insertion if its context
    # is all on one side, else it does not.
    if hunk.context_before and hunk.context_after:
        return False
    if not b"".join(hunk.inserted).strip():
        return False
    if hunk.context_after:
        return place.end - len(hunk.new) in applied_rows
    return place.start in applied_rows


def _rungs_that_prove(hunk: Hunk) -> Sequence[str]:
    solid_lines = list(filter(None, map(bytes.strip, hunk.new_data)))
    if not solid_lines:
        return ()
    if len(solid_lines) == 1:
        # Many files hold the same single line at some other indent.
        return BLOCK_RUNGS[:-1]
    return BLOCK_RUNGS


def _has_both_sides(text: Text, hunk: Hunk, row: int) -> bool:
    end = row + len(hunk.new)
    has_start = hunk.context_before > 0 or row == 0
    has_end = hunk.context_after > 0 or end == len(text.lines)
    return has_start and has_end
