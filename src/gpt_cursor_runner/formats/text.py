"""The bytes of a file as lines. A line keeps its line end; only LF ends one, so
that every byte is preserved.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO, StringIO

from gpt_cursor_runner.formats.line_keys import BOM, collapsed, core

_CODE_POINTS = 0x110000


def split_lines(data: bytes) -> list[bytes]:
    """Split after every LF and nowhere else; joining the result gives `data`
    again.
    """
    # Equal lines are one object: a file made of few different lines stays small.
    interned: dict[bytes, bytes] = {}
    return [interned.setdefault(line, line) for line in BytesIO(data)]


def show(data: bytes, width: int = 80) -> str:
    """Return one line for people to read: no line end, at most `width`
    characters, undecodable bytes as U+FFFD.
    """
    return data.rstrip(b"\r\n").decode("utf-8", "replace")[:width]


def occurrences(string: str, sought: str) -> Iterator[int]:
    """Yield every index at which a string occurs in another, overlapping ones
    included.
    """
    index = string.find(sought)
    while index >= 0:
        yield index
        index = string.find(sought, index + 1)


@dataclass(frozen=True, slots=True)
class Edit:
    """Rows `start` to `end` (from 0, end excluded) become `lines`; an insertion
    has start equal to end.
    """

    start: int
    end: int
    lines: tuple[bytes, ...]

    @property
    def is_insertion(self) -> bool:
        return self.start == self.end and len(self.lines) > 0


class Text:
    """The lines of one version of a file, with indexes for a fast search.

    A row is the index of a line, from 0.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def lines(self) -> list[bytes]:
        return split_lines(self.data)

    @cached_property
    def cores(self) -> tuple[str, dict[bytes, int]]:
        """One character for each line, equal for lines of equal core
        (`line_keys.core`), and the code point of each core.

        A sequence of lines is found at the speed of a substring. Beyond a
        million different lines characters repeat, so matches must be compared.
        """
        code_points: dict[bytes, int] = {}
        string = StringIO()  # a list of characters would take eight times the memory
        for line in self.lines:
            key = core(line)
            string.write(chr(code_points.setdefault(key, len(code_points) % _CODE_POINTS)))
        return string.getvalue(), code_points

    @cached_property
    def collapsed_rows(self) -> dict[bytes, list[int]]:
        """The rows of the lines that are equal with collapsed blanks
        (`line_keys.collapsed`).
        """
        rows: dict[bytes, list[int]] = {}
        for row, line in enumerate(self.lines):
            rows.setdefault(collapsed(line), []).append(row)
        return rows

    @cached_property
    def solid_cores(self) -> tuple[str, Sequence[int]]:
        """The characters in `cores` of the lines that are not blank, and the
        row of each.
        """
        string, code_points = self.cores
        blank = code_points.get(b"")
        if blank is None:
            return string, range(len(string))
        rows = (row for row, character in enumerate(string) if ord(character) != blank)
        return string.replace(chr(blank), ""), array("L", rows)

    def core_at(self, row: int) -> bytes | None:
        """Return the core of a row, None beyond the end of the file."""
        if row >= len(self.lines):
            return None
        return core(self.lines[row])

    def is_blank(self, row: int) -> bool:
        """Whether the file has a blank line at this row."""
        return self.core_at(row) == b""

    def character_of(self, sought_core: bytes) -> str:
        """Return the character in `cores` of a core, empty if the file lacks
        it.
        """
        code_point = self.cores[1].get(sought_core)
        if code_point is None:
            return ""
        return chr(code_point)

    def string_of(self, sought_cores: Iterable[bytes]) -> str:
        """Return the characters in `cores` of a sequence of cores, empty if the
        file lacks one of them.
        """
        characters = list(map(self.character_of, sought_cores))
        if not all(characters):
            return ""
        return "".join(characters)

    def count_of(self, sought_core: bytes) -> int:
        """Return how many lines have this core."""
        character = self.character_of(sought_core)
        if not character:
            return 0
        string, _ = self.cores
        return string.count(character)

    def rows_of(self, sought_core: bytes) -> Iterator[int]:
        """Yield the rows of the lines with this core, in order."""
        character = self.character_of(sought_core)
        if not character:
            return
        string, _ = self.cores
        row = string.find(character)
        while row >= 0:
            if core(self.lines[row]) == sought_core:
                yield row
            row = string.find(character, row + 1)

    def readable_cores(self) -> Iterator[str]:
        """Yield every different core, in the order of `cores`, cut to a length
        that is cheap to compare.
        """
        return (show(line_core, 200) for line_core in self.cores[1])

    @cached_property
    def uses_crlf(self) -> bool:
        """Whether every line end of the file is CRLF."""
        ends = self.data.count(b"\n")
        return ends > 0 and ends == self.data.count(b"\r\n")

    @cached_property
    def mixes_line_ends(self) -> bool:
        """Whether some lines end in CRLF and others in LF."""
        return 0 < self.data.count(b"\r\n") < self.data.count(b"\n")

    @cached_property
    def is_utf8(self) -> bool:
        try:
            self.data.decode()
        except UnicodeDecodeError:
            return False
        return True

    def can_hold(self, lines: Iterable[bytes]) -> bool:
        """Whether the file can hold these lines, which are UTF-8: they must not
        stand beside bytes of another encoding.
        """
        return all(line.isascii() for line in lines) or self.is_utf8

    def line_of(self, offset: int) -> int:
        """Return the number, from 1, of the line at this offset."""
        return max(1, self.data.count(b"\n", 0, min(offset, len(self.data) - 1)) + 1)

    def starts_line(self, offset: int) -> bool:
        """Whether a line starts at this offset."""
        return offset == 0 or self.data[offset - 1 : offset] == b"\n"

    def candidate(self, line: int) -> str:
        """Return a line, counted from 1, as the candidates of a fault list it."""
        return f"line {line}: {show(self.lines[line - 1])}"

    def insertion(self, after_line: int, data: bytes) -> tuple[bytes, ...]:
        """Return `data` as lines to insert after a line: with the line ends of
        the file, and never joined to the line below.
        """
        if self.uses_crlf and b"\r\n" not in data:
            data = data.replace(b"\n", b"\r\n")
        if data and self._needs_line_end(after_line, data):
            data += self._line_end
        return tuple(split_lines(data))

    def _needs_line_end(self, after_line: int, data: bytes) -> bool:
        """Whether data to insert would be joined to the line below, or would
        leave the file without its last line end.
        """
        if data.endswith(b"\n"):
            return False
        return after_line < len(self.lines) or self._ends_its_last_line

    def apply_edits(self, edits: Iterable[Edit]) -> bytes:
        """Return the bytes after `edits`, which must not overlap.

        A byte order mark stays first, and a missing final newline missing,
        where lines are inserted before or after them.
        """
        ordered = sorted(edits, key=lambda edit: (edit.start, edit.end))
        pieces: list[bytes] = []
        copied = 0  # `data` is copied or replaced up to here
        if ordered and ordered[0].end == 0 and self.data.startswith(BOM):
            pieces.append(BOM)
            copied = len(BOM)
        row = offset = 0  # `row` starts at `offset`
        for edit in ordered:
            offset += self._size(row, edit.start)
            pieces.append(self.data[copied:offset])
            pieces += self._lines_of(edit, follows_open_line=_is_open(pieces))
            offset += self._size(edit.start, edit.end)
            row = edit.end
            copied = max(copied, offset)
        pieces.append(self.data[copied:])
        return b"".join(pieces)

    def line_end_near(self, row: int) -> bytes:
        """Return the line end of a row, or of the nearest row above or below
        that has one.
        """
        for neighbour in (row, row - 1, row + 1):
            if 0 <= neighbour < len(self.lines) and self.lines[neighbour].endswith(b"\n"):
                return _line_end_of(self.lines[neighbour])
        return self._line_end

    @property
    def _line_end(self) -> bytes:
        if self.uses_crlf:
            return b"\r\n"
        return b"\n"

    @property
    def _ends_its_last_line(self) -> bool:
        return self.data.endswith(b"\n")

    def _size(self, start: int, end: int) -> int:
        return sum(map(len, self.lines[start:end]))

    def _lines_of(self, edit: Edit, *, follows_open_line: bool) -> Sequence[bytes]:
        """The lines that an edit writes, with the line end moved if the file
        lacks its last one.
        """
        if not self._is_appended(edit) or self._ends_its_last_line:
            return edit.lines
        *lines, last = edit.lines
        if follows_open_line:
            lines.insert(0, self._line_end)
        return [*lines, last.removesuffix(b"\n").removesuffix(b"\r")]

    def _is_appended(self, edit: Edit) -> bool:
        return edit.is_insertion and edit.start == len(self.lines) > 0


def _line_end_of(line: bytes) -> bytes:
    if line.endswith(b"\r\n"):
        return b"\r\n"
    return b"\n"


def _is_open(pieces: Sequence[bytes]) -> bool:
    """Whether the pieces end in a line without a line end."""
    for piece in reversed(pieces):
        if piece:
            return not piece.endswith(b"\n")
    return False
