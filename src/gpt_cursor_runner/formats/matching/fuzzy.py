"""The rung `fuzzy`: context may differ a little, the file must have the deleted
lines as sent.

1. The rarest deleted line gives the rows where the hunk may belong. The rows
   with most of the context around them are aligned.
2. An alignment matches lines in order. It may skip context on either side, but
   no deleted line, nor anything between two of them. A skipped line of the file
   counts a quarter, or next to nothing when it is blank or a comment.
3. The best place must reach LEAST_SIMILARITY; it is ambiguous unless it is
   LEAST_LEAD ahead of the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from rapidfuzz import fuzz

from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.limits import Budget
from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.matching.fuzz_factor import fuzz_factor_places, may_skip_above
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.matching.reindenting import shift_of_equal_lines
from gpt_cursor_runner.formats.text import Text

LEAST_SIMILARITY = 0.90
LEAST_LEAD = 0.10
_LEAST_LINES = 3
_MOST_LINES = 200
_MOST_ROWS = 5_000  # of the rarest deleted line: with more it identifies nothing
_MOST_ALIGNED = 12
_SLACK = 8  # how many lines may be missing or added
_RELATED = 0.5  # less similar context lines are never matched with each other
_SAME_LINE = 0.8  # beside a less similar line, no insertion is placed
_COMMENT = re.compile(rb"(?:#|//|/\*|\*|--|;|<!--|%|\"\"\"|''')")


@dataclass(frozen=True, slots=True)
class _Step:
    """The best path to one cell of the alignment: the weight it matched, the
    cost of lines it skipped, and the step before.
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


def fuzzy_places(text: Text, hunk: Hunk, budget: Budget) -> list[Place]:
    """Return the places with similar context, or with no more differing context
    lines than the hunk's fuzz factor.
    """
    if hunk.fuzz:
        return fuzz_factor_places(text, hunk, budget)
    return _similar_places(text, hunk, budget)


def _similar_places(text: Text, hunk: Hunk, budget: Budget) -> list[Place]:
    old = hunk.old
    if not _LEAST_LINES <= len(old) <= _MOST_LINES:
        return []
    characters = [text.character_of(core(line.data)) for line in old]
    rarest = _rarest_deleted_line(text, old, characters)
    if rarest is None:
        return []
    rows = list(islice(text.rows_of(core(old[rarest].data)), _MOST_ROWS))
    aligned_rows = _rows_with_most_context(text, rows, rarest, characters)
    budget.aligned_lines_left -= len(old) * len(aligned_rows)
    if budget.aligned_lines_left < 0 or len(rows) == _MOST_ROWS:
        return []
    places: dict[Sequence[int | None], Place] = {}
    for row in aligned_rows:
        place = _align(text, hunk, rarest, row)
        if place:
            places[place.rows] = place
    return _best_places(places.values())


def _rarest_deleted_line(
    text: Text, old: Sequence[HunkLine], characters: Sequence[str]
) -> int | None:
    """The number of the deleted line that the file has least often; None when
    the file lacks one, or the hunk has no deletion or no context.
    """
    deleted = [number for number, line in enumerate(old) if line.sign == "-"]
    solid = [number for number in deleted if core(old[number].data)]
    has_context = len(deleted) < len(old)
    if not solid or not has_context:
        return None
    if not all(characters[number] for number in solid):
        return None
    string, _ = text.cores
    return min(solid, key=lambda number: string.count(characters[number]))


def _rows_with_most_context(
    text: Text, rows: Sequence[int], pinned: int, characters: Sequence[str]
) -> list[int]:
    """The few rows around which the file has most different lines of the hunk."""
    string, _ = text.cores
    context = set(filter(None, characters))
    size = len(characters)

    def lines_around(row: int) -> int:
        start = row - pinned
        return len(context & set(string[max(0, start - _SLACK) : max(0, start) + size + _SLACK]))

    return sorted(rows, key=lines_around, reverse=True)[:_MOST_ALIGNED]


def _best_places(places: Iterable[Place]) -> list[Place]:
    """The best place, with those that come too near to it."""
    best = sorted(places, key=lambda place: -place.similarity)
    if not best or best[0].similarity < LEAST_SIMILARITY:
        return []
    return [place for place in best if place.similarity > best[0].similarity - LEAST_LEAD]


def _align(text: Text, hunk: Hunk, pinned: int, pinned_row: int) -> Place | None:
    """The best alignment with the old line of number `pinned` at its row."""
    old = hunk.old
    path = _best_path(text, old, pinned, pinned_row)
    if path is None:
        return None
    rows = _rows_of_path(path)
    shift = shift_of_equal_lines(text, hunk, rows)
    if shift is None:
        return None
    weight = sum(_weight(core(line.data)) for line in old if line.sign == " ")
    return Place(rows, path.gain / (weight + path.cost), shift)


def _best_path(text: Text, old: Sequence[HunkLine], pinned: int, pinned_row: int) -> _Step | None:
    """The best alignment; the cells are the rows of the file up to _SLACK away
    from where each line would be without any difference.
    """
    start = pinned_row - pinned
    cells: dict[int, _Step] = {}
    for row in range(max(0, start - _SLACK), start + _SLACK + 1):
        cells[row] = _Step(0.0, 0.0)
    for number, line in enumerate(old):
        if may_skip_above(old, number):
            cells = _with_skipped_lines(text, cells)
        reach = range(start + number - _SLACK, start + number + _SLACK + 1)
        if number == pinned:
            reach = range(pinned_row, pinned_row + 1)
        cells = _next_cells(text, cells, line, reach)
    return max(cells.values(), key=lambda step: step.score, default=None)


def _next_cells(
    text: Text, cells: dict[int, _Step], line: HunkLine, reach: range
) -> dict[int, _Step]:
    wanted = core(line.data)
    following: dict[int, _Step] = {}
    for row, step in cells.items():
        if row not in reach:
            continue
        for next_row, further in _ways_to_take(text, step, row, line.sign, wanted):
            if next_row not in following or further.score > following[next_row].score:
                following[next_row] = further
    return following


def _ways_to_take(
    text: Text, step: _Step, row: int, sign: str, wanted: bytes
) -> Iterator[tuple[int, _Step]]:
    """The ways to take one old line with the file at `row`: the file has it
    there, or, if it is context, it is left out.
    """
    in_file = text.core_at(row)
    if sign == "-":
        if in_file == wanted:
            yield row + 1, _Step(step.gain, step.cost, row, step)
        return
    similarity = _similarity(wanted, in_file)
    if similarity >= _RELATED:
        gain = step.gain + similarity * _weight(wanted)
        matched_row = row if similarity >= _SAME_LINE else None
        yield row + 1, _Step(gain, step.cost, matched_row, step)
    yield row, _Step(step.gain, step.cost, None, step)


def _with_skipped_lines(text: Text, cells: dict[int, _Step]) -> dict[int, _Step]:
    """The cells, and those reached by skipping lines of the file.

    Nothing is skipped before the first match: paths start at every row.
    """
    reached = dict(cells)
    for row in range(min(cells, default=0), max(cells, default=-1) + _SLACK):
        step = reached.get(row)
        skipped = text.core_at(row)
        if step is None or skipped is None or not step.has_matched:
            continue
        cost = step.cost + _skip_cost(skipped)
        further = _Step(step.gain, cost, step.row, step.previous)
        if row + 1 not in reached or further.score > reached[row + 1].score:
            reached[row + 1] = further
    return reached


def _rows_of_path(path: _Step) -> tuple[int | None, ...]:
    rows: list[int | None] = []
    step = path
    while step.previous is not None:
        rows.append(step.row)
        step = step.previous
    return tuple(reversed(rows))


def _similarity(wanted: bytes, in_file: bytes | None) -> float:
    if wanted == in_file:
        return 1.0
    if not wanted or not in_file:
        return 0.0
    return fuzz.ratio(wanted[:500].decode("latin-1"), in_file[:500].decode("latin-1")) / 100


def _weight(line: bytes) -> float:
    return len(line) + 1.0


def _skip_cost(line: bytes) -> float:
    if not line or _COMMENT.match(line):
        return 1.0
    return _weight(line) / 4
