"""The rung `ellipsis`: blank context lines that one side lacks, and ellipsis
lines that stand for omitted lines.

An ellipsis divides the hunk into pieces. Each piece must have exactly one
place, below the piece before it. Blank lines among deleted lines are never
guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, islice

from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.matching.block_search import MOST_PLACES, line_ends_agree
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.matching.reindenting import Reindent, uniform_shift
from gpt_cursor_runner.formats.text import Text, occurrences

_MOST_LINES = 200_000  # compared for one piece, over all its places
_ELLIPSIS = re.compile(rb"(?:(?:#|//|/\*|<!--|--|;|%|\{/\*)\s*\.{3}.*|\.{3})")


def ellipsis_places(text: Text, hunk: Hunk) -> list[Place]:
    """Return the places of a hunk whose context omits blank lines, or lines
    that an ellipsis stands for.
    """
    if any(map(_is_ellipsis, hunk.old)):
        return _places_of_pieces(text, hunk)
    return _places_of_piece(text, hunk, hunk.old)


def _places_of_pieces(text: Text, hunk: Hunk) -> list[Place]:
    """The place of all pieces together, if each has exactly one."""
    rows: list[int | None] = [None] * len(hunk.old)
    shifts: set[Reindent | None] = set()
    for first, piece in _split_at_ellipses(hunk.old):
        place = _only_place_below(_last_row(rows), text, hunk, piece)
        if place is None:
            return []
        rows[first : first + len(piece)] = place.rows
        shifts.add(place.reindent)
    if len(shifts) != 1:
        return []
    return [Place(tuple(rows), reindent=shifts.pop())]


def _split_at_ellipses(old: Sequence[HunkLine]) -> Iterator[tuple[int, list[HunkLine]]]:
    """The pieces, each with the number of its first line."""
    first = 0
    for is_ellipsis, group in groupby(old, _is_ellipsis):
        lines = list(group)
        if not is_ellipsis:
            yield first, lines
        first += len(lines)


def _is_ellipsis(line: HunkLine) -> bool:
    return line.sign == " " and _ELLIPSIS.fullmatch(core(line.data)) is not None


def _only_place_below(row: int, text: Text, hunk: Hunk, piece: Sequence[HunkLine]) -> Place | None:
    places = _places_of_piece(text, hunk, piece, most=2)
    if len(places) != 1 or places[0].start <= row:
        return None
    return places[0]


def _last_row(rows: Sequence[int | None]) -> int:
    return max((row for row in rows if row is not None), default=-1)


def _places_of_piece(
    text: Text, hunk: Hunk, piece: Sequence[HunkLine], most: int = MOST_PLACES
) -> list[Place]:
    """The places where the lines of a piece follow one another, however many
    blank lines are between.
    """
    sought = text.string_of(filter(None, [core(line.data) for line in piece]))
    if not sought:
        return []
    string, rows = text.solid_cores
    # Each comparison costs as much as the piece is long.
    most_comparisons = max(2, _MOST_LINES // len(piece))
    places = (
        _place_between(text, hunk, piece, rows[index], rows[index + len(sought) - 1] + 1)
        for index in islice(occurrences(string, sought), most_comparisons)
    )
    return list(islice(filter(None, places), most))


def _place_between(
    text: Text, hunk: Hunk, piece: Sequence[HunkLine], start: int, end: int
) -> Place | None:
    rows = _rows_between(text, piece, start, end)
    if _guesses_deletion(piece, rows):
        return None
    sent, in_file = _lines_with_row(text, piece, rows)
    if not line_ends_agree(text, sent, in_file):
        return None
    shift = uniform_shift(sent, in_file, hunk.inserted)
    if shift is None:
        return None
    return Place(tuple(rows), reindent=shift)


def _lines_with_row(
    text: Text, piece: Sequence[HunkLine], rows: Sequence[int | None]
) -> tuple[list[bytes], list[bytes]]:
    """The sent lines that the file has, and the same lines in the file."""
    sent: list[bytes] = []
    in_file: list[bytes] = []
    for line, row in zip(piece, rows, strict=True):
        if row is not None:
            sent.append(line.data)
            in_file.append(text.lines[row])
    return sent, in_file


def _rows_between(text: Text, piece: Sequence[HunkLine], start: int, end: int) -> list[int | None]:
    """The row of each line, None for a blank one that the file lacks."""
    rows: list[int | None] = []
    row = start
    for line in piece:
        if core(line.data):
            row = _next_solid_row(text, row, end)
        elif not text.is_blank(row):
            rows.append(None)
            continue
        rows.append(row)
        row += 1
    return rows


def _next_solid_row(text: Text, row: int, end: int) -> int:
    while row < end and text.is_blank(row):
        row += 1
    return row


def _guesses_deletion(piece: Sequence[HunkLine], rows: Sequence[int | None]) -> bool:
    """Whether the file lacks a deleted line, or has blank lines between two
    deleted ones.
    """
    deleted_row_above: int | None = None
    for line, row in zip(piece, rows, strict=True):
        if line.sign != "-":
            deleted_row_above = None
            continue
        if row is None:
            return True
        if deleted_row_above not in (None, row - 1):
            return True
        deleted_row_above = row
    return False
