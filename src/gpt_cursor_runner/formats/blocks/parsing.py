"""Parses a text with search/replace blocks. A broken block is refused, never
guessed.

1. Text stands between blocks. A line there that looks like a marker is refused,
   since it may belong to a block that would be lost.
2. A block reaches from its opening marker to its closing one, or to the next
   opening one if it is not closed.
3. Its divider is the only line of equals signs in it, or the only one as long
   as the opening marker.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from gpt_cursor_runner.formats.blocks.contents import Contents, parse_contents
from gpt_cursor_runner.formats.blocks.markers import (
    CORRECT_FORM,
    HOW_TO_ESCAPE,
    Marker,
    parse_marker,
)
from gpt_cursor_runner.formats.blocks.names import FileExists, files_mentioned, name_above
from gpt_cursor_runner.formats.line_diff import NumberedLines
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show, split_lines

_INCOMPLETE_MARKER = re.compile(rb"<{1,9}(?: [A-Z]{0,7})?|-{3,} [A-Z]{1,5}")
_MARKER_WORD = re.compile("SEARCH|REPLACE|ORIGINAL|UPDATED")
# Shorter runs of signs occur in real files: `-- SEARCH` is a comment in SQL.
_FEWEST_MALFORMED_SIGNS = 5
_MOST_LISTED = 5


@dataclass(frozen=True)
class Block:
    """One block; `path` is None when the text does not name its file. `number`
    counts from 0, `patch_line` from 1.
    """

    number: int
    patch_line: int
    path: str | None
    old: NumberedLines = ()
    new: NumberedLines = ()
    line_hint: int | None = None
    faults: tuple[TextFault, ...] = ()


def parse_blocks(
    data: bytes, path: str | None, file_exists: FileExists
) -> tuple[list[Block], list[TextFault]]:
    """Parse every block of a text and skip the text around them.

    `path` is for blocks without a file name. The second list has the faults
    that belong to no block.
    """
    parser = _Parser(split_lines(data), path, file_exists)
    parser.parse()
    return parser.blocks, parser.faults


@dataclass
class _Extent:
    """The lines (from 0) of one block: its markers, dividers and lines that look
    like markers. Parsing goes on at `resume`.
    """

    start: int
    end: int
    resume: int
    closing: Marker | None = None
    nested: bool = False  # whether another block begins before this one is closed
    dividers: list[tuple[int, Marker]] = field(default_factory=list)
    malformed: list[int] = field(default_factory=list)


class _Parser:
    def __init__(self, lines: Sequence[bytes], path: str | None, file_exists: FileExists) -> None:
        self.lines = lines
        self.path = path
        self._file_exists = file_exists
        self.current_path: str | None = None
        self.after_blocks = 0
        # A block whose opening marker is malformed has a closing marker, which
        # is no second fault.
        self.expects_closing = False
        self.blocks: list[Block] = []
        self.faults: list[TextFault] = []

    def parse(self) -> None:
        at = 0
        while at < len(self.lines):
            marker = parse_marker(self.lines[at])
            if marker and marker.role == "search":
                self.expects_closing = False
                at = self._parse_block(at, marker)
                continue
            if marker:
                self._check_stray_marker(at, marker)
            at += 1
        self._refuse_cut_off()
        if not self.blocks and not self.faults:
            message = "the text has no search/replace block"
            self.faults.append(TextFault("malformed", message, f"{CORRECT_FORM}.", 1))

    def _check_stray_marker(self, at: int, marker: Marker) -> None:
        if marker.role == "malformed":
            self._refuse_stray_marker(at)
            self.expects_closing = True
        elif marker.role == "replace":
            if not self.expects_closing:
                self._refuse_stray_marker(at)
            self.expects_closing = False

    def _refuse_stray_marker(self, at: int) -> None:
        line = show(self.lines[at], 40)
        kind = "a marker" if _MARKER_WORD.search(line) else "a conflict that a merge left"
        message = f"line {at + 1} ('{line}') looks like {kind}, but belongs to no block"
        step = f"{CORRECT_FORM}, each marker on a line of its own."
        self.faults.append(TextFault("malformed", message, step, at + 1))

    def _refuse_cut_off(self) -> None:
        """Refuse a text that ends where another block was about to begin: in an
        open fence, or within a marker.
        """
        start = self._unfinished_block()
        if not self.blocks or start is None:
            return
        message = f"the text ends after '{show(self.lines[start], 40)}', where another block begins"
        step = (
            "Send the complete text; if nothing is missing, remove the lines after the last block."
        )
        self.faults.append(TextFault("truncated", message, step, start + 1))

    def _unfinished_block(self) -> int | None:
        start = None
        for row in range(self.after_blocks, len(self.lines)):
            line = self.lines[row].strip()
            if line.startswith((b"```", b"~~~")):
                opens_fence = bool(line.strip(b"`~"))
                start = None
                if opens_fence:
                    start = row
            elif row + 1 == len(self.lines) and _INCOMPLETE_MARKER.fullmatch(line):
                start = row
        return start

    def _parse_block(self, at: int, opening: Marker) -> int:
        """Parse the block that opens at `at`. Returns the line where parsing
        goes on.
        """
        number = len(self.blocks)
        extent = _find_extent(self.lines, at, opening)
        path, name_faults = self._find_path(at, number)
        divider, faults = _find_divider(self.lines, extent, opening, number)
        faults += name_faults
        contents = Contents()
        if divider is not None:
            closing_encoded = extent.closing is not None and extent.closing.encoded
            contents = parse_contents(
                self.lines,
                range(at + 1, divider),
                range(divider + 1, extent.end),
                number,
                encoded=opening.encoded or closing_encoded,
                mixed=opening.encoded != closing_encoded,
            )
            faults += contents.faults
        self.blocks.append(
            Block(
                number,
                at + 1,
                path,
                contents.old,
                contents.new,
                contents.line_hint,
                tuple(faults),
            )
        )
        self.after_blocks = extent.resume
        return extent.resume

    def _find_path(self, at: int, number: int) -> tuple[str | None, list[TextFault]]:
        if name := name_above(self.lines, at, self._is_file):
            self.current_path = name
            return name, []
        inherited = self.current_path or self.path
        if inherited is None:
            message = f"block {number + 1} does not name the file that it is for"
            step = (
                "Put the file's name, alone on its line, above the block, or send 'path' beside the"
                " text."
            )
            return None, [TextFault("malformed", message, step, at + 1, number)]
        if not self.current_path:
            return inherited, []
        # A sentence above the block may introduce another file; the inherited
        # name would be a guess then.
        others = files_mentioned(self.lines, at, self._is_file)
        if inherited in others or not others:
            return inherited, []
        message = (
            f"block {number + 1} may be for {inherited}, as the block before it, or for"
            f" {min(others)}, which the text above it names"
        )
        step = "Put the file's name, alone on its line, above the block."
        return None, [TextFault("malformed", message, step, at + 1, number)]

    def _is_file(self, name: str) -> bool:
        return name in (self.current_path, self.path) or self._file_exists(name)


def _find_extent(lines: Sequence[bytes], at: int, opening: Marker) -> _Extent:
    extent = _Extent(at, len(lines), len(lines))
    for row in range(at + 1, len(lines)):
        marker = parse_marker(lines[row])
        # All markers of a block in a list item have its indent; a marker with
        # another indent is a line of contents.
        if marker is None or marker.indent != opening.indent:
            continue
        if marker.role == "search":
            # Parsing goes on at this marker, so that its block is checked too.
            extent.nested = True
            extent.end = extent.resume = row
            break
        if marker.role == "replace":
            extent.closing = marker
            extent.end, extent.resume = row, row + 1
            break
        _add_inner_marker(extent, row, marker, opening)
    return extent


def _add_inner_marker(extent: _Extent, row: int, marker: Marker, opening: Marker) -> None:
    if marker.role == "malformed":
        if len(marker.signs) >= _FEWEST_MALFORMED_SIGNS:
            extent.malformed.append(row)
    elif marker.blank_after and opening.signs.startswith(b"-"):
        # Cline takes a divider with a blank after it for contents, the other
        # tools take it for a divider.
        extent.malformed.append(row)
    else:
        extent.dividers.append((row, marker))


def _find_divider(
    lines: Sequence[bytes], extent: _Extent, opening: Marker, number: int
) -> tuple[int | None, list[TextFault]]:
    """The line of a block's divider, or the faults of its markers."""
    rows = _divider_rows(extent, opening)
    faults: list[TextFault] = []
    if fault := _boundary_fault(extent, number):
        faults.append(fault)
    elif not rows:
        message = f"{_name_of(extent, number)} has no '=======' between its old and new lines"
        faults.append(TextFault("malformed", message, f"{CORRECT_FORM}.", extent.end + 1, number))
    if len(rows) > 1:
        listed = ", ".join(str(row + 1) for row in rows[:_MOST_LISTED])
        message = f"{_name_of(extent, number)} has {len(rows)} dividers, at lines {listed}"
        step = f"Keep one; {HOW_TO_ESCAPE}, like \\=======."
        faults.append(TextFault("malformed", message, step, rows[1] + 1, number))
    for row in extent.malformed[:_MOST_LISTED]:
        message = (
            f"line {row + 1} ('{show(lines[row], 40)}') is inside block {number + 1} but looks like"
            " a marker"
        )
        step = f"Correct the marker, or {HOW_TO_ESCAPE}."
        faults.append(TextFault("malformed", message, step, row + 1, number))
    if faults:
        return None, faults
    return rows[0], []


def _divider_rows(extent: _Extent, opening: Marker) -> list[int]:
    # Lines of equals signs are common in contents: they underline headings in
    # Markdown and reStructuredText.
    rows: list[int] = []
    rows_as_long: list[int] = []
    for row, marker in extent.dividers:
        rows.append(row)
        if len(marker.signs) == len(opening.signs):
            rows_as_long.append(row)
    return rows_as_long if len(rows_as_long) == 1 else rows


def _boundary_fault(extent: _Extent, number: int) -> TextFault | None:
    if extent.nested:
        message = (
            f"{_name_of(extent, number)} is not closed before another begins at line"
            f" {extent.end + 1}"
        )
        step = f"Close it with '>>>>>>> REPLACE', or {HOW_TO_ESCAPE}."
        return TextFault("malformed", message, step, extent.end + 1, number)
    if extent.closing is None:
        message = (
            f"{_name_of(extent, number)} has no '>>>>>>> REPLACE': the text ends inside the block"
        )
        step = "Send the complete text, to its last marker."
        return TextFault("truncated", message, step, extent.start + 1, number)
    return None


def _name_of(extent: _Extent, number: int) -> str:
    return f"block {number + 1}, which begins at line {extent.start + 1},"
