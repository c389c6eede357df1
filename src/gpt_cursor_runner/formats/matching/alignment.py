"""Aligns the old lines of a hunk with the file, for the rung `fuzzy`.

The alignment is a path through cells, one for each old line and each row of the
file that is at most SLACK away from where the line would be without any
difference. The best path to each cell is kept, line by line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rapidfuzz import fuzz

from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.matching.fuzz_factor import may_skip_above
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.matching.reindenting import shift_of_equal_lines
from gpt_cursor_runner.formats.text import Text

SLACK = 8  # how many lines may be missing or added
_RELATED = 0.5  # less similar context lines are never matched with each other
_SAME_LINE = 0.8  # beside a less similar line, no insertion is placed
_COMMENT = re.compile(rb"(?:#|//|/\*|\*|--|;|<!--|%|\"\"\"|''')")


class _Step(NamedTuple):
    """The best path to one cell of the alignment: the weight it matched, the
    cost of lines it skipped, and the step before.

    A tuple, because many are made.
    """

    gain: float
    cost: float
    row: int | None = None  # of the line just taken, if the file has it
    previous: _Step | None = None

    @property
    def score(self) -> float:
        return self.gain - self.cost

    @property
    def has_matched(self) -> bool:
        return self.gain > 0 or self.row is not None

    @property
    def rows(self) -> tuple[int | None, ...]:
        """The row of each old line on the path."""
        rows: list[int | None] = []
        step = self
        while step.previous is not None:
            rows.append(step.row)
            step = step.previous
        return tuple(reversed(rows))


class _Cells(dict[int, _Step]):
    """The best path to each row."""

    def offer(self, row: int, step: _Step) -> None:
        """Keep a path if it is better than the one to the same row."""
        best = self.get(row)
        if best is None or step.score > best.score:
            self[row] = step


def align(text: Text, hunk: Hunk, pinned: int, pinned_row: int) -> Place | None:
    """Return the best alignment with the old line of number `pinned` at its
    row; None when there is none with one indent shift.
    """
    path = _best_path(text, hunk.old, pinned, pinned_row)
    if path is None:
        return None
    rows = path.rows
    shift = shift_of_equal_lines(text, hunk, rows)
    if shift is None:
        return None
    return Place(rows, path.gain / (_context_weight(hunk) + path.cost), shift)


def _best_path(text: Text, old: Sequence[HunkLine], pinned: int, pinned_row: int) -> _Step | None:
    start = pinned_row - pinned
    first_rows = range(max(0, start - SLACK), start + SLACK + 1)
    cells = _Cells(dict.fromkeys(first_rows, _Step(0.0, 0.0)))
    for number, line in enumerate(old):
        if may_skip_above(old, number):
            cells = _with_skipped_lines(text, cells)
        reach = range(start + number - SLACK, start + number + SLACK + 1)
        if number == pinned:
            reach = range(pinned_row, pinned_row + 1)
        cells = _next_cells(text, cells, line, reach)
    return max(cells.values(), key=lambda step: step.score, default=None)


def _next_cells(text: Text, cells: _Cells, line: HunkLine, reach: range) -> _Cells:
    wanted = core(line.data)
    following = _Cells()
    for row, step in cells.items():
        if row not in reach:
            continue
        for next_row, further in _ways_to_take(text, step, row, line.sign, wanted):
            following.offer(next_row, further)
    return following


def _ways_to_take(
    text: Text, step: _Step, row: int, sign: str, wanted: bytes
) -> Iterator[tuple[int, _Step]]:
    """The ways to take one old line with the file at `row`: the file has it
    there, or, if it is context, it is left out.
    """
    in_file = text.core_at(row)
    if sign == " ":
        yield from _ways_to_take_context(step, row, wanted, in_file)
    elif in_file == wanted:
        yield row + 1, _Step(step.gain, step.cost, row, step)


def _ways_to_take_context(
    step: _Step, row: int, wanted: bytes, in_file: bytes | None
) -> Iterator[tuple[int, _Step]]:
    similarity = _similarity(wanted, in_file)
    if similarity >= _RELATED:
        gain = step.gain + similarity * _weight(wanted)
        matched_row = row if similarity >= _SAME_LINE else None
        yield row + 1, _Step(gain, step.cost, matched_row, step)
    yield row, _Step(step.gain, step.cost, None, step)


def _with_skipped_lines(text: Text, cells: _Cells) -> _Cells:
    """The cells, and those reached by skipping lines of the file."""
    reached = _Cells(cells)
    for row in range(min(cells, default=0), max(cells, default=-1) + SLACK):
        step = reached.get(row)
        # Nothing is skipped before the first match: paths start at every row.
        if step is not None and step.has_matched:
            _offer_skip(text, row, step, reached)
    return reached


def _offer_skip(text: Text, row: int, step: _Step, cells: _Cells) -> None:
    skipped = text.core_at(row)
    if skipped is not None:
        cost = step.cost + _skip_cost(skipped)
        cells.offer(row + 1, _Step(step.gain, cost, step.row, step.previous))


def _similarity(wanted: bytes, in_file: bytes | None) -> float:
    if wanted == in_file:
        return 1.0
    if in_file is None:
        return 0.0
    return fuzz.ratio(wanted[:500], in_file[:500]) / 100


def _context_weight(hunk: Hunk) -> float:
    return sum(_weight(core(line.data)) for line in hunk.old if line.sign == " ")


def _weight(line: bytes) -> float:
    return len(line) + 1.0


def _skip_cost(line: bytes) -> float:
    if not line or _COMMENT.match(line):
        return 1.0
    return _weight(line) / 4
