"""One hunk of a unified diff, read by its content. The counts of its header are
a hint, never a reason to misread.

1. Lines are read while they look like a hunk's; what ends it depends on whether
   the counts are used up.
2. Counts too small: the hunk goes on as long as its lines do. Counts too large:
   the hunk ends where the next begins.
3. Counts too large at the end of the text: a text cut off, unless earlier hunks
   show that its counts mean nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.diff.lines import DiffLines
from gpt_cursor_runner.formats.hunks import Hunk, HunkLine, Sign
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

_NUMBERED = re.compile(rb"@@+ +-(\d{1,9})(?:,(\d{1,9}))? +\+(\d{1,9})(?:,(\d{1,9}))? +@@")
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
    """What stands at an `@@` line; `end` is where reading goes on, `hunk` is
    None when there are faults.
    """

    hunk: Hunk | None
    faults: list[TextFault]
    end: int
    miscounted: bool = False


@dataclass
class _Counts:
    """Lines that the header still promises; both None when it has no numbers."""

    old: int | None
    new: int | None

    @property
    def open(self) -> bool:
        return bool((self.old or 0) > 0 or (self.new or 0) > 0)

    def take(self, sign: Sign) -> None:
        if self.old is not None and sign != "+":
            self.old -= 1
        if self.new is not None and sign != "-":
            self.new -= 1


def starts_without_header(line: bytes) -> bool:
    """Whether a line may be the first of a hunk whose `@@` line was left out."""
    return line[:1] in _SIGNS and not line.startswith((b"--- ", b"+++ "))


def parse_hunk(lines: DiffLines, at: int, number: int, *, trust_counts: bool = True) -> ParsedHunk:
    """Read the hunk whose `@@` line is `lines[at]`; models leave that line out,
    and stack several without numbers.
    """
    first, body_at = at, at
    anchors = list[bytes]()
    header = None
    while header is None and lines.starts(body_at, b"@@"):
        header = _NUMBERED.match(lines[body_at])
        if header is None:
            if fault := _bad_header(lines, body_at, number):
                return ParsedHunk(None, [fault], _skip(lines, body_at + 1))
            anchors += _anchors(lines[body_at])
        body_at += 1
    counts = _Counts(int(header[2] or 1), int(header[4] or 1)) if header else _Counts(None, None)
    body, end, faults = _read_body(lines, body_at, counts, number)
    if not faults:
        faults = _misplaced_marker(body, number) or _incomplete(
            body, counts, number, first + 1, cut_off=end == len(lines), trust_counts=trust_counts
        )
    old, new = (int(header[1]), int(header[3])) if header else (None, None)
    at_eof = any(not line.data.endswith(b"\n") for line in body)
    hunk = Hunk(
        number,
        tuple(body),
        first + 1,
        old,
        new,
        tuple(anchors),
        at_eof,
        anchors_required=len(anchors) > 1,
    )
    return ParsedHunk(
        None if faults else hunk,
        faults,
        end,
        miscounted=(counts.old or 0, counts.new or 0) != (0, 0),
    )


def _bad_header(lines: DiffLines, at: int, number: int) -> TextFault | None:
    line = lines[at]
    if re.match(rb"@@@+ *-\d", line):
        message = (
            f"'{show(line)}' is a hunk of a combined diff, which compares a merge with several"
            " parents"
        )
        step = "Send the diff against one parent, as `git diff HEAD^1` makes it."
    elif re.match(rb"@@+ *[-+]\d", line):
        message = f"'{show(line)}' is no hunk header"
        step = "Write it as @@ -line,count +line,count @@, or as @@ alone."
    else:
        return None
    return TextFault("malformed", message, step, at + 1, number)


def _anchors(line: bytes) -> list[bytes]:
    """What an `@@` line without numbers names, outermost first; dots and
    numbers name nothing.
    """
    named = [part.strip() for part in line.split(b"@@")]
    return [
        part for part in named if not _NO_ANCHOR.fullmatch(part) and len(part) <= _MOST_ANCHOR_BYTES
    ]


def _read_body(
    lines: DiffLines, at: int, counts: _Counts, number: int
) -> tuple[list[HunkLine], int, list[TextFault]]:
    body: list[HunkLine] = []
    while at < len(lines) and not _ends(lines, at, counts):
        line = lines[at]
        if line.startswith(b"\\"):
            if body:
                body[-1] = _without_newline(body[-1], lines.ended(at, line))
        elif not line.strip(b"\r\n"):
            body.append(HunkLine(" ", line, at + 1))
            counts.take(" ")
        elif (sign := _SIGNS.get(line[:1])) is None:
            fault = TextFault(
                "malformed",
                f"line {at + 1} of the patch is inside a hunk but starts with neither a space, +"
                " nor -",
                "Put one space before a context line, + before an inserted and - before a deleted"
                " one.",
                at + 1,
                number,
            )
            return body, _skip(lines, at), [fault]
        else:
            body.append(HunkLine(sign, lines.ended(at, line[1:]), at + 1))
            counts.take(sign)
        at += 1
    return body, at, []


def _ends(lines: DiffLines, at: int, counts: _Counts) -> bool:
    line = lines[at]
    if line.startswith(_NEXT_PARTS):
        return True
    if lines.is_file_header(at):
        # While lines are due, this may be a deleted "-- " and an inserted "++ "
        # line. It is none when a hunk follows at once, unless these two are
        # just what is due.
        return not counts.open or (
            lines.starts(at + 2, b"@@") and (counts.old, counts.new) != (1, 1)
        )
    if counts.open or line.startswith(b"\\"):
        return False
    if counts.old is not None and lines.is_half_a_header(at):
        return True
    if line.strip(b"\r\n") in (b"-- ", b"--"):
        return True  # the signature that `git format-patch` adds
    if not line.strip():
        following = lines.filled(at)
        return following == len(lines) or _ends(lines, following, counts)
    return line[:1] not in _SIGNS


def _misplaced_marker(body: Sequence[HunkLine], number: int) -> list[TextFault]:
    """A line without newline ends its side of the hunk, as it ends its file."""
    for side in "+-":
        lines = [line for line in body if line.sign != side]
        for line in lines[:-1]:
            if not line.data.endswith(b"\n"):
                message = (
                    f"line {line.patch_line} of the patch has no newline after it, but it is not"
                    " the last one"
                )
                step = (
                    "Leave '\\ No newline at end of file' out, but after the last line of a file."
                )
                return [TextFault("malformed", message, step, line.patch_line, number)]
    return []


def _incomplete(
    body: Sequence[HunkLine],
    counts: _Counts,
    number: int,
    patch_line: int,
    *,
    cut_off: bool,
    trust_counts: bool,
) -> list[TextFault]:
    if not body:
        code, message = "truncated" if cut_off else "malformed", f"hunk {number + 1} has no lines"
        return [
            TextFault(code, message, "Send the hunk with its lines, complete.", patch_line, number)
        ]
    if not (cut_off and counts.open) or (not trust_counts and body[-1].sign == " "):
        return []
    old, new = (sum(line.sign != other for line in body) for other in "+-")
    message = (
        f"hunk {number + 1} promises {old + (counts.old or 0)} old and {new + (counts.new or 0)}"
        f" new lines, but the text ends after {old} and {new}"
    )
    step = (
        f"Send the whole patch; if nothing is missing, correct the counts of the hunk to -…,{old}"
        f" +…,{new}."
    )
    return [TextFault("truncated", message, step, patch_line, number)]


def _without_newline(line: HunkLine, marker: bytes) -> HunkLine:
    end = b"\r\n" if marker.endswith(b"\r\n") else b"\n"
    return HunkLine(line.sign, line.data.removesuffix(end), line.patch_line)


def _skip(lines: DiffLines, at: int) -> int:
    """Where the next part of the diff starts."""
    while (
        at < len(lines) and not lines[at].startswith(_NEXT_PARTS) and not lines.is_file_header(at)
    ):
        at += 1
    return at
