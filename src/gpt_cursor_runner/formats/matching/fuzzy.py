"""The rung `fuzzy`: context may have changed a little, deleted lines must stand
in the file as they were sent.

1. The rarest deleted line says where the hunk may stand; those places with most
   of its context around are aligned.
2. An alignment matches lines in order. Context may be skipped on either side,
   deleted lines may not, nor anything between two of them. What is skipped in
   the file counts a quarter, or next to nothing when it is blank or a comment.
3. The best place must reach LEAST_SIMILARITY and be LEAST_LEAD ahead of the
   next, or it is no place or a doubt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from rapidfuzz import fuzz

from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.limits import Patience
from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.matching.alignment import agreeing_shift
from gpt_cursor_runner.formats.matching.counted import counted_places
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.text import Text

LEAST_SIMILARITY = 0.90
LEAST_LEAD = 0.10
_LEAST_LINES = 3
_MOST_LINES = 200
_MOST_ROWS = 5_000  # of the rarest deleted line; more say too little
_ALIGNED = 12
_SLACK = 8  # how many lines may be missing or too many
_ALIKE = 0.5  # context lines less similar than this have nothing to do with one another
_SURE = 0.8  # and less than this, nothing is inserted beside them
_COMMENT = re.compile(rb"(?:#|//|/\*|\*|--|;|<!--|%|\"\"\"|''')")


@dataclass(frozen=True)
class _Step:
    """The best way so far to a cell of the alignment: what it is worth, what it
    skipped, and where it came from.
    """

    gain: float
    cost: float
    row: int | None = None  # of the line just taken, if it was found
    before: _Step | None = None

    @property
    def score(self) -> float:
        return self.gain - self.cost


def fuzzy_places(text: Text, hunk: Hunk, patience: Patience) -> list[Place]:
    """The places whose context is alike enough, or differs in no more lines
    than the sender lets it.
    """
    return (
        counted_places(text, hunk, patience) if hunk.fuzz else _similar_places(text, hunk, patience)
    )


def _similar_places(text: Text, hunk: Hunk, patience: Patience) -> list[Place]:
    """The best place, with those that come too near to it; none below
    LEAST_SIMILARITY. Never for mere insertions.
    """
    old = hunk.old
    removed = [number for number, line in enumerate(old) if line.sign == "-" and core(line.data)]
    if (
        not removed
        or all(line.sign == "-" for line in old)
        or not _LEAST_LINES <= len(old) <= _MOST_LINES
    ):
        return []
    string, known = text.cores
    characters = [chr(known[one]) if (one := core(line.data)) in known else "" for line in old]
    if not all(characters[number] for number in removed):
        return []
    rarest = min(removed, key=lambda number: string.count(characters[number]))
    rows = list(islice(text.rows_of(core(old[rarest].data)), _MOST_ROWS))
    context = set(filter(None, characters))
    rows.sort(key=lambda row: -_votes(string, context, row - rarest, len(old)))
    patience.left_aligned -= len(old) * len(rows[:_ALIGNED])
    if patience.left_aligned < 0:
        return []
    found = {
        place.rows: place for row in rows[:_ALIGNED] if (place := _aligned(text, hunk, rarest, row))
    }
    best = sorted(found.values(), key=lambda place: -place.similarity)
    if not best or best[0].similarity < LEAST_SIMILARITY or len(rows) == _MOST_ROWS:
        return []
    return [place for place in best if place.similarity > best[0].similarity - LEAST_LEAD]


def _votes(string: str, context: set[str], start: int, size: int) -> int:
    """How many different lines of the hunk stand around the place."""
    return len(context & set(string[max(0, start - _SLACK) : max(0, start) + size + _SLACK]))


def _aligned(text: Text, hunk: Hunk, pinned: int, row: int) -> Place | None:
    """The best alignment that has the old line of number `pinned` at `row`."""
    old = hunk.old
    path = _best_path(text, old, pinned, row)
    if path is None:
        return None
    steps = list(_steps(path))
    rows = tuple(step.row for step in steps)
    shift = agreeing_shift(text, hunk, rows)
    weight = sum(_weight(core(line.data)) for line in old if line.sign == " ")
    if shift is None:
        return None
    return Place(rows, path.gain / (weight + path.cost), shift)


def _best_path(text: Text, old: Sequence[HunkLine], pinned: int, pinned_row: int) -> _Step | None:
    """The best alignment; cells are the lines of the file up to _SLACK off the
    place where they would stand.
    """
    start = pinned_row - pinned
    cells: dict[int, _Step] = {
        start + off: _Step(0.0, 0.0) for off in range(-_SLACK, _SLACK + 1) if start + off >= 0
    }
    for number, line in enumerate(old):
        wanted, between = core(line.data), number > 0 and line.sign == "-" == old[number - 1].sign
        if number and not between:
            cells = _skipping(text, cells)
        following: dict[int, _Step] = {}
        for row, step in cells.items():
            if abs(row - start - number) <= _SLACK and (number != pinned or row == pinned_row):
                for at, better in _taken(text, step, row, line.sign, wanted):
                    if at not in following or better.score > following[at].score:
                        following[at] = better
        cells = following
    return max(cells.values(), key=lambda step: step.score, default=None)


def _taken(
    text: Text, step: _Step, row: int, sign: str, wanted: bytes
) -> Iterator[tuple[int, _Step]]:
    """The ways to take one line of the hunk with the file at `row`: found
    there, or, if it is context, left out.
    """
    there = core(text.lines[row]) if row < len(text.lines) else None
    if sign == "-":
        if there == wanted:
            yield row + 1, _Step(step.gain, step.cost, row, step)
        return
    alike = _similarity(wanted, there)
    if alike >= _ALIKE:
        yield (
            row + 1,
            _Step(
                step.gain + alike * _weight(wanted),
                step.cost,
                row if alike >= _SURE else None,
                step,
            ),
        )
    yield row, _Step(step.gain, step.cost, None, step)


def _skipping(text: Text, cells: dict[int, _Step]) -> dict[int, _Step]:
    """The cells, also reached by leaving out lines of the file; before the
    first line found that costs nothing.
    """
    reached = dict(cells)
    for row in range(min(cells, default=0), max(cells, default=-1) + _SLACK):
        step = reached.get(row)
        if step is not None and row < len(text.lines) and (step.gain or step.row is not None):
            further = _Step(
                step.gain, step.cost + _skip_cost(core(text.lines[row])), step.row, step.before
            )
            if row + 1 not in reached or further.score > reached[row + 1].score:
                reached[row + 1] = further
    return reached


def _steps(path: _Step) -> Iterator[_Step]:
    """The steps of a path, the first line of the hunk first."""
    backwards: list[_Step] = []
    step: _Step | None = path
    while step is not None and step.before is not None:
        backwards.append(step)
        step = step.before
    return iter(backwards[::-1])


def _similarity(wanted: bytes, there: bytes | None) -> float:
    if wanted == there:
        return 1.0
    if not wanted or not there:
        return 0.0
    return fuzz.ratio(wanted[:500].decode("latin-1"), there[:500].decode("latin-1")) / 100


def _weight(line: bytes) -> float:
    return len(line) + 1.0


def _skip_cost(line: bytes) -> float:
    return 1.0 if not line or _COMMENT.match(line) else _weight(line) / 4
