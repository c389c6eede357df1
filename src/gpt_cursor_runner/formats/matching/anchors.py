"""Anchors: lines that the patch names above a hunk, such as its function."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.line_keys import core, indent
from gpt_cursor_runner.formats.matching.places import Place, preferred_place
from gpt_cursor_runner.formats.text import Text, show

_CLOSING = b")]}"


@dataclass(eq=False)
class AnchorMissing(Exception):
    """The file lacks an anchor, or does not have the anchors in their order
    above the hunk.

    `anchor` is set when one anchor is nowhere in the file.
    """

    reason: str
    anchor: bytes | None = None

    def __str__(self) -> str:
        return self.reason


def find_anchors(text: Text, anchors: Sequence[bytes]) -> list[int]:
    """Return the rows of the last anchor wherever the file has all anchors one
    below the other. Raises AnchorMissing when it has them nowhere.
    """
    outermost, *inner = anchors
    rows = _rows_of_anchor(text, outermost)
    for anchor in inner:
        rows = _first_rows_of_next(rows, _rows_of_anchor(text, anchor))
    if not rows:
        chain = "' and '".join(map(show, anchors))
        raise AnchorMissing(f"the file does not have the anchors '{chain}' one below the other")
    return rows


def places_below_anchors(text: Text, hunk: Hunk, places: Sequence[Place]) -> list[Place]:
    """Return the places that the hunk's anchors lead to: those in the block
    that the last anchor opens, or else all below it.

    Raises AnchorMissing when there is none.
    """
    try:
        anchor_rows = find_anchors(text, hunk.anchors)
    except AnchorMissing:
        # A single anchor is often a remark of the writer and no line of the
        # file; then it decides nothing.
        if hunk.anchors_required:
            raise
        return list(places)
    return _places_below(text, hunk, places, anchor_rows)


def _places_below(
    text: Text, hunk: Hunk, places: Sequence[Place], anchor_rows: Sequence[int]
) -> list[Place]:
    first_rows = _first_rows_below(hunk, anchor_rows)
    below = _places_from(places, first_rows[0], hunk.anchors[-1])
    if len(below) < 2:
        return below
    candidates = _places_in_scope(text, below, anchor_rows, first_rows) or below
    return _nearest_below(candidates, first_rows)


def _nearest_below(places: list[Place], first_rows: Sequence[int]) -> list[Place]:
    """The places that one anchor prefers; all of them when it prefers none, or
    when the anchor itself stands at several rows.
    """
    if len(places) == 1 or len(first_rows) > 1:
        return places
    nearest = preferred_place(places, first_rows)
    if nearest is None:
        return places
    return [nearest]


def _rows_of_anchor(text: Text, anchor: bytes) -> list[int]:
    """The rows of lines equal to the anchor, or else of lines that begin with
    it. Raises AnchorMissing when there are none.
    """
    sought = core(anchor)
    rows: list[int] = []
    if sought:
        rows = list(text.rows_of(sought)) or _rows_that_begin_with(text, sought)
    if not rows:
        raise AnchorMissing(f"the file does not have the anchor '{show(anchor)}'", anchor)
    return rows


def _rows_that_begin_with(text: Text, start: bytes) -> list[int]:
    return [row for row, line in enumerate(text.lines) if core(line).startswith(start)]


def _first_rows_of_next(rows: Sequence[int], next_rows: Sequence[int]) -> list[int]:
    """The first row of the next anchor below each row that has one."""
    indexes = {bisect_right(next_rows, row) for row in rows}
    indexes.discard(len(next_rows))
    return [next_rows[index] for index in sorted(indexes)]


def _first_rows_below(hunk: Hunk, anchor_rows: Sequence[int]) -> list[int]:
    first_line = hunk.old[0]
    # The context may begin with the anchor itself, once more.
    if first_line.sign == " " and core(first_line.data) == core(hunk.anchors[-1]):
        return list(anchor_rows)
    return [row + 1 for row in anchor_rows]


def _places_from(places: Sequence[Place], first_row: int, anchor: bytes) -> list[Place]:
    below = [place for place in places if place.start >= first_row]
    if places and not below:
        raise _not_below(places, anchor)
    return below


def _not_below(places: Sequence[Place], anchor: bytes) -> AnchorMissing:
    lines = ", ".join([str(place.start + 1) for place in places[:3]])
    return AnchorMissing(
        f"the file has the lines at line {lines}, but not below the anchor '{show(anchor)}'"
    )


def _places_in_scope(
    text: Text, below: Sequence[Place], anchor_rows: Sequence[int], first_rows: Sequence[int]
) -> list[Place]:
    starts = [place.start for place in below]
    indexes: set[int] = set()
    for anchor_row, first_row in zip(anchor_rows, first_rows, strict=True):
        end = _scope_end(text, anchor_row)
        indexes.update(range(bisect_left(starts, first_row), bisect_left(starts, end)))
    return [below[index] for index in sorted(indexes)]


def _scope_end(text: Text, row: int) -> int:
    """The row after the block that a line opens: the next line that is indented
    no deeper, other than one that closes the block.
    """
    depth = _depth(text.lines[row])
    for following in range(row + 1, len(text.lines)):
        line = text.lines[following]
        if not _is_blank_or_closing(line) and _depth(line) <= depth:
            return following
    return len(text.lines)


def _is_blank_or_closing(line: bytes) -> bool:
    line_core = core(line)
    return not line_core or line_core[:1] in _CLOSING


def _depth(line: bytes) -> int:
    return len(indent(line).expandtabs(4))
