"""V4A hunks: `@@` and an anchor instead of line numbers, then lines with a
sign.

1. A run of `@@` lines opens a hunk; the first hunk of a file may do without.
2. Lines follow up to the next `@@`, the next marker at the very left, or the
   end.
3. Blank lines at a hunk's end are taken for a gap, not for context, unless `***
   End of File` closes it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from gpt_cursor_runner.formats.hunks import Hunk, HunkLine, Sign
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

END_OF_FILE = b"*** End of File"

_NUMBERED = re.compile(rb"@@ *-(\d{1,9})(?:,\d{1,9})? +\+(\d{1,9})(?:,\d{1,9})? *(?:@@.*)?")
_SIGNS: dict[bytes, Sign] = {b" ": " ", b"+": "+", b"-": "-"}
_NO_ANCHOR = (b"", b"...", "…".encode())


@dataclass(frozen=True)
class ParsedHunks:
    """The hunks of one file; `end` is the line that belongs to them no more."""

    hunks: tuple[Hunk, ...]
    faults: tuple[TextFault, ...]
    end: int


@dataclass
class _Opening:
    """What a run of `@@` lines says."""

    anchors: list[bytes] = field(default_factory=list)
    marks: int = 0
    hints: tuple[int, int] | None = None

    def take(self, line: bytes) -> None:
        if numbered := _NUMBERED.fullmatch(line.rstrip()):
            self.hints = int(numbered[1]), int(numbered[2])
            return
        self.marks += 1
        anchor = line[2:].rstrip().removesuffix(b" @@").rstrip().removeprefix(b" ")
        if anchor.strip() not in _NO_ANCHOR:
            self.anchors.append(anchor)


def parse_hunks(lines: Sequence[bytes], at: int, end: int) -> ParsedHunks:
    """Read hunks from line `at` up to line `end`, or to a marker before it
    (`*** …` at the very left).
    """
    reader = _Reader(lines, at, end)
    while not reader.done():
        reader.parse_hunk()
    return ParsedHunks(tuple(reader.hunks), tuple(reader.faults), reader.at)


class _Reader:
    def __init__(self, lines: Sequence[bytes], at: int, end: int) -> None:
        self.lines, self.at, self.end = lines, at, end
        self.hunks: list[Hunk] = []
        self.faults: list[TextFault] = []
        self.number = 0

    def done(self) -> bool:
        """Pass a gap; whether a marker or the end comes after it."""
        self.at = self._after_blanks(self.at)
        while self.at < self.end and self.lines[self.at].rstrip() == END_OF_FILE:
            self.at = self._after_blanks(self.at + 1)
        return self.at >= self.end or self._starts(b"***", self.at)

    def parse_hunk(self) -> None:
        start, opening = self.at, self._opening()
        if not opening.marks and not opening.hints and self.number:
            self._fault(start, "a line follows the end of a hunk, but no @@ opens another")
            return
        body, at_eof = self._body()
        if body is None:
            return
        if not body:
            self._fault(start, f"hunk {self.number + 1} has no lines", code="malformed")
            return
        floating = (
            opening.hints is None and not opening.anchors and all(line.sign == "+" for line in body)
        )
        self.hunks.append(
            Hunk(
                self.number,
                tuple(body),
                start + 1,
                opening.hints and opening.hints[0],
                opening.hints and opening.hints[1],
                anchors=tuple(opening.anchors),
                at_eof=at_eof or floating,
                anchors_required=bool(opening.anchors) and opening.marks > 1,
            )
        )
        self.number += 1

    def _opening(self) -> _Opening:
        opening = _Opening()
        at = self.at
        while at < self.end and self._starts(b"@@", at):
            opening.take(self.lines[at])
            self.at = at + 1
            at = self._after_blanks(self.at)
        return opening

    def _body(self) -> tuple[list[HunkLine] | None, bool]:
        """The lines of a hunk, and whether they are said to end the file; None
        when a line has no sign.
        """
        body: list[HunkLine] = []
        while self.at < self.end and not self._starts(b"@@", self.at):
            line, at = self.lines[self.at], self.at
            if self._starts(b"***", at):
                if line.rstrip() == END_OF_FILE:
                    self.at += 1
                    return body, True
                break
            if line.startswith(b"\\ ") and body:
                body[-1] = replace(body[-1], data=body[-1].data.rstrip(b"\r\n"))
            elif not line.strip() and line[:1] not in _SIGNS:
                body.append(HunkLine(" ", line, at + 1))
            elif (sign := _SIGNS.get(line[:1])) is None:
                self._fault(
                    at,
                    f"line {at + 1} of the patch starts with neither a space, + nor -:"
                    f" '{show(line)}'",
                )
                return None, False
            else:
                body.append(HunkLine(sign, line[1:], at + 1))
            self.at += 1
        while body and not self._signed(body[-1]):
            body.pop()
        return body, False

    def _signed(self, line: HunkLine) -> bool:
        return self.lines[line.patch_line - 1][:1] in _SIGNS

    def _fault(self, at: int, message: str, code: str = "malformed") -> None:
        step = (
            "Put one space before a context line, + before an inserted and - before a deleted one;"
            " open hunks with @@."
        )
        self.faults.append(TextFault(code, message, step, at + 1, self.number))
        self.number += 1
        while self.at < self.end and not self._starts((b"@@", b"***"), self.at):
            self.at += 1

    def _starts(self, mark: bytes | tuple[bytes, ...], at: int) -> bool:
        return self.lines[at].startswith(mark)

    def _after_blanks(self, at: int) -> int:
        while at < self.end and not self.lines[at].strip() and self.lines[at][:1] not in _SIGNS:
            at += 1
        return at
