"""A place for a hunk, and the edits that follow from it. Only the bytes of the
file and inserted lines are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.line_keys import BOM, indent
from gpt_cursor_runner.formats.matching.reindenting import Reindent
from gpt_cursor_runner.formats.text import Edit, Text


@dataclass(frozen=True, slots=True)
class Place:
    """Where the old lines of a hunk stand: for each its line in the file (from
    0), None for one that is not there.
    """

    rows: Sequence[int | None]
    similarity: float = 1.0
    reindent: Reindent | None = None

    @property
    def start(self) -> int:
        return next(row for row in self.rows if row is not None)

    @property
    def end(self) -> int:
        """The line after the last."""
        return 1 + next(row for row in reversed(self.rows) if row is not None)


class Unplaceable(Exception):
    """The place leaves open between which lines an insertion belongs."""


def edits_at(hunk: Hunk, place: Place, text: Text, *, as_sent: bool) -> list[Edit]:
    """The changes alone, context never written back. Raises Unplaceable.

    With `as_sent` inserted lines are written byte for byte; else they take the
    file's line ends and its indent.
    """
    edits = list(_edits(hunk, place))
    return edits if as_sent else [_dressed(edit, place.reindent, text) for edit in edits]


def _edits(hunk: Hunk, place: Place) -> Iterator[Edit]:
    rows = iter(place.rows)
    below: int | None = (
        place.start
    )  # the line an insertion goes before, if the old line above it is known
    start = end = place.start
    added: list[bytes] = []
    for line in hunk.lines:
        if line.sign == "+":
            added.append(line.data)
            continue
        row = next(rows)
        if line.sign == "-" and row is not None:
            if end > start and row != end:
                yield Edit(start, end, tuple(added))
                added, start = [], row
            elif end == start:
                start = row
            end = below = row + 1
            continue
        if added or end > start:
            if end == start:
                start = end = _insertion_row(below, row)
            yield Edit(start, end, tuple(added))
        added, start = [], end
        below = None if row is None else row + 1
        if below is not None:
            start = end = below
    if added or end > start:
        if end == start:
            start = end = _insertion_row(below, None)
        yield Edit(start, end, tuple(added))


def _insertion_row(below: int | None, row: int | None) -> int:
    """An insertion follows the old line above it; where that is not there, it
    precedes the one below.
    """
    if below is not None:
        return below
    if row is None:
        raise Unplaceable
    return row


def _dressed(edit: Edit, reindent: Reindent | None, text: Text) -> Edit:
    bom = BOM if edit.start == 0 < edit.end and text.data.startswith(BOM) else b""
    if not edit.lines:
        return Edit(edit.start, edit.end, (bom,)) if bom else edit
    end = text.line_end_near(edit.start)
    lines = [_reindented(line, reindent).rstrip(b"\r\n") + end for line in edit.lines]
    if edit.end == len(text.lines) > edit.start and not text.data.endswith(b"\n"):
        lines[-1] = lines[-1].removesuffix(end)
    lines[0] = bom + lines[0]
    return Edit(edit.start, edit.end, tuple(lines))


def _reindented(line: bytes, reindent: Reindent | None) -> bytes:
    body = line.removeprefix(BOM)
    if not body.strip():
        return body
    blanks = indent(body)
    rest = body.decode("utf-8", "surrogateescape").lstrip().encode("utf-8", "surrogateescape")
    shifted = reindent.apply(blanks) if reindent else blanks
    return (blanks if shifted is None else shifted) + rest
