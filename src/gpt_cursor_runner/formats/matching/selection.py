"""Selects one of several places: by anchors, the end of the file, or a line
number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.matching.anchors import places_below_anchors
from gpt_cursor_runner.formats.matching.block_search import MOST_PLACES
from gpt_cursor_runner.formats.matching.line_hints import preferred_row
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.text import Text


def select_place(
    text: Text, hunk: Hunk, places: Sequence[Place], hints: Iterable[int] = ()
) -> Place | None:
    """Return the one place that fits the hunk, None when that is in doubt.

    `hints` are rows from 0; they select a place only if every hint prefers it.
    Raises AnchorMissing when no place is below the hunk's anchors.
    """
    if len(places) >= MOST_PLACES:
        # The search stopped there: the right place may be among the others.
        return None
    candidates = list(places)
    if hunk.anchors:
        candidates = places_below_anchors(text, hunk, candidates)
    if hunk.at_eof:
        at_end = [place for place in candidates if place.end == len(text.lines)]
        candidates = at_end or candidates
    if not candidates:
        return None
    if len(candidates) == 1:
        return candidates[0]
    if any(place.similarity < 1 for place in candidates):
        return None
    nearest = preferred_row([place.start for place in candidates], hints)
    for place in candidates:
        if place.start == nearest:
            return place
    return None
