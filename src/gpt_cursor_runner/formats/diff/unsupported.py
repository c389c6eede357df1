"""Recognizes lines of diffs that are not unified, or that do not hold the
changed contents.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gpt_cursor_runner.formats.diff.lines import DiffLines
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

_OTHER_FORMAT = re.compile(
    rb"\*{15}\s*$"  # context diff
    rb"|\d+(?:,\d+)?[acd](?:\d+(?:,\d+)?)?\s*$"  # normal diff, ed script
)
# A prefix of a line that opens a part: the rest was cut off.
_INCOMPLETE_MARKER = re.compile(rb"@|--|d|di|dif|diff|diff -{1,2}|diff --gi?t?")


@dataclass(frozen=True)
class _Unsupported:
    """A kind of line that is refused; `message` quotes the groups of its
    pattern.
    """

    pattern: re.Pattern[bytes]
    code: str
    message: str
    next_step: str


_UNSUPPORTED = (
    _Unsupported(
        re.compile(rb"diff --(?:cc|combined) "),
        "malformed",
        "a combined diff compares a merge with several parents at once",
        "Send the diff against one parent, as `git diff HEAD^1` makes it.",
    ),
    _Unsupported(
        re.compile(rb"((?:Binary files|Files) .{1,5000} and .{1,5000} differ\s*)$"),
        "binary",
        "'{}': the diff does not contain the changes of this binary file",
        "Send a diff made with `git diff --binary`, or the file as an upsert with contents_b64.",
    ),
    _Unsupported(
        re.compile(rb"Content-Transfer-Encoding: *(quoted-printable|base64)", re.IGNORECASE),
        "malformed",
        "the diff is in a mail encoded as {}",
        "Decode the mail, or send the diff itself.",
    ),
)


def find_unsupported(lines: DiffLines, at: int, *, has_files: bool) -> TextFault | None:
    """Return the fault of a line outside of all files and hunks; None for
    ordinary text.
    """
    for kind in _UNSUPPORTED:
        if match := kind.pattern.match(lines[at]):
            message = kind.message.format(*map(show, match.groups()))
            return TextFault(kind.code, message, kind.next_step, at + 1)
    if _is_other_format(lines, at, has_files):
        message = "this is a context diff, a normal diff or an ed script, not a unified diff"
        step = "Send a unified diff, as `git diff` or `diff -u` makes it."
        return TextFault("malformed", message, step, at + 1)
    return _incomplete_header_fault(lines, at)


def _is_other_format(lines: DiffLines, at: int, has_files: bool) -> bool:
    if not _OTHER_FORMAT.match(lines[at]):
        return False
    if lines.starts(at, b"*"):
        return lines.starts(at + 1, b"*** ")
    # Without any file header before it, a line like `12d` is an ed script.
    return lines.starts(at + 1, b"< ", b"> ") or not has_files


def _incomplete_header_fault(lines: DiffLines, at: int) -> TextFault | None:
    if _is_cut_off(lines, at):
        message = f"the text ends after '{show(lines[at])}'"
        return TextFault("truncated", message, "Send the complete patch.", at + 1)
    if lines.is_half_a_header(at):
        message = "a line '---' has no line '+++' after it"
        return TextFault("malformed", message, "Write both lines, one after the other.", at + 1)
    return None


def _is_cut_off(lines: DiffLines, at: int) -> bool:
    """Whether the text ends after a line that may open a part."""
    if lines.is_half_a_header(at):
        return not lines.starts(at + 1, b"@@")
    is_last = at + 1 == len(lines)
    return is_last and _INCOMPLETE_MARKER.fullmatch(lines[at]) is not None
