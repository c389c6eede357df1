"""The matching ladder: searches a file for the old lines of a hunk.

Rungs are tried from the strictest to the most lenient. The first rung with any
place decides: one place wins, several are ambiguous unless an anchor, a line
number or the end of the file selects one. The first place is never taken just
because it is the first.

1. `exact`: the same bytes.
2. `blanks`: line ends, trailing blanks and a byte order mark are ignored.
3. `unicode`: look-alike characters are equal.
4. `indent`: every line is shifted by the same indent, tabs against spaces
   included.
5. `ellipsis`: either side may lack blank context lines, and an ellipsis line
   stands for omitted lines.
6. `fuzzy`: context may differ a little, deleted lines may not.

The seventh rung, three-way, needs another version of the file
(`three_way.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.limits import Budget
from gpt_cursor_runner.formats.matching.already_applied import (
    find_applied_rows,
    rows_of_new_lines,
)
from gpt_cursor_runner.formats.matching.block_search import (
    BLOCK_RUNGS,
    MOST_PLACES,
    blocks_by_strictness,
    blocks_with_collapsed_blanks,
)
from gpt_cursor_runner.formats.matching.ellipsis import ellipsis_places
from gpt_cursor_runner.formats.matching.fuzzy import fuzzy_places
from gpt_cursor_runner.formats.matching.places import Place, SearchResult
from gpt_cursor_runner.formats.text import Text
from gpt_cursor_runner.patch.model import Tolerance

TOLERANCES: tuple[Tolerance, ...] = ("strict", "standard", "merge")


@dataclass(frozen=True)
class Rung:
    """`tolerance` is the strictest that allows the rung. `find_places` is None
    for the rungs that share the block search.
    """

    name: str
    tolerance: Tolerance
    find_places: Callable[[Text, Hunk, Budget], list[Place]] | None = None


def _fuzzy_places_unless_applied(text: Text, hunk: Hunk, budget: Budget) -> list[Place]:
    # "Already applied" explains more than a place that is only similar.
    if find_applied_rows(text, hunk):
        return []
    return fuzzy_places(text, hunk, budget)


LADDER: tuple[Rung, ...] = (
    Rung("exact", "strict"),
    *(Rung(name, "standard") for name in BLOCK_RUNGS[1:]),
    Rung("ellipsis", "standard", lambda text, hunk, _: ellipsis_places(text, hunk)),
    Rung("fuzzy", "merge", _fuzzy_places_unless_applied),
)


def allowed_rungs(tolerance: Tolerance) -> tuple[Rung, ...]:
    """Return the rungs that a tolerance allows, the strictest first."""
    allowed = TOLERANCES[: TOLERANCES.index(tolerance) + 1]
    return tuple(rung for rung in LADDER if rung.tolerance in allowed)


def search(text: Text, hunk: Hunk, rungs: Sequence[Rung], budget: Budget) -> SearchResult:
    """Try rung after rung until one has any place for the hunk's old lines."""
    blocks = _find_blocks(text, hunk)
    tried: list[str] = []
    for rung in rungs:
        tried.append(rung.name)
        if rung.find_places:
            places = rung.find_places(text, hunk, budget)
        else:
            places = blocks.get(rung.name, [])
        if places:
            applied_rows = _applied_rows(text, hunk, tried)
            return SearchResult(tuple(places[:MOST_PLACES]), tuple(tried), applied_rows)
    return SearchResult((), tuple(tried))


def _find_blocks(text: Text, hunk: Hunk) -> dict[str, list[Place]]:
    blocks = blocks_by_strictness(text, hunk.old_data, hunk.inserted)
    if blocks or not hunk.ignore_whitespace:
        return blocks
    return {"indent": blocks_with_collapsed_blanks(text, hunk.old_data, hunk.inserted)}


def _applied_rows(text: Text, hunk: Hunk, tried: Sequence[str]) -> tuple[int, ...]:
    # A hunk that only inserts matches again on the same rung where it is
    # already applied; other hunks match only on a more lenient one.
    if hunk.deletes:
        return rows_of_new_lines(text, hunk, tried[:-1])
    return rows_of_new_lines(text, hunk, tried)
