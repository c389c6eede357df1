"""The indent shift between a hunk and the file: tabs, spaces, more, less.

One shift must explain every line of the hunk.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.line_keys import core, indent
from gpt_cursor_runner.formats.text import Text

# For each line that is not blank: its indent in the patch, and in the file.
IndentPairs = Sequence[tuple[bytes, bytes]]

_WIDEST_TAB = 8


class Reindent(Protocol):
    def apply(self, indent: bytes) -> bytes | None:
        """Return the indent a line gets in the file; None when the shift does
        not apply to it.
        """


@dataclass(frozen=True)
class Deeper:
    """Every line has the same blanks in front in the file."""

    by: bytes

    def apply(self, indent: bytes) -> bytes | None:
        return self.by + indent


@dataclass(frozen=True)
class Shallower:
    """Every line lacks the same leading blanks in the file."""

    by: bytes

    def apply(self, indent: bytes) -> bytes | None:
        if not indent.startswith(self.by):
            return None
        return indent[len(self.by) :]


@dataclass(frozen=True)
class Columns:
    """One side indents with tabs of `width` columns, the other with spaces;
    `shift` columns may be added.
    """

    width: int
    shift: int
    tabs: bool

    def apply(self, indent: bytes) -> bytes | None:
        columns = _columns_of(indent, self.width) + self.shift
        if columns < 0:
            return None
        if not self.tabs:
            return b" " * columns
        tabs, spaces = divmod(columns, self.width)
        return b"\t" * tabs + b" " * spaces


def find_reindent(pairs: IndentPairs, inserted: Sequence[bytes]) -> Reindent | None:
    """Return the shift that explains every pair and applies to the indents of
    the inserted lines; None when there is none.
    """
    for shift in _candidate_shifts(pairs, inserted):
        if _explains(shift, pairs) and _applies_to(shift, inserted):
            return shift
    return None


def _explains(shift: Reindent, pairs: IndentPairs) -> bool:
    return all(shift.apply(sent) == in_file for sent, in_file in pairs)


def _applies_to(shift: Reindent, indents: Sequence[bytes]) -> bool:
    return None not in map(shift.apply, indents)


def uniform_shift(
    sent: Sequence[bytes], in_file: Sequence[bytes], inserted: Sequence[bytes]
) -> Reindent | None:
    """Return the shift from the sent lines to those in the file, blank ones
    aside; it must apply to the inserted lines too.

    None when a sent line and its line in the file differ in more than their
    indent.
    """
    indents: list[tuple[bytes, bytes]] = []
    for sent_line, file_line in zip(sent, in_file, strict=True):
        sent_core = core(sent_line)
        if sent_core != core(file_line):
            return None
        if sent_core:
            indents.append((indent(sent_line), indent(file_line)))
    return find_reindent(indents, list(map(indent, filter(bytes.strip, inserted))))


def shift_of_equal_lines(text: Text, hunk: Hunk, rows: Sequence[int | None]) -> Reindent | None:
    """Return the shift of the old lines whose row in the file holds the same
    line; the others are ignored.
    """
    sent: list[bytes] = []
    in_file: list[bytes] = []
    for line, row in zip(hunk.old, rows, strict=True):
        if row is not None and core(line.data) == core(text.lines[row]):
            sent.append(line.data)
            in_file.append(text.lines[row])
    return uniform_shift(sent, in_file, hunk.inserted)


def _candidate_shifts(pairs: IndentPairs, inserted: Sequence[bytes]) -> list[Reindent]:
    if not pairs:
        return []
    sent, in_file = pairs[0]
    # Nothing is indented by a single space: it is a typing error, and there is
    # no way to decide which side is right.
    if abs(_columns_of(sent, 4) - _columns_of(in_file, 4)) == 1:
        return []
    return _shifts_by_style(pairs, inserted)


def _shifts_by_style(pairs: IndentPairs, inserted: Sequence[bytes]) -> list[Reindent]:
    sent, in_file = pairs[0]
    context_indents, file_indents = zip(*pairs, strict=True)
    sent_indents = [*context_indents, *inserted]
    file_has_tabs = b"\t" in b"".join(file_indents)
    sent_has_tabs = b"\t" in b"".join(sent_indents)
    sent_has_spaces = b" " in b"".join(sent_indents)
    prefix_shifts = _prefix_shifts(sent, in_file)
    # Where spaces meet tabs, a common prefix alone would mix the two in the
    # inserted lines, so shifts by columns go first.
    if file_has_tabs and sent_has_spaces:
        return [*_column_shifts(sent, in_file, sent_indents, file_has_tabs), *prefix_shifts]
    if file_has_tabs != sent_has_tabs:
        return [*prefix_shifts, *_column_shifts(sent, in_file, sent_indents, file_has_tabs)]
    return prefix_shifts


def _prefix_shifts(sent: bytes, in_file: bytes) -> list[Reindent]:
    shifts: list[Reindent] = []
    if in_file.endswith(sent):
        shifts.append(Deeper(in_file.removesuffix(sent)))
    if sent.endswith(in_file):
        shifts.append(Shallower(sent.removesuffix(in_file)))
    return shifts


def _column_shifts(
    sent: bytes, in_file: bytes, sent_indents: Sequence[bytes], tabs: bool
) -> list[Reindent]:
    shifts: list[Columns] = []
    for width in _tab_widths(sent_indents):
        shift = _columns_of(in_file, width) - _columns_of(sent, width)
        shifts.append(Columns(width, shift, tabs))
    # A change of style alone is likelier than one that moves the block as well.
    shifts.sort(key=lambda columns: columns.shift != 0)
    return [*shifts]


def _tab_widths(sent_indents: Sequence[bytes]) -> list[int]:
    """The widths a tab may stand for, the likeliest first."""
    sizes = [len(blanks) for blanks in sent_indents if b"\t" not in blanks]
    widths = dict.fromkeys((math.gcd(*sizes), 4, 2, 8, 3))
    return [width for width in widths if 1 < width <= _WIDEST_TAB]


def _columns_of(indent: bytes, tab_width: int) -> int:
    return len(indent.expandtabs(tab_width))
