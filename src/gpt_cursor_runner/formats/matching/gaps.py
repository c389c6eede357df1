"""The rung `ellipsis`: blank context lines that one side lacks, and ellipsis
lines that stand for lines left out.

Every piece between two ellipses must stand at one place only, below the piece
before it. Blank lines among deleted lines are never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.matching.alignment import MOST_PLACES, line_ends_agree, uniform_shift
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.text import Text

_MOST_LINES = 200_000
_ELLIPSIS = re.compile(rb"(?:(?:#|//|/\*|<!--|--|;|%|\{/\*)\s*\.{3}.*|\.{3})")


def gap_places(text: Text, hunk: Hunk) -> list[Place]:
    """Places for a hunk whose context skips blank lines, or lines that an
    ellipsis stands for.
    """
    pieces = _pieces(hunk.old)
    if len(pieces) == 1:
        return _dense_places(text, hunk, pieces[0])
    rows: list[int | None] = []
    shifts = set()
    for number, piece in enumerate(pieces):
        places = _dense_places(text, hunk, piece, most=2) if piece else []
        if piece and (len(places) != 1 or (rows and places[0].start <= _last(rows))):
            return []
        rows += [*([None] if number else []), *(places[0].rows if places else ())]
        shifts |= {place.reindent for place in places}
    whole = Place(tuple(rows), reindent=next(iter(shifts), None))
    return [whole] if len(shifts) == 1 and any(row is not None for row in rows) else []


def _pieces(old: Sequence[HunkLine]) -> list[list[HunkLine]]:
    pieces: list[list[HunkLine]] = [[]]
    for line in old:
        if line.sign == " " and _ELLIPSIS.fullmatch(core(line.data)):
            pieces.append([])
        else:
            pieces[-1].append(line)
    return pieces


def _last(rows: Sequence[int | None]) -> int:
    return max((row for row in rows if row is not None), default=-1)


def _dense_places(
    text: Text, hunk: Hunk, piece: Sequence[HunkLine], most: int = MOST_PLACES
) -> list[Place]:
    """Where the lines of a piece that are not blank follow one another, however
    many blank lines are between.
    """
    solid = [core(line.data) for line in piece if core(line.data)]
    known = text.cores[1]
    if not solid or any(one not in known for one in solid):
        return []
    string, rows = text.solid
    sought = "".join(chr(known[one]) for one in solid)
    found: list[Place] = []
    at, tried = string.find(sought), 0
    # Every place looked at costs as much as the piece is long.
    while at >= 0 and len(found) < most and tried < max(2, _MOST_LINES // len(piece)):
        place = _place(text, hunk, piece, rows[at], rows[at + len(sought) - 1] + 1)
        if place:
            found.append(place)
        at, tried = string.find(sought, at + 1), tried + 1
    return found


def _place(text: Text, hunk: Hunk, piece: Sequence[HunkLine], start: int, end: int) -> Place | None:
    rows = _rows(text, piece, start, end)
    if rows is None:
        return None
    pairs = [
        (line.data, text.lines[row])
        for line, row in zip(piece, rows, strict=True)
        if row is not None
    ]
    sent, there = zip(*pairs, strict=True)
    shift = uniform_shift(pairs, hunk.inserted) if line_ends_agree(text, sent, there) else None
    return Place(tuple(rows), reindent=shift) if shift else None


def _rows(text: Text, piece: Sequence[HunkLine], start: int, end: int) -> list[int | None] | None:
    """The row of each line; blank ones that the file has not are None. None
    when a deleted line would be guessed.
    """
    rows: list[int | None] = []
    at, above = start, " "
    leading = next(number for number, line in enumerate(piece) if core(line.data))
    for line in piece[leading:]:
        there = at < len(text.lines) and not core(text.lines[at])
        if not core(line.data):
            if line.sign == "-" and not there:
                return None
            rows.append(at if there else None)
            at += there
        else:
            while at < end and not core(text.lines[at]):
                if line.sign == "-" == above:
                    return None
                at += 1
            rows.append(at)
            at += 1
        above = line.sign
    if any(line.sign == "-" for line in piece[:leading]):
        return None
    return [None] * leading + rows
