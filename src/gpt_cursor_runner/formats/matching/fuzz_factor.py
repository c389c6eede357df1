"""The rung `fuzzy` with a fuzz factor, as `patch -F` and `git apply -C` have
it: the sender sets how many context lines may differ.

The file must have the deleted lines as sent. Each of these is one difference: a
context line that is another line in the file, one that the file lacks, and a
line of the file between two old lines. The place with the fewest differences
wins, two such places are ambiguous. An insertion must keep both neighbours, or
one of them if no line at all matches on the other side.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from gpt_cursor_runner.formats.hunks import Hunk, HunkLine, Sign
from gpt_cursor_runner.formats.limits import Budget
from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.matching.rarest_lines import rarest_first
from gpt_cursor_runner.formats.matching.reindenting import shift_of_equal_lines
from gpt_cursor_runner.formats.text import Text

_MOST_LINES = 1_000
# Of all alignments of a hunk together: a hunk that needs more identifies
# nothing.
_MOST_CELLS = 200_000
_CELLS_PER_ALIGNED_LINE = 20  # of the budget, which counts lines of `fuzzy`

# The number of differences of an alignment, how many of them move the lines
# below, and the row of each old line. A tuple, because millions are made.
_Path = tuple[int, int, tuple[int | None, ...]]

_Cells = dict[int, _Path]  # the best path to each row

_Pin = tuple[int, int]  # the number of an old line, and the row that has it


def fuzz_factor_places(text: Text, hunk: Hunk, budget: Budget) -> list[Place]:
    """Return the places with the fewest differences, at most `hunk.fuzz`."""
    places = _cheapest_places(text, hunk, _affordable_pins(text, hunk, budget))
    for place in places:
        if not _keeps_neighbours(hunk, _matching_lines(text, hunk, place.rows)):
            return []
    return places


def _affordable_pins(text: Text, hunk: Hunk, budget: Budget) -> list[_Pin]:
    """All pins to align the hunk at; none when there are too many."""
    size = len(hunk.old)
    if size > _MOST_LINES:
        return []
    counts = _pinned_lines(text, hunk)
    pin_count = sum(counts.values())
    cells_per_alignment = size * (2 * hunk.fuzz + 1)
    most_alignments = _MOST_CELLS // cells_per_alignment + 1
    if pin_count > most_alignments:
        return []
    budget.aligned_lines_left -= pin_count * cells_per_alignment // _CELLS_PER_ALIGNED_LINE
    if budget.aligned_lines_left < 0:
        return []
    return list(_pins(text, hunk, counts))


def _pins(text: Text, hunk: Hunk, numbers: Iterable[int]) -> Iterator[_Pin]:
    for number in numbers:
        for row in text.rows_of(core(hunk.old[number].data)):
            yield number, row


def may_skip_above(old: Sequence[HunkLine], number: int) -> bool:
    """Whether the file may have other lines between this old line and the one
    above; never between two deleted lines.
    """
    return number > 0 and not (old[number].sign == old[number - 1].sign == "-")


def _pinned_lines(text: Text, hunk: Hunk) -> dict[int, int]:
    """Numbers of old lines, at least one of which the file has where the hunk
    belongs, with how often the file has them: the rarest ones.

    One deleted line is enough, since none may differ. Of context lines it takes
    one more than may differ.
    """
    deleted = rarest_first(text, hunk.old, "-")
    if deleted:
        return dict(islice(deleted.items(), 1))
    context = rarest_first(text, hunk.old, " ")
    return dict(islice(context.items(), hunk.fuzz + 1))


def _cheapest_places(text: Text, hunk: Hunk, pins: Iterable[_Pin]) -> list[Place]:
    places: dict[tuple[int | None, ...], Place] = {}
    size = len(hunk.old)
    least_cost = (hunk.fuzz, size)
    for differing, moving, rows in _alignments(text, hunk, pins):
        cost = (differing, moving)
        if cost > least_cost:
            continue
        shift = shift_of_equal_lines(text, hunk, rows)
        if shift is None:
            continue
        if cost < least_cost:
            places, least_cost = {}, cost
        places[rows] = Place(rows, 1 - differing / size, shift)
    return list(places.values())


def _alignments(text: Text, hunk: Hunk, pins: Iterable[_Pin]) -> Iterator[_Path]:
    """The best alignments with each pinned line at its row, one for each row at
    which they end.
    """
    for pinned, pinned_row in pins:
        yield from _aligned_at(text, hunk, pinned, pinned_row).values()


def _aligned_at(text: Text, hunk: Hunk, pinned: int, pinned_row: int) -> _Cells:
    start = pinned_row - pinned
    first_rows = range(max(0, start - hunk.fuzz), start + hunk.fuzz + 1)
    cells: _Cells = dict.fromkeys(first_rows, (0, 0, ()))
    for number, line in enumerate(hunk.old):
        if may_skip_above(hunk.old, number):
            cells = _with_lines_between(cells, hunk.fuzz)
        if number == pinned:
            cells = _taking_pinned(cells, pinned_row)
        else:
            cells = _next_cells(text, cells, line, hunk.fuzz)
    return cells


def _taking_pinned(cells: _Cells, row: int) -> _Cells:
    if row not in cells:
        return {}
    differing, moving, rows = cells[row]
    return {row + 1: (differing, moving, (*rows, row))}


def _next_cells(text: Text, cells: _Cells, line: HunkLine, most: int) -> _Cells:
    line_core = core(line.data)
    following: _Cells = {}
    for row, path in cells.items():
        for next_row, further in _ways_to_take(text, line.sign, line_core, row, path):
            if further[0] <= most:
                _keep_better(following, next_row, further)
    return following


def _ways_to_take(
    text: Text, sign: Sign, line_core: bytes, row: int, path: _Path
) -> Iterator[tuple[int, _Path]]:
    """The ways to take one old line with the file at `row`: the file has it
    there, has another line there, or lacks it.
    """
    differing, moving, rows = path
    in_file = text.core_at(row)
    if in_file == line_core:
        yield row + 1, (differing, moving, (*rows, row))
    elif sign == " ":
        if in_file is not None:
            yield row + 1, (differing + 1, moving, (*rows, row))
        yield row, (differing + 1, moving + 1, (*rows, None))


def _with_lines_between(cells: _Cells, most: int) -> _Cells:
    """The cells, and those reached by skipping lines of the file."""
    reached = dict(cells)
    for row in range(min(cells, default=0), max(cells, default=0) + most):
        differing, moving, rows = reached.get(row, (most, 0, ()))
        if differing < most:
            _keep_better(reached, row + 1, (differing + 1, moving + 1, rows))
    return reached


def _keep_better(cells: _Cells, row: int, path: _Path) -> None:
    if row not in cells or path[:2] < cells[row][:2]:
        cells[row] = path


def _matching_lines(text: Text, hunk: Hunk, rows: Sequence[int | None]) -> list[bool]:
    """For each old line whether the file has it, and no other in its place."""
    matching: list[bool] = []
    for line, row in zip(hunk.old, rows, strict=True):
        matching.append(row is not None and core(line.data) == core(text.lines[row]))
    return matching


def _keeps_neighbours(hunk: Hunk, matching: Sequence[bool]) -> bool:
    """Whether each insertion between context lines still has a neighbour that
    it was sent with.
    """
    for above in _insertions_in_context(hunk):
        if not _holds_between(matching[:above][::-1], matching[above:]):
            return False
    return True


def _insertions_in_context(hunk: Hunk) -> Iterator[int]:
    """For each inserted line that is beside context lines only, how many old
    lines are above it.
    """
    old = hunk.old
    above = 0
    for line in hunk.lines:
        if line.sign != "+":
            above += 1
            continue
        neighbours = old[max(0, above - 1) : above + 1]
        if all(neighbour.sign == " " for neighbour in neighbours):
            yield above


def _holds_between(above: Sequence[bool], below: Sequence[bool]) -> bool:
    """Whether an insertion belongs between two sides, the nearest line first:
    on each side the nearest line matches or none at all, and one nearest does.
    """
    distances = {_distance_of_match(above), _distance_of_match(below)}
    return 0 in distances and distances <= {0, None}


def _distance_of_match(matching: Sequence[bool]) -> int | None:
    if True not in matching:
        return None
    return matching.index(True)
