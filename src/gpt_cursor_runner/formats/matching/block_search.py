"""Searches a file for blocks of consecutive lines, by strictness.

Covers the rungs that compare line by line: exact, blanks, unicode, indent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice

from gpt_cursor_runner.formats.line_keys import collapsed, core, folded, trimmed
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.matching.reindenting import uniform_shift
from gpt_cursor_runner.formats.text import Text, occurrences

# A block with this many places is ambiguous whatever a hint prefers: files of a
# million equal lines stay cheap.
MOST_PLACES = 10_000

# One search finds the places of all of them.
BLOCK_RUNGS: tuple[str, ...] = ("exact", "blanks", "unicode", "indent")


def blocks_by_strictness(
    text: Text, lines: Sequence[bytes], inserted: Sequence[bytes] = ()
) -> dict[str, list[Place]]:
    """Return the places of `lines` as one block, by the strictest rung that
    matches there; at most MOST_PLACES in all.

    An indent shift must apply to the `inserted` lines as well.
    """
    places: dict[str, list[Place]] = {}
    block = _Block(lines)
    for rows, in_file in _blocks_at(text, lines, _block_rows(text, lines)):
        rung = block.strictest_rung(in_file)
        if rung:
            places.setdefault(rung, []).append(Place(rows))
            continue
        shift = uniform_shift(lines, in_file, inserted)
        if shift:
            places.setdefault("indent", []).append(Place(rows, reindent=shift))
    return places


def blocks_with_collapsed_blanks(
    text: Text, lines: Sequence[bytes], inserted: Sequence[bytes] = ()
) -> list[Place]:
    """Return the places of `lines` as one block, with every run of blanks equal
    to any other.
    """
    places: list[Place] = []
    starts = sorted(_collapsed_block_rows(text, lines))
    for rows, in_file in _blocks_at(text, lines, starts):
        shift = uniform_shift(lines, in_file, inserted)
        places.append(Place(rows, reindent=shift))
    return places


def _blocks_at(
    text: Text, lines: Sequence[bytes], starts: Iterable[int]
) -> Iterator[tuple[range, list[bytes]]]:
    """The rows and lines of the file from each start where the line ends agree
    with those sent.
    """
    for start in starts:
        rows = range(start, start + len(lines))
        in_file = text.lines[rows.start : rows.stop]
        if line_ends_agree(text, lines, in_file):
            yield rows, in_file


def line_ends_agree(text: Text, sent: Sequence[bytes], in_file: Sequence[bytes]) -> bool:
    """Whether the line ends leave no doubt, on the rungs that ignore them.

    A sent line without a line end matches only the last line of the file. In a
    file that mixes CRLF and LF, the line ends distinguish lines.
    """
    if in_file[-1].endswith(b"\n") and not sent[-1].endswith(b"\n"):
        return False
    if not text.mixes_line_ends:
        return True
    return list(map(_ends_in_crlf, sent)) == list(map(_ends_in_crlf, in_file))


def _ends_in_crlf(line: bytes) -> bool:
    return line.endswith(b"\r\n")


class _Block:
    """The sought lines, with their keys on each rung."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self.lines = lines

    # Most blocks match exactly and need no key.
    @cached_property
    def trimmed(self) -> list[bytes]:
        return list(map(trimmed, self.lines))

    @cached_property
    def folded(self) -> list[bytes]:
        return list(map(folded, self.lines))

    def strictest_rung(self, in_file: Sequence[bytes]) -> str | None:
        """Return the strictest rung on which these lines of the file are the
        block; None when at most their cores are.
        """
        if in_file == self.lines:
            return "exact"
        if list(map(trimmed, in_file)) == self.trimmed:
            return "blanks"
        if list(map(folded, in_file)) == self.folded:
            return "unicode"
        return None


def _block_rows(text: Text, lines: Sequence[bytes]) -> list[int]:
    """The rows at which lines of the same cores start, overlapping blocks
    included.
    """
    string, _ = text.cores
    sought = text.string_of(map(core, lines))
    if not sought:
        return []
    return list(islice(occurrences(string, sought), MOST_PLACES))


def _collapsed_block_rows(text: Text, lines: Sequence[bytes]) -> set[int]:
    if not lines:
        return set()
    rows_by_line = text.collapsed_rows
    # For each line, its rows and its number in the block. The rarest line
    # first: each further line only narrows the set.
    rows_of_lines: list[tuple[Sequence[int], int]] = []
    for number, line in enumerate(lines):
        rows_of_lines.append((rows_by_line.get(collapsed(line), ()), number))
    rarest, *others = sorted(rows_of_lines, key=lambda pair: len(pair[0]))
    starts = _block_starts(*rarest)
    for rows, number in others:
        if not starts:
            break
        if len(starts) > MOST_PLACES:
            return set()  # a block of nothing but common lines
        starts &= _block_starts(rows, number)
    return starts


def _block_starts(rows: Iterable[int], number: int) -> set[int]:
    return {row - number for row in rows}
