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
from collections.abc import Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.diff.lines import DiffLines
from gpt_cursor_runner.formats.hunks import Hunk, HunkLine, Sign
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

_NUMBERED_HEADER = re.compile(rb"@@+ +-(\d{1,9})(?:,(\d{1,9}))? +\+(\d{1,9})(?:,(\d{1,9}))? +@@")
_COMBINED_HEADER = re.compile(rb"@@@+ *-\d")
_BROKEN_HEADER = re.compile(rb"@@+ *[-+]\d")
_NO_ANCHOR = re.compile(rb"[\s\d.,+-]*|\xe2\x80\xa6")
_MOST_ANCHOR_BYTES = 1000
_SIGNS: dict[bytes, Sign] = {b" ": " ", b"+": "+", b"-": "-"}
_NEXT_PARTS = (
    b"@@",
    b"diff -",
    b"Index: ",
    b"```",
    b"GIT binary patch",
    b"Only in ",
    b"Binary files ",
)


@dataclass(frozen=True)
class ParsedHunk:
    """The result of parsing at an `@@` line: `hunk` is None when there are
    faults. Parsing goes on at line `end`.
    """

    hunk: Hunk | None
    faults: list[TextFault]
    end: int
    miscounted: bool = False


@dataclass
class _Header:
    """The `@@` lines that open a hunk. `old_left` and `new_left` are the lines
    still to come by its counts; None without counts.
    """

    old_start: int | None = None
    new_start: int | None = None
    old_left: int | None = None
    new_left: int | None = None
    anchors: tuple[bytes, ...] = ()

    @property
    def expects_lines(self) -> bool:
        return (self.old_left or 0) > 0 or (self.new_left or 0) > 0

    @property
    def miscounts(self) -> bool:
        return bool(self.old_left or self.new_left)

    def count(self, sign: Sign) -> None:
        if self.old_left is not None and sign != "+":
            self.old_left -= 1
        if self.new_left is not None and sign != "-":
            self.new_left -= 1


def starts_without_header(line: bytes) -> bool:
    """Whether a line may be the first of a hunk whose `@@` line was left out."""
    return line[:1] in _SIGNS and not line.startswith((b"--- ", b"+++ "))


def parse_hunk(lines: DiffLines, at: int, number: int, *, trust_counts: bool = True) -> ParsedHunk:
    """Parse the hunk that starts at `lines[at]`, with or without an `@@` line."""
    header, body_at, faults = _parse_header(lines, at, number)
    if faults:
        return ParsedHunk(None, faults, _next_part(lines, body_at))
    body, end, faults = _parse_body(lines, body_at, header, number)
    if not faults:
        faults = _missing_newline_faults(body, number)
    if not faults:
        cut_off = end == len(lines)
        faults = _incomplete_faults(body, header, number, at + 1, cut_off, trust_counts)
    if faults:
        return ParsedHunk(None, faults, end, header.miscounts)
    hunk = Hunk(
        number,
        tuple(body),
        at + 1,
        header.old_start,
        header.new_start,
        header.anchors,
        at_eof=any(not line.data.endswith(b"\n") for line in body),
        anchors_required=len(header.anchors) > 1,
    )
    return ParsedHunk(hunk, [], end, header.miscounts)


def _parse_header(lines: DiffLines, at: int, number: int) -> tuple[_Header, int, list[TextFault]]:
    """The header of a hunk and the line after it. Models leave it out, or write
    several `@@` lines without numbers.
    """
    anchors: tuple[bytes, ...] = ()
    while lines.starts(at, b"@@"):
        line = lines[at]
        if match := _NUMBERED_HEADER.match(line):
            old_left, new_left = int(match[2] or 1), int(match[4] or 1)
            header = _Header(int(match[1]), int(match[3]), old_left, new_left, anchors)
            return header, at + 1, []
        at += 1
        if fault := _header_fault(line, at, number):
            return _Header(), at, [fault]
        anchors += _anchors(line)
    return _Header(anchors=anchors), at, []


def _header_fault(line: bytes, patch_line: int, number: int) -> TextFault | None:
    if _COMBINED_HEADER.match(line):
        message = (
            f"'{show(line)}' is a hunk of a combined diff, which compares a merge with several"
            " parents"
        )
        step = "Send the diff against one parent, as `git diff HEAD^1` makes it."
    elif _BROKEN_HEADER.match(line):
        message = f"'{show(line)}' is not a hunk header"
        step = "Write it as @@ -line,count +line,count @@, or as @@ alone."
    else:
        return None
    return TextFault("malformed", message, step, patch_line, number)


def _anchors(line: bytes) -> tuple[bytes, ...]:
    """The anchors in an `@@` line without numbers, outermost first. Dots and
    numbers are no anchors.
    """
    anchors = [part.strip() for part in line.split(b"@@")]
    return tuple(
        anchor
        for anchor in anchors
        if not _NO_ANCHOR.fullmatch(anchor) and len(anchor) <= _MOST_ANCHOR_BYTES
    )


def _parse_body(
    lines: DiffLines, at: int, header: _Header, number: int
) -> tuple[list[HunkLine], int, list[TextFault]]:
    body: list[HunkLine] = []
    while at < len(lines) and not _ends_hunk(lines, at, header):
        line = lines[at]
        if line.startswith(b"\\"):
            if body:
                body[-1] = _without_newline(body[-1], lines.ended(at, line))
        elif not line.strip(b"\r\n"):
            # Editors and chats strip the space of a blank context line.
            body.append(HunkLine(" ", line, at + 1))
            header.count(" ")
        elif sign := _SIGNS.get(line[:1]):
            body.append(HunkLine(sign, lines.ended(at, line[1:]), at + 1))
            header.count(sign)
        else:
            return body, _next_part(lines, at), [_unsigned_line(at + 1, number)]
        at += 1
    return body, at, []


def _unsigned_line(patch_line: int, number: int) -> TextFault:
    message = (
        f"line {patch_line} of the patch is inside a hunk but starts with neither a space, + nor -"
    )
    step = "Put one space before a context line, + before an inserted and - before a deleted line."
    return TextFault("malformed", message, step, patch_line, number)


def _ends_hunk(lines: DiffLines, at: int, header: _Header) -> bool:
    line = lines[at]
    if line.startswith(_NEXT_PARTS):
        return True
    if lines.is_file_header(at):
        return not _is_body(lines, at, header)
    if header.expects_lines or line.startswith(b"\\"):
        return False
    return _ends_counted_hunk(lines, at, header)


def _ends_counted_hunk(lines: DiffLines, at: int, header: _Header) -> bool:
    """Whether a line ends a hunk whose counts are used up, or that has none."""
    line = lines[at]
    if header.old_left is not None and lines.is_half_a_header(at):
        return True
    if line.strip(b"\r\n") in (b"-- ", b"--"):
        return True  # the signature that `git format-patch` adds
    if line.strip():
        return line[:1] not in _SIGNS
    following = lines.filled(at)
    return following == len(lines) or _ends_hunk(lines, following, header)


def _is_body(lines: DiffLines, at: int, header: _Header) -> bool:
    """Whether the `---` and `+++` here are a deleted "-- " line and an inserted
    "++ " line.
    """
    if not header.expects_lines:
        return False
    # With an `@@` line below, they are the last two lines of this hunk only if
    # the counts expect exactly these.
    return not lines.starts(at + 2, b"@@") or (header.old_left, header.new_left) == (1, 1)


def _missing_newline_faults(body: Sequence[HunkLine], number: int) -> list[TextFault]:
    """A line without newline ends its file, so it must be the last line of its
    side of the hunk.
    """
    for side in "+-":
        lines = [line for line in body if line.sign != side]
        for line in lines[:-1]:
            if not line.data.endswith(b"\n"):
                message = (
                    f"line {line.patch_line} of the patch is marked as having no newline, but it is"
                    " not the last line of its file"
                )
                step = "Write '\\ No newline at end of file' only after the last line of a file."
                return [TextFault("malformed", message, step, line.patch_line, number)]
    return []


def _incomplete_faults(
    body: Sequence[HunkLine],
    header: _Header,
    number: int,
    patch_line: int,
    cut_off: bool,
    trust_counts: bool,
) -> list[TextFault]:
    if not body:
        code = "truncated" if cut_off else "malformed"
        message = f"hunk {number + 1} has no lines"
        return [TextFault(code, message, "Send the hunk with all its lines.", patch_line, number)]
    if not cut_off or not header.expects_lines:
        return []
    # Wrong counts in earlier hunks make these counts weak evidence, and a last
    # line of context suggests that the hunk is complete.
    if not trust_counts and body[-1].sign == " ":
        return []
    return [_truncated_hunk(body, header, number, patch_line)]


def _truncated_hunk(
    body: Sequence[HunkLine], header: _Header, number: int, patch_line: int
) -> TextFault:
    old = sum(line.sign != "+" for line in body)
    new = sum(line.sign != "-" for line in body)
    message = (
        f"the header of hunk {number + 1} announces {old + (header.old_left or 0)} old and"
        f" {new + (header.new_left or 0)} new lines, but the text ends after {old} and {new}"
    )
    step = (
        "Send the complete patch; if nothing is missing, correct the counts of the hunk to"
        f" -…,{old} +…,{new}."
    )
    return TextFault("truncated", message, step, patch_line, number)


def _without_newline(line: HunkLine, marker: bytes) -> HunkLine:
    end = b"\r\n" if marker.endswith(b"\r\n") else b"\n"
    return HunkLine(line.sign, line.data.removesuffix(end), line.patch_line)


def _next_part(lines: DiffLines, at: int) -> int:
    """The line, from `at` on, where the next part of the diff starts."""
    while at < len(lines):
        if lines[at].startswith(_NEXT_PARTS) or lines.is_file_header(at):
            break
        at += 1
    return at
