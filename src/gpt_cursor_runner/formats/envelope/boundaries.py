"""Finds where in a text the patch begins and ends, between prose, Markdown
fences, heredocs and shell commands.

1. `*** Begin Patch` opens an envelope and `*** End Patch` closes it. An envelope
   without end was cut off.
2. A heredoc that opens right above an envelope must be closed below it. A `<<`
   in any other line is no heredoc.
3. A text with neither begins at its first `*** … File:` and ends with the fence
   around it, or with the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.envelope.heredocs import (
    SEND_COMPLETE,
    SEND_FROM_TOP,
    changes_folder,
    find_folder,
)
from gpt_cursor_runner.formats.envelope.rows import find_filled, find_row
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

BEGIN, END = b"*** Begin Patch", b"*** End Patch"
FILE_HEADERS = (b"*** Add File:", b"*** Delete File:", b"*** Update File:")

_FENCE = re.compile(rb"(`{3,}|~{3,})[^`]*$")
# The end of a heredoc, a shell's quote, a fence, or nothing.
_CLOSES_WRAPPER = re.compile(rb"\w+['\"]?|['\"`~]+|")
# How many lines of wrapper may follow an indented end marker, with the marker.
_MOST_CLOSING_LINES = 3


@dataclass(frozen=True)
class Span:
    """Lines `start` to `end` (from 0, end excluded) have sections of files in
    `folder`. `complete` is False when the end was cut off.
    """

    start: int
    end: int
    folder: str = ""
    complete: bool = True


@dataclass(frozen=True)
class PatchSpans:
    """The parts of a text that are patches. Without spans and faults, the text
    has no patch.
    """

    spans: tuple[Span, ...]
    faults: tuple[TextFault, ...]

    @property
    def is_empty(self) -> bool:
        return not self.spans and not self.faults


def find_patches(lines: Sequence[bytes]) -> PatchSpans:
    """Find the envelopes of a text, or the sections without an envelope."""
    finder = _Finder(lines)
    finder.find()
    return PatchSpans(tuple(finder.spans), tuple(finder.faults))


def inside_fence(lines: Sequence[bytes]) -> Span:
    """The lines inside the fence that begins and ends the text, or all lines."""
    filled = _filled_rows(lines, 0)
    if not filled:
        return Span(0, len(lines))
    first, last = filled[0], filled[-1]
    fence = _opening_fence(lines[first])
    if not fence:
        return Span(0, len(lines))
    if last > first and lines[last].strip() == fence:
        return Span(first + 1, last)
    return Span(first + 1, len(lines), complete=False)


class _Finder:
    def __init__(self, lines: Sequence[bytes]) -> None:
        self.lines = lines
        self.spans: list[Span] = []
        self.faults: list[TextFault] = []
        self.first_end = self._find(_is_end, range(len(lines)))
        self.has_cd = any(map(changes_folder, lines))

    def find(self) -> None:
        begin = self._first_begin()
        if begin is None:
            self._find_without_envelope()
            return
        self._refuse_headers_outside(0, begin)
        while begin is not None:
            begin = self._add_envelope(begin)
        self._refuse_two_folders()

    def _refuse_two_folders(self) -> None:
        # The second `cd` would start in the folder of the first one.
        if len(self.spans) > 1 and any(span.folder for span in self.spans):
            message = "the commands around the patches change folders one after another"
            self._refuse("malformed", message, 0, SEND_FROM_TOP)

    def _first_begin(self) -> int | None:
        """The first envelope. Its marker may be indented if no section precedes
        it.
        """
        for at, line in enumerate(self.lines):
            if _is_indented_begin(line):
                return at
            if _is_file_header(line):
                break
        return self._find(_is_begin, range(len(self.lines)))

    def _add_envelope(self, begin: int) -> int | None:
        """Add the envelope that begins here. Returns the line where the next
        one begins.
        """
        end = self._end_after(begin)
        if end is None:
            last = len(self.lines) - 1
            message = "the patch has no *** End Patch: it was cut off"
            self._refuse("truncated", message, last)
            # Its sections are planned nevertheless, to report their faults too.
            self.spans.append(Span(begin + 1, len(self.lines), complete=False))
            return None
        following = self._find(_is_indented_begin, range(end + 1, len(self.lines)))
        rest_end = len(self.lines)
        if following is not None:
            rest_end = following
        self._refuse_headers_outside(end + 1, rest_end)
        folder = find_folder(self.lines, begin, end, beside_cd=self.has_cd)
        if isinstance(folder, TextFault):
            self.faults.append(folder)
        else:
            self.spans.append(Span(begin + 1, end, folder))
        return following

    def _end_after(self, begin: int) -> int | None:
        marker = self._find(_is_begin_or_end, range(begin + 1, len(self.lines)))
        if marker is None:
            return self._indented_end_after(begin)
        if _is_end(self.lines[marker]):
            return marker
        return None

    def _indented_end_after(self, begin: int) -> int | None:
        if self.first_end is not None:
            return None
        for at in _filled_rows(self.lines, begin + 1)[-_MOST_CLOSING_LINES:]:
            if self._ends_text(at):
                return at
        return None

    def _ends_text(self, at: int) -> bool:
        """Whether an indented end marker is no context line, since only the rest
        of a wrapper follows it.
        """
        if not _is_indented_end(self.lines[at]):
            return False
        return all(_CLOSES_WRAPPER.fullmatch(line.strip()) for line in self.lines[at + 1 :])

    def _refuse_headers_outside(self, start: int, end: int) -> None:
        """Prose may stand outside of an envelope, but no part of a patch."""
        for at in range(start, end):
            line = self.lines[at]
            if _is_file_header(line) or _is_end(line):
                message = f"'{show(line)}' is outside of the patch that *** Begin Patch opens"
                self._refuse("malformed", message, at)

    def _find_without_envelope(self) -> None:
        first = self._find(_is_file_header, range(len(self.lines)))
        if first is None:
            return
        end = self.first_end
        if end is None:
            end = self._end_of_fence(first)
        self.spans.append(Span(first, end, complete=not self.faults))
        self._refuse_headers_outside(end + 1, len(self.lines))

    def _end_of_fence(self, first: int) -> int:
        """The line that closes the fence opened right above `first`; the end of
        the text without one.
        """
        end = len(self.lines)
        above = find_filled(self.lines, range(first - 1, -1, -1))
        if above is None:
            return end
        fence = _opening_fence(self.lines[above])
        if not fence:
            return end
        closing = self._find(lambda line: line.rstrip() == fence, range(first, end))
        if closing is None:
            message = "the fence around the patch is not closed: text is missing"
            self._refuse("truncated", message, end - 1)
            return end
        return closing

    def _find(self, matches: Callable[[bytes], object], rows: Iterable[int]) -> int | None:
        return find_row(matches, self.lines, rows)

    def _refuse(self, code: str, message: str, at: int, step: str = SEND_COMPLETE) -> None:
        self.faults.append(TextFault(code, message, step, at + 1))


def _opening_fence(line: bytes) -> bytes:
    """The backticks or tildes of a line that opens a Markdown fence; empty for
    any other line.
    """
    match = _FENCE.match(line.rstrip())
    return match[1] if match else b""


def _filled_rows(lines: Sequence[bytes], start: int) -> list[int]:
    return [at for at in range(start, len(lines)) if lines[at].strip()]


def _is_begin(line: bytes) -> bool:
    return line.rstrip() == BEGIN


def _is_indented_begin(line: bytes) -> bool:
    return line.strip() == BEGIN


def _is_end(line: bytes) -> bool:
    return line.rstrip() == END


def _is_indented_end(line: bytes) -> bool:
    return line.strip() == END


def _is_begin_or_end(line: bytes) -> bool:
    return line.rstrip() in (BEGIN, END)


def _is_file_header(line: bytes) -> bool:
    return line.startswith(FILE_HEADERS)
