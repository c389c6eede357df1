"""Turns a hunk and its place into edits of the file.

Only lines that the hunk deletes or inserts are edited; context is never
written back.
"""

from __future__ import annotations

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.line_keys import BOM, indent
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.matching.reindenting import Reindent
from gpt_cursor_runner.formats.text import Edit, Text


class Unplaceable(Exception):
    """The place does not determine between which lines an insertion belongs."""


def edits_at(hunk: Hunk, place: Place, text: Text, *, as_sent: bool) -> list[Edit]:
    """Return the edits that apply a hunk at its place.

    With `as_sent` the inserted lines are written byte for byte, else with the
    line ends and the indent of the file. Raises Unplaceable.
    """
    edits = _changed_regions(hunk, place)
    if as_sent:
        return edits
    return [_with_file_line_ends_and_indent(edit, place.reindent, text) for edit in edits]


def _changed_regions(hunk: Hunk, place: Place) -> list[Edit]:
    regions = _Regions(place.start)
    rows = iter(place.rows)
    for line in hunk.lines:
        if line.sign == "+":
            regions.insert(line.data)
            continue
        row = next(rows)
        if line.sign == "-" and row is not None:
            regions.delete(row)
        else:
            regions.keep(row)
    regions.close(None)
    return regions.edits


class _Regions:
    """Collects the edits of one hunk, line by line from its top.

    The open region replaces the rows from `start` to `end` by `inserted`.
    """

    def __init__(self, first_row: int) -> None:
        self.edits: list[Edit] = []
        self.start = self.end = first_row
        self.inserted: list[bytes] = []
        # The row below the old line above; None when the file lacks that line.
        self.row_below_previous: int | None = first_row

    def insert(self, line: bytes) -> None:
        self.inserted.append(line)

    def delete(self, row: int) -> None:
        if self.start < self.end and row != self.end:
            self.close(row)
        if self.start == self.end:
            self.start = row
        self.end = self.row_below_previous = row + 1

    def keep(self, row: int | None) -> None:
        """Pass a context line; `row` is None when the file lacks it."""
        self.close(row)
        if row is None:
            self.row_below_previous = None
        else:
            self.start = self.end = self.row_below_previous = row + 1

    def close(self, next_row: int | None) -> None:
        """End the open region; `next_row` is the row of the old line below it."""
        if self.start == self.end and not self.inserted:
            return
        if self.start == self.end:
            self.start = self.end = self._insertion_row(next_row)
        self.edits.append(Edit(self.start, self.end, tuple(self.inserted)))
        self.start = self.end
        self.inserted = []

    def _insertion_row(self, next_row: int | None) -> int:
        # An insertion follows the old line above it; where the file lacks that
        # line, it goes before the old line below.
        if self.row_below_previous is not None:
            return self.row_below_previous
        if next_row is None:
            raise Unplaceable
        return next_row


def _with_file_line_ends_and_indent(edit: Edit, reindent: Reindent | None, text: Text) -> Edit:
    lines = _in_file_style(edit, reindent, text)
    replaces_first_line = edit.start == 0 < edit.end
    if replaces_first_line and text.data.startswith(BOM):
        # The first line of the file holds the mark, and goes.
        lines = [BOM + b"".join(lines[:1]), *lines[1:]]
    return Edit(edit.start, edit.end, tuple(lines))


def _in_file_style(edit: Edit, reindent: Reindent | None, text: Text) -> list[bytes]:
    line_end = text.line_end_near(edit.start)
    lines: list[bytes] = []
    for line in edit.lines:
        lines.append(_reindented(line, reindent).rstrip(b"\r\n") + line_end)
    if lines and _replaces_open_line(edit, text):
        lines[-1] = lines[-1].removesuffix(line_end)
    return lines


def _replaces_open_line(edit: Edit, text: Text) -> bool:
    """Whether the edit replaces a last line that has no line end."""
    replaces_last_line = edit.start < edit.end == len(text.lines)
    return replaces_last_line and not text.data.endswith(b"\n")


def _reindented(line: bytes, reindent: Reindent | None) -> bytes:
    body = line.removeprefix(BOM)
    if not body.strip():
        return body
    blanks = indent(body)
    # As text, because the indent may hold spaces beyond ASCII.
    rest = body.decode("utf-8", "surrogateescape").lstrip().encode("utf-8", "surrogateescape")
    if reindent is not None:
        shifted = reindent.apply(blanks)
        if shifted is not None:
            blanks = shifted
    return blanks + rest
