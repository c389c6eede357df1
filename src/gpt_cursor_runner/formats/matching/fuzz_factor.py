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

from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.limits import Budget
from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.matching.places import Place
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

_Pin = tuple[int, int]  # the number of an old line, and the row that has it


def fuzz_factor_places(text: Text, hunk: Hunk, budget: Budget) -> list[Place]:
    """Return the places with the fewest differences, at most `hunk.fuzz`."""
    size = len(hunk.old)
    if size > _MOST_LINES:
        return []
    counts = _pinned_lines(text, hunk)
    cells_per_alignment = size * (2 * hunk.fuzz + 1)
    most_alignments = _MOST_CELLS // cells_per_alignment + 1
    if sum(counts.values()) > most_alignments:
        return []
    pins = list(_pins(text, hunk, counts))
    budget.aligned_lines_left -= len(pins) * cells_per_alignment // _CELLS_PER_ALIGNED_LINE
    if budget.aligned_lines_left < 0:
        return []
    places = _cheapest_places(text, hunk, pins)
    for place in places:
        if not _keeps_neighbours(hunk, _matching_lines(text, hunk, place.rows)):
            return []
    return places


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
    counts = _counts_in_file(text, hunk)
    rarest = sorted(counts, key=lambda number: counts[number])
    deleted = [number for number in rarest if hunk.old[number].sign == "-"]
    pinned = deleted[:1] or rarest[: hunk.fuzz + 1]
    return {number: counts[number] for number in pinned}


def _counts_in_file(text: Text, hunk: Hunk) -> dict[int, int]:
    """How often the file has each old line that is not blank, by its number."""
    string, _ = text.cores
    counts: dict[int, int] = {}
    for number, line in enumerate(hunk.old):
        line_core = core(line.data)
        if not line_core:
            continue
        character = text.character_of(line_core)
        counts[number] = string.count(character) if character else 0
    return counts


def _cheapest_places(text: Text, hunk: Hunk, pins: Iterable[_Pin]) -> list[Place]:
    places: dict[tuple[int | None, ...], Place] = {}
    size = len(hunk.old)
    least_cost = (hunk.fuzz, size)
    for pinned, pinned_row in pins:
        for differing, moving, rows in _alignments(text, hunk, pinned, pinned_row):
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


def _alignments(text: Text, hunk: Hunk, pinned: int, pinned_row: int) -> Iterable[_Path]:
    """The best alignments with the old line of number `pinned` at its row, one
    for each row at which they end.
    """
    old, start = hunk.old, pinned_row - pinned
    cells: dict[int, _Path] = dict.fromkeys(
        range(max(0, start - hunk.fuzz), start + hunk.fuzz + 1), (0, 0, ())
    )
    for number, line in enumerate(old):
        if may_skip_above(old, number):
            cells = _with_lines_between(cells, hunk.fuzz)
        is_pinned = number == pinned
        if is_pinned:
            cells = {row: path for row, path in cells.items() if row == pinned_row}
        cells = _next_cells(text, cells, line, hunk.fuzz, pinned=is_pinned)
    return cells.values()


def _next_cells(
    text: Text, cells: dict[int, _Path], line: HunkLine, most: int, *, pinned: bool
) -> dict[int, _Path]:
    following: dict[int, _Path] = {}
    for row, path in cells.items():
        for next_row, further in _ways_to_take(text, line, row, path, pinned=pinned):
            if further[0] > most:
                continue
            if next_row not in following or further[:2] < following[next_row][:2]:
                following[next_row] = further
    return following


def _ways_to_take(
    text: Text, line: HunkLine, row: int, path: _Path, *, pinned: bool
) -> Iterator[tuple[int, _Path]]:
    """The ways to take one old line with the file at `row`: the file has it
    there, has another line there, or lacks it.
    """
    differing, moving, rows = path
    in_file = text.core_at(row)
    if in_file == core(line.data):
        yield row + 1, (differing, moving, (*rows, row))
    elif line.sign == " " and not pinned:
        if in_file is not None:
            yield row + 1, (differing + 1, moving, (*rows, row))
        yield row, (differing + 1, moving + 1, (*rows, None))


def _with_lines_between(cells: dict[int, _Path], most: int) -> dict[int, _Path]:
    """The cells, and those reached by skipping lines of the file."""
    reached = dict(cells)
    for row in range(min(cells, default=0), max(cells, default=0) + most):
        differing, moving, rows = reached.get(row, (most, 0, ()))
        if differing >= most:
            continue
        further = (differing + 1, moving + 1, rows)
        if row + 1 not in reached or further[:2] < reached[row + 1][:2]:
            reached[row + 1] = further
    return reached


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
    old = hunk.old
    above = 0  # how many old lines are above the insertion
    for line in hunk.lines:
        if line.sign != "+":
            above += 1
            continue
        neighbours = old[max(0, above - 1) : above + 1]
        is_beside_context = all(neighbour.sign == " " for neighbour in neighbours)
        if is_beside_context and not _holds_between(matching[:above][::-1], matching[above:]):
            return False
    return True


def _holds_between(above: Sequence[bool], below: Sequence[bool]) -> bool:
    """Whether an insertion belongs between two sides, the nearest line first:
    on each side the nearest line matches or none at all, and one nearest does.
    """
    nearest_above, nearest_below = any(above[:1]), any(below[:1])
    if not nearest_above and any(above):
        return False
    if not nearest_below and any(below):
        return False
    return nearest_above or nearest_below
