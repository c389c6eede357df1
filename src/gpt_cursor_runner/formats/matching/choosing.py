"""One of several places, when something sent with the hunk tells which: end of
file, anchors, a line number.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.line_keys import core, indent
from gpt_cursor_runner.formats.matching.alignment import MOST_PLACES
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.text import Text, show

_CLOSING = b")]}"


@dataclass(eq=False)
class AnchorMissing(Exception):
    """The anchors of a hunk do not stand in the file, one below the other,
    above the place; the words say which.

    `anchor` is the one that stands nowhere, if that is what is wrong.
    """

    sentence: str
    anchor: bytes | None = None

    def __str__(self) -> str:
        return self.sentence


def choose(
    text: Text, hunk: Hunk, places: Sequence[Place], hints: Iterable[int] = ()
) -> Place | None:
    """The place that is meant, None when that stays in doubt; AnchorMissing
    when no place is below the anchors.

    `hints` are lines from 0; a place wins by them only if every hint prefers
    it.
    """
    if len(places) >= MOST_PLACES:
        return None  # there may be more, and one of those may be meant
    kept = _anchored(text, hunk, places) if hunk.anchors else list(places)
    if hunk.at_eof and len(kept) > 1:
        kept = [place for place in kept if place.end == len(text.lines)] or kept
    if len(kept) < 2:
        return kept[0] if kept else None
    if any(place.similarity < 1 for place in kept):
        return None
    nearest = prefer([place.start for place in kept], hints)
    return next((place for place in kept if place.start == nearest), None)


def prefer(rows: Sequence[int], hints: Iterable[int]) -> int | None:
    """The row, of several in order, that every hint prefers: the nearest, if
    less than half as far as the next.
    """
    preferred = {_nearest(rows, hint) for hint in hints}
    return preferred.pop() if len(preferred) == 1 else None


def anchor_ends(text: Text, anchors: Sequence[bytes]) -> list[int]:
    """The rows of the last anchor wherever all anchors stand one below the
    other; AnchorMissing when they never do.
    """
    rows = [_rows_of_anchor(text, anchor) for anchor in anchors]
    for anchor, found in zip(anchors, rows, strict=True):
        if not found:
            raise AnchorMissing(f"the anchor '{show(anchor)}' does not stand in the file", anchor)
    ends = set()
    for first in rows[0]:
        row: int | None = first
        for below in rows[1:]:
            at = bisect_left(below, row + 1) if row is not None else len(below)
            row = below[at] if at < len(below) else None
        ends.add(row)
    found_ends = sorted(row for row in ends if row is not None)
    if not found_ends:
        chain = "' and '".join(show(anchor) for anchor in anchors)
        raise AnchorMissing(f"the anchors '{chain}' do not stand one below the other in the file")
    return found_ends


def scope_end(text: Text, row: int) -> int:
    """The row after the block that a line opens: where a line stands no deeper,
    other than one that closes it.
    """
    depth = len(indent(text.lines[row]).expandtabs(4))
    for at in range(row + 1, len(text.lines)):
        line = core(text.lines[at])
        if line and line[:1] not in _CLOSING and len(indent(text.lines[at]).expandtabs(4)) <= depth:
            return at
    return len(text.lines)


def _anchored(text: Text, hunk: Hunk, places: Sequence[Place]) -> list[Place]:
    try:
        ends = anchor_ends(text, hunk.anchors)
    except AnchorMissing:
        # A lone anchor is often a remark of the writer's, not a line; it
        # decides nothing then.
        if hunk.stacked:
            raise
        return list(places)
    # Context may begin with the anchor itself, once more.
    again = hunk.old[0].sign == " " and core(hunk.old[0].data) == core(hunk.anchors[-1])
    ends = [end if again else end + 1 for end in ends]
    below = [place for place in places if place.start >= ends[0]]
    if places and not below:
        where = ", ".join(str(place.start + 1) for place in places[:3])
        raise AnchorMissing(
            f"the lines stand at line {where}, but not below the anchor '{show(hunk.anchors[-1])}'"
        )
    if len(below) < 2:
        return below
    starts = [place.start for place in below]
    inside: set[int] = set()
    for end in ends:
        stop = scope_end(text, end if again else end - 1)
        inside.update(range(bisect_left(starts, end), bisect_left(starts, stop)))
    if len(inside) == 1:
        return [below[inside.pop()]]
    kept = [below[at] for at in sorted(inside)] or below
    nearest = prefer([place.start for place in kept], ends) if len(ends) == 1 else None
    return [place for place in kept if place.start == nearest] or kept


def _rows_of_anchor(text: Text, anchor: bytes) -> list[int]:
    """Where an anchor stands: as a whole line, or else as the beginning of one."""
    sought = core(anchor)
    if not sought:
        return []
    whole = list(text.rows_of(sought))
    return whole or [row for row, line in enumerate(text.lines) if core(line).startswith(sought)]


def _nearest(rows: Sequence[int], hint: int) -> int | None:
    beside = bisect_left(rows, hint)
    nearest, second = sorted(rows[max(0, beside - 2) : beside + 2], key=lambda at: abs(at - hint))[
        :2
    ]
    return nearest if 2 * abs(nearest - hint) < abs(second - hint) else None
