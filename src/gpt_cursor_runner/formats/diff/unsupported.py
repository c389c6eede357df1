"""Recognizes lines of diffs that are not unified, or that do not hold the
changed contents.
"""

from __future__ import annotations

import re

from gpt_cursor_runner.formats.diff.lines import DiffLines
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

_BINARY_FILES = re.compile(rb"(?:Binary files|Files) .{1,5000} and .{1,5000} differ\s*$")
_ENCODED = re.compile(rb"Content-Transfer-Encoding: *(quoted-printable|base64)", re.IGNORECASE)
_OTHER_FORMAT = re.compile(
    rb"\*{15}\s*$"  # context diff
    rb"|\d+(?:,\d+)?[acd](?:\d+(?:,\d+)?)?\s*$"  # normal diff, ed script
)
# A prefix of a line that opens a part: the rest was cut off.
_INCOMPLETE_MARKER = re.compile(rb"@|--|d|di|dif|diff|diff -{1,2}|diff --gi?t?")


def find_unsupported(lines: DiffLines, at: int, *, has_files: bool) -> TextFault | None:
    """Return the fault of a line outside of all files and hunks; None for
    ordinary text.
    """
    line, patch_line = lines[at], at + 1
    if line.startswith((b"diff --cc ", b"diff --combined ")):
        message = "a combined diff compares a merge with several parents at once"
        step = "Send the diff against one parent, as `git diff HEAD^1` makes it."
        return TextFault("malformed", message, step, patch_line)
    if _BINARY_FILES.match(line):
        message = f"'{show(line)}': the diff does not contain the changes of this binary file"
        step = (
            "Send a diff made with `git diff --binary`, or the file as an upsert with contents_b64."
        )
        return TextFault("binary", message, step, patch_line)
    if encoding := _ENCODED.match(line):
        message = f"the diff is in a mail encoded as {encoding[1].decode()}"
        step = "Decode the mail, or send the diff itself."
        return TextFault("malformed", message, step, patch_line)
    if _OTHER_FORMAT.match(line) and _is_other_format(lines, at, has_files):
        message = "this is a context diff, a normal diff or an ed script, not a unified diff"
        step = "Send a unified diff, as `git diff` or `diff -u` makes it."
        return TextFault("malformed", message, step, patch_line)
    return _half_header_fault(lines, at)


def _is_other_format(lines: DiffLines, at: int, has_files: bool) -> bool:
    if lines.starts(at, b"*"):
        return lines.starts(at + 1, b"*** ")
    # Without any file header before it, a line like `12d` is an ed script.
    return lines.starts(at + 1, b"< ", b"> ") or not has_files


def _half_header_fault(lines: DiffLines, at: int) -> TextFault | None:
    half_header = lines.is_half_a_header(at)
    if half_header and lines.starts(at + 1, b"@@"):
        message = "a line '---' has no line '+++' after it"
        return TextFault("malformed", message, "Write both lines, one after the other.", at + 1)
    is_last = at + 1 == len(lines)
    if half_header or (is_last and _INCOMPLETE_MARKER.fullmatch(lines[at])):
        message = f"the text ends after '{show(lines[at])}'"
        return TextFault("truncated", message, "Send the complete patch.", at + 1)
    return None
