"""Every block of a file whose lines are those sought, sorted by how strictly
they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.line_keys import core, folded, indent, squeezed, trimmed
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.matching.reindenting import Pairs, Reindent, find_reindent
from gpt_cursor_runner.formats.text import Text

# A text that stands at so many places is ambiguous whatever a hint says: files
# of a million equal lines stay cheap.
MOST_PLACES = 10_000


def blocks_by_strictness(
    text: Text, lines: Sequence[bytes], inserted: Sequence[bytes] = ()
) -> dict[str, list[Place]]:
    """Where `lines` stand in one block, by the strictest rung that finds them
    there; MOST_PLACES at most in all.

    `inserted` are the lines that a shift of the indent must reach as well.
    """
    found: dict[str, list[Place]] = {}
    keys = [(name, [key(line) for line in lines], key) for name, key in _KEYS]
    for start in block_rows(text, [core(line) for line in lines]):
        there = text.lines[start : start + len(lines)]
        if not line_ends_agree(text, lines, there):
            continue
        rows = range(start, start + len(lines))
        if name := _strictest(there, lines, keys):
            found.setdefault(name, []).append(Place(rows))
        elif reindent := uniform_shift(list(zip(lines, there, strict=True)), inserted):
            found.setdefault("indent", []).append(Place(rows, reindent=reindent))
    return found


def squeezed_blocks(
    text: Text, lines: Sequence[bytes], inserted: Sequence[bytes] = ()
) -> list[Place]:
    """Where `lines` stand in one block, but for how many blanks there are where
    there are any.
    """
    sought = [squeezed(line) for line in lines]
    numbers = sorted(
        range(len(sought)), key=lambda number: len(text.squeezed.get(sought[number], ()))
    )
    starts = (
        {row - numbers[0] for row in text.squeezed.get(sought[numbers[0]], ())}
        if numbers
        else set()
    )
    for number in numbers[1:]:
        if len(starts) > MOST_PLACES:
            return []  # a block of nothing but common lines
        starts &= (
            {row - number for row in text.squeezed.get(sought[number], ())} if starts else set()
        )
    found = []
    for start in sorted(starts):
        there = text.lines[start : start + len(lines)]
        if line_ends_agree(text, lines, there):
            shift = uniform_shift(list(zip(lines, there, strict=True)), inserted)
            found.append(Place(range(start, start + len(lines)), reindent=shift))
    return found


def block_rows(text: Text, cores: Sequence[bytes]) -> list[int]:
    """The rows at which lines of these cores stand one after the other,
    overlapping blocks included.
    """
    string, known = text.cores
    if not cores or any(one not in known for one in cores):
        return []
    sought = "".join(chr(known[one]) for one in cores)
    found: list[int] = []
    row = string.find(sought)
    while row >= 0 and len(found) < MOST_PLACES:
        found.append(row)
        row = string.find(sought, row + 1)
    return found


def line_ends_agree(text: Text, sent: Sequence[bytes], there: Sequence[bytes]) -> bool:
    """Whether the line ends leave no doubt, on the rungs that set them aside.

    A line said to have none is the file's last, or another line. In a file that
    mixes them they tell lines apart.
    """
    if there[-1].endswith(b"\n") and not sent[-1].endswith(b"\n"):
        return False
    return not text.mixes_line_ends or all(
        one.endswith(b"\r\n") == other.endswith(b"\r\n")
        for one, other in zip(sent, there, strict=True)
    )


def uniform_shift(
    pairs: Sequence[tuple[bytes, bytes]], inserted: Sequence[bytes]
) -> Reindent | None:
    """The shift that carries the lines sent to those in the file, blank ones
    aside, and reaches the lines to insert.
    """
    indents: Pairs = [(indent(sent), indent(there)) for sent, there in pairs if core(sent)]
    if any(core(sent) != core(there) for sent, there in pairs):
        return None
    return find_reindent(indents, [indent(line) for line in inserted if line.strip()])


def agreeing_shift(text: Text, hunk: Hunk, rows: Sequence[int | None]) -> Reindent | None:
    """The shift of those old lines that stand in the file at their row; others
    may stand there, or none.
    """
    pairs = [
        (line.data, text.lines[row])
        for line, row in zip(hunk.old, rows, strict=True)
        if row is not None
    ]
    return uniform_shift([pair for pair in pairs if core(pair[0]) == core(pair[1])], hunk.inserted)


def _strictest(
    there: Sequence[bytes],
    lines: Sequence[bytes],
    keys: Sequence[tuple[str, Sequence[bytes], Callable[[bytes], bytes]]],
) -> str | None:
    if there == lines:
        return "exact"
    return next(
        (name for name, sought, key in keys if [key(line) for line in there] == sought), None
    )


_KEYS = (("blanks", trimmed), ("unicode", folded))
