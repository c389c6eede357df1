"""Parses one hunk of a unified diff by its lines. The counts in its header only
guide the parser, since models miscount.

1. Lines belong to the hunk while they look like lines of a hunk. The line that
   ends it depends on whether the counts are used up.
2. Counts too small: the hunk goes on as long as its lines do. Counts too large:
   the hunk ends where the next part of the diff begins.
3. Counts too large at the end of the text: the text was cut off, unless earlier
   hunks have shown that the counts of this diff are wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from gpt_cursor_runner.formats.diff.lines import DiffLines
from gpt_cursor_runner.formats.hunks import Hunk, HunkLine, Sign
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

_NUMBERED_HEADER = re.compile(rb"@@+ +-(\d{1,9})(?:,(\d{1,9}))? +\+(\d{1,9})(?:,(\d{1,9}))? +@@")
# Patterns of headers that are refused, with a description and the next step.
_WRONG_HEADERS = (
    (
        re.compile(rb"@@@+ *-\d"),
        "a hunk of a combined diff, which compares a merge with several parents",
        "Send the diff against one parent, as `git diff HEAD^1` makes it.",
    ),
    (
        re.compile(rb"@@+ *[-+]\d"),
        "not a hunk header",
        "Write it as @@ -line,count +line,count @@, or as @@ alone.",
    ),
)
_NO_ANCHOR = re.compile(rb"[\s\d.,+-]*|\xe2\x80\xa6")
_MOST_ANCHOR_BYTES = 1000
_SIGNS: dict[bytes, Sign] = {b" ": " ", b"+": "+", b"-": "-"}
_SIGNATURES = (b"-- ", b"--")  # `git format-patch` writes it under a diff
_LINE_STARTS = frozenset((*_SIGNS, b"\\"))


@dataclass(frozen=True)
class ParsedHunk:
    """The result of parsing at an `@@` line: either a hunk or a fault. Parsing
    goes on at line `end`.
    """

    hunk: Hunk | None
    fault: TextFault | None
    end: int
    miscounted: bool = False


class _Refused(Exception):
    """The hunk is refused with this fault."""

    def __init__(self, fault: TextFault) -> None:
        super().__init__(fault.message)
        self.fault = fault


@dataclass
class _Header:
    """The `@@` lines that open a hunk. `old_left` and `new_left` are the lines
    still to come by its counts, if it has counts.
    """

    anchors: tuple[bytes, ...] = ()
    old_start: int | None = None
    new_start: int | None = None
    has_counts: bool = False
    old_left: int = 0
    new_left: int = 0

    @property
    def expects_lines(self) -> bool:
        return self.old_left > 0 or self.new_left > 0

    @property
    def miscounts(self) -> bool:
        return self.has_counts and (self.old_left, self.new_left) != (0, 0)

    def count(self, sign: Sign) -> None:
        self.old_left -= sign != "+"
        self.new_left -= sign != "-"


def starts_without_header(line: bytes) -> bool:
    """Whether a line may be the first of a hunk whose `@@` line was left out."""
    return line[:1] in _SIGNS and not line.startswith((b"--- ", b"+++ "))


def parse_hunk(lines: DiffLines, at: int, number: int, *, trust_counts: bool = True) -> ParsedHunk:
    """Parse the hunk that starts at `lines[at]`, with or without an `@@` line."""
    parser = _Parser(lines, at, number, trust_counts)
    hunk, fault = None, None
    try:
        hunk = parser.parse()
    except _Refused as refused:
        fault = refused.fault
    return ParsedHunk(hunk, fault, parser.at, parser.header.miscounts)


class _Parser:
    def __init__(self, lines: DiffLines, at: int, number: int, trust_counts: bool) -> None:
        self.lines = lines
        self.at = at
        self.number = number
        self.trust_counts = trust_counts
        self.header = _Header()

    def parse(self) -> Hunk:
        patch_line = self.at + 1
        self._parse_header()
        body = self._parse_body()
        if not body:
            raise self._no_lines(patch_line)
        hunk = Hunk(
            self.number,
            tuple(body),
            patch_line,
            self.header.old_start,
            self.header.new_start,
            self.header.anchors,
            at_eof=not all(line.data.endswith(b"\n") for line in body),
            anchors_required=len(self.header.anchors) > 1,
        )
        if hunk.at_eof:
            self._check_ended(hunk.old[:-1] + hunk.new[:-1])
        if self._is_cut_off(hunk):
            raise self._cut_off(hunk)
        return hunk

    def _parse_header(self) -> None:
        """Parse the `@@` lines. Models leave them out, or write several without
        numbers.
        """
        anchors: tuple[bytes, ...] = ()
        while self.lines.starts(self.at, b"@@"):
            line = self.lines[self.at]
            self.at += 1
            if match := _NUMBERED_HEADER.match(line):
                old_start, old_count, new_start, new_count = map(int, match.groups(b"1"))
                self.header = _Header(anchors, old_start, new_start, True, old_count, new_count)
                return
            self._check_header(line)
            anchors += _anchors(line)
        self.header = _Header(anchors)

    def _check_header(self, line: bytes) -> None:
        for pattern, description, step in _WRONG_HEADERS:
            if pattern.match(line):
                refused = self._refused(f"'{show(line)}' is {description}", step, self.at)
                self.at = _next_part(self.lines, self.at)
                raise refused

    def _parse_body(self) -> list[HunkLine]:
        body: list[HunkLine] = []
        while not _ends_hunk(self.lines, self.at, self.header):
            line = self.lines[self.at]
            if line.startswith(b"\\"):
                self._remove_newline(body, self.lines.ended(line))
            else:
                body.append(self._parse_line(line))
                self.header.count(body[-1].sign)
            self.at += 1
        return body

    def _remove_newline(self, body: list[HunkLine], marker: bytes) -> None:
        """Remove the line end of the last line, which is that of `marker`."""
        if not body:
            return
        end = b"\n"
        if marker.endswith(b"\r\n"):
            end = b"\r\n"
        body[-1] = replace(body[-1], data=body[-1].data.removesuffix(end))

    def _parse_line(self, line: bytes) -> HunkLine:
        patch_line = self.at + 1
        sign = _SIGNS.get(line[:1])
        if sign:
            return HunkLine(sign, self.lines.ended(line[1:]), patch_line)
        # Editors and chats strip the space of a blank context line.
        if not line.strip(b"\r\n"):
            return HunkLine(" ", line, patch_line)
        self.at = _next_part(self.lines, self.at)
        raise self._unsigned(patch_line)

    def _check_ended(self, inner_lines: Iterable[HunkLine]) -> None:
        """Check that all lines but the last of each side have a newline: a line
        without one ends its file.
        """
        for line in inner_lines:
            if not line.data.endswith(b"\n"):
                message = (
                    f"line {line.patch_line} of the patch is marked as having no newline, but it is"
                    " not the last line of its file"
                )
                step = "Write '\\ No newline at end of file' only after the last line of a file."
                raise self._refused(message, step, line.patch_line)

    def _is_cut_off(self, hunk: Hunk) -> bool:
        if self.at < len(self.lines):
            return False
        # Wrong counts in earlier hunks make these counts weak evidence, and a
        # last line of context suggests that the hunk is complete.
        if not self.trust_counts and hunk.lines[-1].sign == " ":
            return False
        return self.header.expects_lines

    def _no_lines(self, patch_line: int) -> _Refused:
        code = "malformed"
        if self.at == len(self.lines):
            code = "truncated"
        message = f"hunk {self.number + 1} has no lines"
        return self._refused(message, "Send the hunk with all its lines.", patch_line, code)

    def _unsigned(self, patch_line: int) -> _Refused:
        message = (
            f"line {patch_line} of the patch is inside a hunk but starts with neither a space, +"
            " nor -"
        )
        step = (
            "Put one space before a context line, + before an inserted and - before a deleted line."
        )
        return self._refused(message, step, patch_line)

    def _cut_off(self, hunk: Hunk) -> _Refused:
        old, new = len(hunk.old), len(hunk.new)
        message = (
            f"the header of hunk {self.number + 1} announces {old + self.header.old_left} old and"
            f" {new + self.header.new_left} new lines, but the text ends after {old} and {new}"
        )
        step = (
            "Send the complete patch; if nothing is missing, correct the counts of the hunk to"
            f" -…,{old} +…,{new}."
        )
        return self._refused(message, step, hunk.patch_line, "truncated")

    def _refused(
        self, message: str, step: str, patch_line: int, code: str = "malformed"
    ) -> _Refused:
        return _Refused(TextFault(code, message, step, patch_line, self.number))


def _anchors(line: bytes) -> tuple[bytes, ...]:
    """The anchors in an `@@` line without numbers, outermost first."""
    parts = [part.strip() for part in line.split(b"@@")]
    return tuple(filter(_is_anchor, parts))


def _is_anchor(text: bytes) -> bool:
    # Dots and numbers are no anchors.
    return len(text) <= _MOST_ANCHOR_BYTES and not _NO_ANCHOR.fullmatch(text)


def _ends_hunk(lines: DiffLines, at: int, header: _Header) -> bool:
    if lines.starts_part(at):
        return True
    if lines.is_file_header(at):
        return not _is_body(lines, at, header)
    if header.expects_lines:
        return False
    return _ends_counted_hunk(lines, at, header)


def _ends_counted_hunk(lines: DiffLines, at: int, header: _Header) -> bool:
    """Whether a line ends a hunk whose counts are used up, or that has none."""
    line = lines[at]
    if not line.strip():
        return _ends_hunk(lines, lines.filled(at), header)
    if header.has_counts and lines.is_half_a_header(at):
        return True
    return line[:1] not in _LINE_STARTS or line.rstrip(b"\r\n") in _SIGNATURES


def _is_body(lines: DiffLines, at: int, header: _Header) -> bool:
    """Whether the `---` and `+++` here are a deleted "-- " line and an inserted
    "++ " line.
    """
    if not header.expects_lines:
        return False
    # With an `@@` line below, they are the last two lines of this hunk only if
    # the counts expect exactly these.
    return not lines.starts(at + 2, b"@@") or (header.old_left, header.new_left) == (1, 1)


def _next_part(lines: DiffLines, start: int) -> int:
    """The line, from `start` on, where the next part of the diff starts."""
    for at in range(start, len(lines)):
        if lines.starts_part(at) or lines.is_file_header(at):
            return at
    return len(lines)
