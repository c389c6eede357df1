"""Parses V4A hunks: `@@` and an anchor instead of line numbers, then lines with
a sign.

1. One or more `@@` lines open a hunk; the first hunk of a file may lack them.
2. The hunk's lines reach to the next `@@`, to the next marker without indent, or
   to the end.
3. Blank lines at a hunk's end are a gap, not context, unless `*** End of File`
   follows them.
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
    """The hunks of one file; `end` is the first line after them."""

    hunks: tuple[Hunk, ...]
    faults: tuple[TextFault, ...]
    end: int

    @property
    def is_empty(self) -> bool:
        return not self.hunks and not self.faults


@dataclass
class _Opening:
    """The `@@` lines that open one hunk: anchors, or the line numbers of a
    diff's header.
    """

    anchors: list[bytes] = field(default_factory=list)
    anchor_lines: int = 0
    old_start: int | None = None
    new_start: int | None = None

    def add(self, line: bytes) -> None:
        if match := _NUMBERED.fullmatch(line.rstrip()):
            self.old_start, self.new_start = int(match[1]), int(match[2])
            return
        self.anchor_lines += 1
        # Models close the line with a second `@@`, as in a diff.
        anchor = line[2:].rstrip().removesuffix(b" @@").rstrip().removeprefix(b" ")
        if anchor.strip() not in _NO_ANCHOR:
            self.anchors.append(anchor)

    @property
    def has_lines(self) -> bool:
        return self.anchor_lines > 0 or self.old_start is not None

    @property
    def is_stacked(self) -> bool:
        return bool(self.anchors) and self.anchor_lines > 1

    @property
    def locates(self) -> bool:
        """Whether the opening determines where the hunk belongs."""
        return bool(self.anchors) or self.old_start is not None


def parse_hunks(lines: Sequence[bytes], at: int, end: int) -> ParsedHunks:
    """Parse hunks from line `at` up to line `end`, or to a marker (`*** …`)
    before it.
    """
    parser = _Parser(lines, at, end)
    while parser.skip_to_hunk():
        parser.parse_hunk()
    return ParsedHunks(tuple(parser.hunks), tuple(parser.faults), parser.at)


class _Refused(Exception):
    """The hunk is refused because of line `at`."""

    def __init__(self, at: int, message: str) -> None:
        super().__init__(message)
        self.at = at


class _Parser:
    def __init__(self, lines: Sequence[bytes], at: int, end: int) -> None:
        self.lines, self.at, self.end = lines, at, end
        self.hunks: list[Hunk] = []
        self.faults: list[TextFault] = []
        self.number = 0

    def skip_to_hunk(self) -> bool:
        """Skip a gap between hunks. Returns False when no hunk follows it."""
        self.at = self._after_blanks(self.at)
        while self._is_at_end_of_file():
            self.at = self._after_blanks(self.at + 1)
        return self.at < self.end and not self._starts(b"***", self.at)

    def parse_hunk(self) -> None:
        try:
            self.hunks.append(self._parse())
        except _Refused as refused:
            step = (
                "Put one space before a context line, + before an inserted and - before a deleted"
                " line; open each hunk with @@."
            )
            fault = TextFault("malformed", str(refused), step, refused.at + 1, self.number)
            self.faults.append(fault)
            self._skip_hunk()
        self.number += 1

    def _parse(self) -> Hunk:
        start, opening = self.at, self._parse_opening()
        if self.number and not opening.has_lines:
            raise _Refused(start, "a line follows the end of a hunk, but no @@ opens another")
        body, ends_file = self._parse_body()
        if not body:
            raise _Refused(start, f"hunk {self.number + 1} has no lines")
        return Hunk(
            self.number,
            tuple(body),
            start + 1,
            opening.old_start,
            opening.new_start,
            anchors=tuple(opening.anchors),
            at_eof=ends_file or _is_appended(body, opening),
            anchors_required=opening.is_stacked,
        )

    def _parse_opening(self) -> _Opening:
        opening = _Opening()
        at = self.at
        while at < self.end and self._starts(b"@@", at):
            opening.add(self.lines[at])
            self.at = at + 1
            at = self._after_blanks(self.at)
        return opening

    def _parse_body(self) -> tuple[list[HunkLine], bool]:
        """The lines of a hunk, and whether `*** End of File` follows them."""
        body = self._parse_lines()
        if self._is_at_end_of_file():
            self.at += 1
            return body, True
        self._drop_gap(body)
        return body, False

    def _parse_lines(self) -> list[HunkLine]:
        body: list[HunkLine] = []
        while self._is_inside_hunk():
            line = self.lines[self.at]
            if body and line.startswith(b"\\ "):
                body[-1] = replace(body[-1], data=body[-1].data.rstrip(b"\r\n"))
            else:
                body.append(self._parse_line(line))
            self.at += 1
        return body

    def _parse_line(self, line: bytes) -> HunkLine:
        patch_line = self.at + 1
        sign = _SIGNS.get(line[:1])
        if sign:
            return HunkLine(sign, line[1:], patch_line)
        # Models strip the space of a blank context line.
        if not line.strip():
            return HunkLine(" ", line, patch_line)
        message = (
            f"line {patch_line} of the patch starts with neither a space, + nor -: '{show(line)}'"
        )
        raise _Refused(self.at, message)

    def _drop_gap(self, body: list[HunkLine]) -> None:
        """Drop the blank lines without sign at the end of a hunk."""
        while body and self.lines[body[-1].patch_line - 1][:1] not in _SIGNS:
            body.pop()

    def _skip_hunk(self) -> None:
        while self._is_inside_hunk():
            self.at += 1

    def _is_inside_hunk(self) -> bool:
        return self.at < self.end and not self._starts((b"@@", b"***"), self.at)

    def _is_at_end_of_file(self) -> bool:
        return self.at < self.end and self.lines[self.at].rstrip() == END_OF_FILE

    def _starts(self, mark: bytes | tuple[bytes, ...], at: int) -> bool:
        return self.lines[at].startswith(mark)

    def _after_blanks(self, at: int) -> int:
        while at < self.end and not self.lines[at].strip() and self.lines[at][:1] not in _SIGNS:
            at += 1
        return at


def _is_appended(body: Sequence[HunkLine], opening: _Opening) -> bool:
    """Whether a hunk has insertions only, without any place: these go to the end
    of the file.
    """
    return not opening.locates and all(line.sign == "+" for line in body)
