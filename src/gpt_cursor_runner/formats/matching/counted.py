"""The rung `fuzzy` as `patch -F` and `git apply -C` have it: so many context
lines may differ, and the sender says so.

Deleted lines must stand in the file as they were sent. A context line may be
another one there, or missing, and the file may have a line between; each of
these counts one. The place with the fewest wins, and two such are ambiguous.
What is only inserted must keep both neighbours, or one of them if no line at
all agrees beyond the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gpt_cursor_runner.formats.hunks import Hunk, HunkLine
from gpt_cursor_runner.formats.limits import Patience
from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.matching.alignment import agreeing_shift
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.text import Text

_MOST_LINES = 1_000
_MOST_CELLS = 200_000  # of all alignments together; a hunk that needs more says too little

# What an alignment costs: the differences, and how many of them move what
# follows; then the row of each old line.
_Path = tuple[int, int, tuple[int | None, ...]]


def counted_places(text: Text, hunk: Hunk, patience: Patience) -> list[Place]:
    """The places where `hunk.fuzz` context lines differ at most, those with the
    fewest.
    """
    best: dict[tuple[int | None, ...], Place] = {}
    size = len(hunk.old)
    least = (hunk.fuzz, size)
    most = _MOST_CELLS // (size * (2 * hunk.fuzz + 1)) + 1
    pins = _pins(text, hunk) if size <= _MOST_LINES else {}
    if sum(pins.values()) > most:
        return []
    pinned = [(pin, row) for pin in pins for row in text.rows_of(core(hunk.old[pin].data))]
    patience.left_aligned -= size * len(pinned) * (2 * hunk.fuzz + 1) // 20
    for pin, row in pinned if patience.left_aligned >= 0 else ():
        for differing, moving, rows in _alignments(text, hunk, pin, row):
            if (differing, moving) <= least and (
                shift := agreeing_shift(text, hunk, rows)
            ) is not None:
                if (differing, moving) < least:
                    best, least = {}, (differing, moving)
                best[rows] = Place(rows, 1 - differing / size, shift)
    return (
        list(best.values())
        if all(_keeps_neighbours(hunk, _agreeing(text, hunk, rows)) for rows in best)
        else []
    )


def _pins(text: Text, hunk: Hunk) -> dict[int, int]:
    """Old lines of which one at least stands where the hunk does, the rarest,
    and how often each is in the file.
    """
    string, known = text.cores
    counts = {
        number: string.count(chr(known[one])) if (one := core(line.data)) in known else 0
        for number, line in enumerate(hunk.old)
        if core(line.data)
    }
    rarest = sorted(counts, key=lambda number: counts[number])
    deleted = [number for number in rarest if hunk.old[number].sign == "-"]
    return {number: counts[number] for number in deleted[:1] or rarest[: hunk.fuzz + 1]}


def _alignments(text: Text, hunk: Hunk, pin: int, pinned_row: int) -> Iterator[_Path]:
    """The best alignment that has the old line of number `pin` at this row, by
    the row it ends at.
    """
    old, start = hunk.old, pinned_row - pin
    cells: dict[int, _Path] = dict.fromkeys(
        range(max(0, start - hunk.fuzz), start + hunk.fuzz + 1), (0, 0, ())
    )
    for number, line in enumerate(old):
        if number and not line.sign == "-" == old[number - 1].sign:
            cells = _with_lines_between(cells, hunk.fuzz)
        following: dict[int, _Path] = {}
        for row, path in cells.items():
            if number != pin or row == pinned_row:
                for after, longer in _taken(text, line, row, path, pinned=number == pin):
                    if longer[0] <= hunk.fuzz and (
                        after not in following or longer[:2] < following[after][:2]
                    ):
                        following[after] = longer
        cells = following
    yield from cells.values()


def _taken(
    text: Text, line: HunkLine, row: int, path: _Path, *, pinned: bool
) -> Iterator[tuple[int, _Path]]:
    """The ways to take one old line with the file at `row`: it stands there, or
    another does, or it is missing.
    """
    differing, moving, rows = path
    inside = row < len(text.lines)
    if inside and core(text.lines[row]) == core(line.data):
        yield row + 1, (differing, moving, (*rows, row))
    elif line.sign == " " and not pinned:
        if inside:
            yield row + 1, (differing + 1, moving, (*rows, row))
        yield row, (differing + 1, moving + 1, (*rows, None))


def _with_lines_between(cells: dict[int, _Path], most: int) -> dict[int, _Path]:
    """The cells, also reached by leaving out lines of the file."""
    reached = dict(cells)
    for row in range(min(cells, default=0), max(cells, default=0) + most):
        differing, moving, rows = reached.get(row, (most, 0, ()))
        further = (differing + 1, moving + 1, rows)
        if differing < most and (row + 1 not in reached or further[:2] < reached[row + 1][:2]):
            reached[row + 1] = further
    return reached


def _agreeing(text: Text, hunk: Hunk, rows: Sequence[int | None]) -> list[bool]:
    """For each old line whether it stands in the file, and not another in its
    place.
    """
    pairs = zip(hunk.old, rows, strict=True)
    return [row is not None and core(line.data) == core(text.lines[row]) for line, row in pairs]


def _keeps_neighbours(hunk: Hunk, agreeing: Sequence[bool]) -> bool:
    """Whether everything that is inserted between context lines still has a
    neighbour it was sent with.
    """
    old, above = hunk.old, 0  # how many old lines stand above
    for line in hunk.lines:
        if line.sign != "+":
            above += 1
        elif all(one.sign == " " for one in old[max(0, above - 1) : above + 1]):
            left, right = agreeing[:above][::-1], agreeing[above:]
            if not (
                _agrees(left) and _agrees(right) and (left[:1] == [True] or right[:1] == [True])
            ):
                return False
    return True


def _agrees(side: Sequence[bool]) -> bool:
    """Whether the nearest line of a side agrees, or none at all."""
    return side[:1] == [True] or not any(side)
