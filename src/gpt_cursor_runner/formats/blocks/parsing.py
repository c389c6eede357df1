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
from collections.abc import Iterator, Sequence
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
_FENCES = (b"```", b"~~~")
_NO_BLOCK = TextFault("malformed", "the text has no search/replace block", f"{CORRECT_FORM}.", 1)


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

    @property
    def is_closing_encoded(self) -> bool:
        return self.closing is not None and self.closing.encoded


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
            at = self._parse_at(at)
        self._refuse_cut_off()
        if not self.blocks and not self.faults:
            self.faults.append(_NO_BLOCK)

    def _parse_at(self, at: int) -> int:
        """Parse a block or one line of the text between blocks. Returns the line
        where parsing goes on.
        """
        marker = parse_marker(self.lines[at])
        if marker is None:
            return at + 1
        if marker.role == "search":
            return self._parse_block(at, marker)
        self._check_stray_marker(at, marker)
        return at + 1

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
        last = len(self.lines) - 1
        if last < self.after_blocks:
            return None
        if _INCOMPLETE_MARKER.fullmatch(self.lines[last].strip()):
            return last
        return self._open_fence()

    def _open_fence(self) -> int | None:
        for row in range(len(self.lines) - 1, self.after_blocks - 1, -1):
            line = self.lines[row].strip()
            if line.startswith(_FENCES):
                # Without a word after it, a fence is taken for a closing one.
                if line.strip(b"`~"):
                    return row
                return None
        return None

    def _parse_block(self, at: int, opening: Marker) -> int:
        """Parse the block that opens at `at`. Returns the line where parsing
        goes on.
        """
        self.expects_closing = False
        number = len(self.blocks)
        extent = _find_extent(self.lines, at, opening)
        path, name_faults = self._find_path(at, number)
        divider, faults = _find_divider(self.lines, extent, opening, number)
        faults += name_faults
        contents = Contents()
        if divider is not None:
            contents = parse_contents(
                self.lines,
                range(at + 1, divider),
                range(divider + 1, extent.end),
                number,
                encoded=opening.encoded or extent.is_closing_encoded,
                mixed=opening.encoded != extent.is_closing_encoded,
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
        if self.current_path:
            return self._inherit_path(self.current_path, at, number)
        if self.path is not None:
            return self.path, []
        message = f"block {number + 1} does not name the file that it is for"
        step = (
            "Put the file's name, alone on its line, above the block, or send 'path' beside the"
            " text."
        )
        return None, [TextFault("malformed", message, step, at + 1, number)]

    def _inherit_path(
        self, inherited: str, at: int, number: int
    ) -> tuple[str | None, list[TextFault]]:
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
    for row, marker in _markers_below(lines, at, opening):
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


def _markers_below(
    lines: Sequence[bytes], at: int, opening: Marker
) -> Iterator[tuple[int, Marker]]:
    """The rows and markers that may belong to the block that opens at `at`."""
    for row in range(at + 1, len(lines)):
        marker = parse_marker(lines[row])
        # All markers of a block in a list item have its indent; a marker with
        # another indent is a line of contents.
        if marker and marker.indent == opening.indent:
            yield row, marker


def _add_inner_marker(extent: _Extent, row: int, marker: Marker, opening: Marker) -> None:
    if marker.role == "divider" and not _is_disputed_divider(marker, opening):
        extent.dividers.append((row, marker))
    elif len(marker.signs) >= _FEWEST_MALFORMED_SIGNS:
        extent.malformed.append(row)


def _is_disputed_divider(divider: Marker, opening: Marker) -> bool:
    # Cline takes a divider with a blank after it for contents, the other tools
    # take it for a divider.
    return divider.blank_after and opening.signs.startswith(b"-")


def _find_divider(
    lines: Sequence[bytes], extent: _Extent, opening: Marker, number: int
) -> tuple[int | None, list[TextFault]]:
    """The line of a block's divider, or the faults of its markers."""
    rows = _divider_rows(extent, opening)
    faults = [
        *_boundary_faults(extent, number),
        *_divider_faults(extent, rows, number),
        *_malformed_marker_faults(lines, extent, number),
    ]
    if faults:
        return None, faults
    return rows[0], []


def _divider_rows(extent: _Extent, opening: Marker) -> list[int]:
    # Lines of equals signs are common in contents: they underline headings in
    # Markdown and reStructuredText.
    size = len(opening.signs)
    rows_as_long = [row for row, divider in extent.dividers if len(divider.signs) == size]
    if len(rows_as_long) == 1:
        return rows_as_long
    return [row for row, _ in extent.dividers]


def _divider_faults(extent: _Extent, rows: Sequence[int], number: int) -> Iterator[TextFault]:
    if extent.closing and not rows:
        message = f"{_name_of(extent, number)} has no '=======' between its old and new lines"
        yield TextFault("malformed", message, f"{CORRECT_FORM}.", extent.end + 1, number)
    if len(rows) > 1:
        listed = ", ".join(str(row + 1) for row in rows[:_MOST_LISTED])
        message = f"{_name_of(extent, number)} has {len(rows)} dividers, at lines {listed}"
        step = f"Keep one; {HOW_TO_ESCAPE}, like \\=======."
        yield TextFault("malformed", message, step, rows[1] + 1, number)


def _malformed_marker_faults(
    lines: Sequence[bytes], extent: _Extent, number: int
) -> Iterator[TextFault]:
    for row in extent.malformed[:_MOST_LISTED]:
        message = (
            f"line {row + 1} ('{show(lines[row], 40)}') is inside block {number + 1} but looks like"
            " a marker"
        )
        step = f"Correct the marker, or {HOW_TO_ESCAPE}."
        yield TextFault("malformed", message, step, row + 1, number)


def _boundary_faults(extent: _Extent, number: int) -> Iterator[TextFault]:
    if extent.nested:
        message = (
            f"{_name_of(extent, number)} is not closed before another begins at line"
            f" {extent.end + 1}"
        )
        step = f"Close it with '>>>>>>> REPLACE', or {HOW_TO_ESCAPE}."
        yield TextFault("malformed", message, step, extent.end + 1, number)
    elif extent.closing is None:
        message = (
            f"{_name_of(extent, number)} has no '>>>>>>> REPLACE': the text ends inside the block"
        )
        step = "Send the complete text, to its last marker."
        yield TextFault("truncated", message, step, extent.start + 1, number)


def _name_of(extent: _Extent, number: int) -> str:
    return f"block {number + 1}, which begins at line {extent.start + 1},"
