"""The rung `ellipsis`: blank context lines that one side lacks, and ellipsis
lines that stand for omitted lines.

An ellipsis divides the hunk into pieces. Each piece must have exactly one
place, below the piece before it. Blank lines among deleted lines are never
guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.matching.block_search import MOST_PLACES, line_ends_agree
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.matching.reindenting import Reindent, uniform_shift
from gpt_cursor_runner.formats.text import Text

_MOST_LINES = 200_000  # compared for one piece, over all its places
_ELLIPSIS = re.compile(rb"(?:(?:#|//|/\*|<!--|--|;|%|\{/\*)\s*\.{3}.*|\.{3})")


def ellipsis_places(text: Text, hunk: Hunk) -> list[Place]:
    """Return the places of a hunk whose context omits blank lines, or lines
    that an ellipsis stands for.
    """
    pieces = _split_at_ellipses(hunk.old)
    if len(pieces) == 1:
        return _places_of_piece(text, hunk, pieces[0])
    rows: list[int | None] = []
    shifts: set[Reindent | None] = set()
    for number, piece in enumerate(pieces):
        if number > 0:
            rows.append(None)  # the ellipsis line itself
        if not piece:
            continue
        places = _places_of_piece(text, hunk, piece, most=2)
        if len(places) != 1 or places[0].start <= _last_row(rows):
            return []
        rows += places[0].rows
        shifts.add(places[0].reindent)
    if len(shifts) != 1:
        return []
    return [Place(tuple(rows), reindent=shifts.pop())]


def _split_at_ellipses(old: Sequence[HunkLine]) -> list[list[HunkLine]]:
    pieces: list[list[HunkLine]] = [[]]
    for line in old:
        if line.sign == " " and _ELLIPSIS.fullmatch(core(line.data)):
            pieces.append([])
        else:
            pieces[-1].append(line)
    return pieces


def _last_row(rows: Sequence[int | None]) -> int:
    return max((row for row in rows if row is not None), default=-1)


def _places_of_piece(
    text: Text, hunk: Hunk, piece: Sequence[HunkLine], most: int = MOST_PLACES
) -> list[Place]:
    """The places where the lines of a piece follow one another, however many
    blank lines are between.
    """
    solid_cores = [line_core for line in piece if (line_core := core(line.data))]
    _, code_points = text.cores
    if not solid_cores or any(line_core not in code_points for line_core in solid_cores):
        return []
    string, rows = text.solid_cores
    sought = "".join(chr(code_points[line_core]) for line_core in solid_cores)
    places: list[Place] = []
    # Each comparison costs as much as the piece is long.
    comparisons_left = max(2, _MOST_LINES // len(piece))
    index = string.find(sought)
    while index >= 0 and len(places) < most and comparisons_left > 0:
        place = _place_between(text, hunk, piece, rows[index], rows[index + len(sought) - 1] + 1)
        if place:
            places.append(place)
        comparisons_left -= 1
        index = string.find(sought, index + 1)
    return places


def _place_between(
    text: Text, hunk: Hunk, piece: Sequence[HunkLine], start: int, end: int
) -> Place | None:
    rows = _rows_between(text, piece, start, end)
    if rows is None:
        return None
    pairs: list[tuple[bytes, bytes]] = []
    for line, row in zip(piece, rows, strict=True):
        if row is not None:
            pairs.append((line.data, text.lines[row]))
    sent, in_file = zip(*pairs, strict=True)
    if not line_ends_agree(text, sent, in_file):
        return None
    shift = uniform_shift(pairs, hunk.inserted)
    if shift is None:
        return None
    return Place(tuple(rows), reindent=shift)


def _rows_between(
    text: Text, piece: Sequence[HunkLine], start: int, end: int
) -> list[int | None] | None:
    """The row of each line, None for a blank one that the file lacks. None
    instead of rows when a deleted line would be guessed.
    """
    leading = next(number for number, line in enumerate(piece) if core(line.data))
    if any(line.sign == "-" for line in piece[:leading]):
        return None
    rows: list[int | None] = [None] * leading
    row, sign_above = start, " "
    for line in piece[leading:]:
        if core(line.data):
            line_row = _next_solid_row(text, row, end)
            if line_row > row and line.sign == "-" == sign_above:
                return None
            rows.append(line_row)
            row = line_row + 1
        elif row < len(text.lines) and not core(text.lines[row]):
            rows.append(row)
            row += 1
        elif line.sign == "-":
            return None
        else:
            rows.append(None)
        sign_above = line.sign
    return rows


def _next_solid_row(text: Text, row: int, end: int) -> int:
    while row < end and not core(text.lines[row]):
        row += 1
    return row
