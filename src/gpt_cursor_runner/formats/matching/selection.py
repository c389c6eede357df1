"""Selects one of several places: by anchors, the end of the file, or a line
number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.matching.anchors import places_below_anchors
from gpt_cursor_runner.formats.matching.block_search import MOST_PLACES
from gpt_cursor_runner.formats.matching.places import Place, preferred_place
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
    candidates = _at_end_of_file(text, hunk, _below_anchors(text, hunk, places))
    if not candidates:
        return None
    if len(candidates) == 1:
        return candidates[0]
    return _preferred_place(candidates, hints)


def _below_anchors(text: Text, hunk: Hunk, places: Sequence[Place]) -> Sequence[Place]:
    if not hunk.anchors:
        return places
    return places_below_anchors(text, hunk, places)


def _at_end_of_file(text: Text, hunk: Hunk, places: Sequence[Place]) -> Sequence[Place]:
    if not hunk.at_eof:
        return places
    return [place for place in places if place.end == len(text.lines)] or places


def _preferred_place(places: Sequence[Place], hints: Iterable[int]) -> Place | None:
    # Among places that are only similar a line number is too weak a sign.
    if min(place.similarity for place in places) < 1:
        return None
    return preferred_place(places, hints)
