"""A file's bytes seen as lines. A line keeps its line end; only LF ends one, so
that every byte survives.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO, StringIO

from gpt_cursor_runner.formats.line_keys import BOM, core, squeezed

_CODE_POINTS = 0x110000


def split_lines(data: bytes) -> list[bytes]:
    """Split after every LF and nowhere else; joining the result gives `data`
    again.
    """
    known: dict[bytes, bytes] = {}  # equal lines are one object: files made of them stay small
    return [known.setdefault(line, line) for line in BytesIO(data)]


def show(data: bytes, width: int = 80) -> str:
    """One line as a person may read it: no line end, at most `width`
    characters, undecodable bytes as U+FFFD.
    """
    return data.rstrip(b"\r\n").decode("utf-8", "replace")[:width]


@dataclass(frozen=True, slots=True)
class Edit:
    """Lines `start` to `end` (from 0, end excluded) become `lines`; an
    insertion has start equal to end.
    """

    start: int
    end: int
    lines: tuple[bytes, ...]


class Text:
    """The lines of one version of a file, with the indexes that make searching
    it cheap.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    @cached_property
    def lines(self) -> list[bytes]:
        return split_lines(self.data)

    @cached_property
    def cores(self) -> tuple[str, dict[bytes, int]]:
        """One character for each line, the same for lines of the same core
        (`line_keys.core`), and their code points.

        Sequences of lines are so found at the speed of a substring. Beyond a
        million different lines characters repeat, so what is found must be
        compared.
        """
        known: dict[bytes, int] = {}
        string = StringIO()  # a list of characters would take eight times the room
        for line in self.lines:
            key = core(line)
            string.write(chr(known.setdefault(key, len(known) % _CODE_POINTS)))
        return string.getvalue(), known

    @cached_property
    def squeezed(self) -> dict[bytes, list[int]]:
        """Where the lines stand (from 0) that are the same but for how many
        blanks they hold (`line_keys.squeezed`).
        """
        rows: dict[bytes, list[int]] = {}
        for row, line in enumerate(self.lines):
            rows.setdefault(squeezed(line), []).append(row)
        return rows

    @cached_property
    def solid(self) -> tuple[str, Sequence[int]]:
        """The characters of the lines that are not blank, and the row of each."""
        string, known = self.cores
        blank = known.get(b"")
        if blank is None:
            return string, range(len(string))
        return string.replace(chr(blank), ""), array(
            "L", (row for row, one in enumerate(string) if ord(one) != blank)
        )

    def rows_of(self, core_sought: bytes) -> Iterator[int]:
        """Where lines of this core stand (from 0), in order."""
        string, known = self.cores
        if core_sought not in known:
            return
        character = chr(known[core_sought])
        row = string.find(character)
        while row >= 0:
            if core(self.lines[row]) == core_sought:
                yield row
            row = string.find(character, row + 1)

    def readable(self) -> Iterator[str]:
        """Every different core, in the order of `cores`, cut to a length that
        is cheap to compare.
        """
        return (show(one, 200) for one in self.cores[1])

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

    def takes(self, lines: Iterable[bytes]) -> bool:
        """Whether these lines, in UTF-8, may stand in the file: not beside
        bytes of another encoding.
        """
        return all(line.isascii() for line in lines) or self.is_utf8

    def line_of(self, offset: int) -> int:
        """The number, from 1, of the line that holds this offset."""
        return max(1, self.data.count(b"\n", 0, min(offset, len(self.data) - 1)) + 1)

    def starts_line(self, offset: int) -> bool:
        """Whether a line starts at this offset."""
        return offset == 0 or self.data[offset - 1 : offset] == b"\n"

    def candidate(self, line: int) -> str:
        """A place as listed in a refusal: `line` counts from 1."""
        return f"line {line}: {show(self.lines[line - 1])}"

    def insertion(self, after_line: int, data: bytes) -> tuple[bytes, ...]:
        """`data` as lines that may stand after `after_line`: the file's own
        line ends, never glued to a neighbour.
        """
        if self.uses_crlf and b"\r\n" not in data:
            data = data.replace(b"\n", b"\r\n")
        lines = split_lines(data)
        if (
            lines
            and not lines[-1].endswith(b"\n")
            and (after_line < len(self.lines) or self._ends_its_last_line)
        ):
            lines[-1] += self._line_end
        return tuple(lines)

    def edited(self, edits: Iterable[Edit]) -> bytes:
        """The bytes after `edits`, which must not overlap. BOM and missing
        final newline stay where lines are added.
        """
        ordered = sorted(edits, key=lambda edit: (edit.start, edit.end))
        bom = BOM if self.data.startswith(BOM) and ordered and ordered[0].end == 0 else b""
        pieces, kept, row, offset = (
            [bom],
            len(bom),
            0,
            0,
        )  # data is dealt with up to `kept`; `row` starts at `offset`
        for edit in ordered:
            offset += self._size(row, edit.start)
            pieces.append(self.data[kept:offset])
            above = next((piece for piece in reversed(pieces) if piece), b"")
            pieces += self._joined(
                edit, follows_open_line=bool(above) and not above.endswith(b"\n")
            )
            offset, row = offset + self._size(edit.start, edit.end), edit.end
            kept = max(kept, offset)
        return b"".join((*pieces, self.data[kept:]))

    def line_end_near(self, row: int) -> bytes:
        """The line end of a line (from 0), or of the nearest above or below it
        that has one.
        """
        for neighbour in (row, row - 1, row + 1):
            if 0 <= neighbour < len(self.lines) and self.lines[neighbour].endswith(b"\n"):
                return b"\r\n" if self.lines[neighbour].endswith(b"\r\n") else b"\n"
        return self._line_end

    @property
    def _line_end(self) -> bytes:
        return b"\r\n" if self.uses_crlf else b"\n"

    @property
    def _ends_its_last_line(self) -> bool:
        return self.data.endswith(b"\n")

    def _size(self, start: int, end: int) -> int:
        return sum(map(len, self.lines[start:end]))

    def _joined(self, edit: Edit, *, follows_open_line: bool) -> Sequence[bytes]:
        if edit.start != edit.end or not edit.lines:
            return edit.lines
        if edit.start == len(self.lines) > 0 and not self._ends_its_last_line:
            last = edit.lines[-1].removesuffix(b"\n").removesuffix(b"\r")
            return (*([self._line_end] if follows_open_line else []), *edit.lines[:-1], last)
        return edit.lines
