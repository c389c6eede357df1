"""Where in a text the patch begins and ends: past prose, Markdown fences,
heredocs and shells around it.

1. `*** Begin Patch` opens an envelope and `*** End Patch` closes it. One that
   is not closed is cut off.
2. A heredoc that opens right above has to be closed below; any other line with
   `<<` there is no heredoc.
3. A text with neither begins at its first `*** … File:` and ends with the fence
   around it, or with the text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

BEGIN, END = b"*** Begin Patch", b"*** End Patch"
FILE_HEADERS = (b"*** Add File:", b"*** Delete File:", b"*** Update File:")

_WHOLE = (
    "Send the whole patch, from *** Begin Patch to *** End Patch, and what surrounds it whole or"
    " not at all."
)
_FROM_TOP = "Send the bare patch, its paths named from the top of the repository, without cd."
_HEREDOC = re.compile(
    rb"(?:\$ +)?(?:(?:bash|sh|zsh) +-l?c +(?P<shell>['\"]))?(?:cd +(?P<folder>[\w./-]+) *&& *)?"
    rb"(?:(?:apply_?patch|cat) *)?<<-? *(?P<quote>['\"]?)(?P<word>\w+)(?P=quote)(?: *\|"
    rb" *apply_?patch)?"
)
_LIKE_HEREDOC = re.compile(rb"<<-? *['\"]?\w+['\"]?(?: *\|.*)?$")
_MOVING = re.compile(rb"(?:cd|pushd) ")
_BENT_BY_SHELL = {b"'": re.compile(rb"'"), b'"': re.compile(rb'["$`\\]')}


@dataclass(frozen=True)
class Span:
    """Lines `start` to `end` (from 0, end excluded) hold sections, of files in
    `folder`. `whole`: not cut off.
    """

    start: int
    end: int
    folder: str = ""
    whole: bool = True


@dataclass(frozen=True)
class Wrapped:
    """The parts of a text that are patch. No span and no fault: there is none
    in it.
    """

    spans: tuple[Span, ...]
    faults: tuple[TextFault, ...]


def find_patch(lines: Sequence[bytes]) -> Wrapped:
    """Find the envelopes of a text, or the sections that stand in it without
    one.
    """
    return _Finder(lines).outcome()


def unfenced(lines: Sequence[bytes]) -> Span:
    """What stands inside the fence that the text begins and ends with, or the
    whole text.
    """
    filled = [at for at, line in enumerate(lines) if line.strip()]
    if not filled or not (fence := _fence(lines[filled[0]])):
        return Span(0, len(lines))
    closed = len(filled) > 1 and lines[filled[-1]].strip() == fence
    return Span(filled[0] + 1, filled[-1] if closed else len(lines), whole=closed)


class _Finder:
    def __init__(self, lines: Sequence[bytes]) -> None:
        self.lines = lines
        self.spans: list[Span] = []
        self.faults: list[TextFault] = []
        self.closed_at = next((at for at, line in enumerate(lines) if line.rstrip() == END), None)
        self.moves = any(
            _MOVING.match(line) and not _HEREDOC.fullmatch(line.strip()) for line in lines
        )

    def outcome(self) -> Wrapped:
        at = self._first_begin()
        if at is None:
            self._bare()
        else:
            self._outside(0, at)
        while at is not None:
            at = self._envelope(at)
        if len(self.spans) > 1 and any(span.folder for span in self.spans):
            self._fault(
                "malformed",
                "the commands around the patches change folders, one after another",
                0,
                _FROM_TOP,
            )
        return Wrapped(tuple(self.spans), tuple(self.faults))

    def _first_begin(self) -> int | None:
        """The first envelope; blanks before its marker are allowed as long as
        no section is open.
        """
        for at, line in enumerate(self.lines):
            if line.rstrip() == BEGIN or line.strip() == BEGIN:
                return at
            if line.startswith(FILE_HEADERS):
                break
        return next((at for at, line in enumerate(self.lines) if line.rstrip() == BEGIN), None)

    def _envelope(self, begin: int) -> int | None:
        """Take the envelope that begins here; the line where the next one does."""
        end = self._end_after(begin)
        if end is None:
            self._fault(
                "truncated", "the patch has no *** End Patch: it was cut off", len(self.lines) - 1
            )
            self.spans.append(Span(begin + 1, len(self.lines), whole=False))
            return None
        following = next(
            (at for at in range(end + 1, len(self.lines)) if self.lines[at].strip() == BEGIN), None
        )
        self._outside(end + 1, len(self.lines) if following is None else following)
        folder = self._unwrap(begin, end)
        if folder is not None:
            self.spans.append(Span(begin + 1, end, folder))
        return following

    def _end_after(self, begin: int) -> int | None:
        for at in range(begin + 1, len(self.lines)):
            line = self.lines[at].rstrip()
            if line == END:
                return at
            if line == BEGIN:
                return None
        if self.closed_at is not None:
            return None
        # Blanks before the last marker are allowed where it can be no context
        # line: nothing but a wrapper follows.
        filled = [at for at in range(begin + 1, len(self.lines)) if self.lines[at].strip()][-3:]
        return next(
            (at for at in filled if self.lines[at].strip() == END and self._only_wrapping(at + 1)),
            None,
        )

    def _only_wrapping(self, at: int) -> bool:
        return all(re.fullmatch(rb"\w+['\"]?|['\"`~]+|", line.strip()) for line in self.lines[at:])

    def _unwrap(self, begin: int, end: int) -> str | None:
        """The folder that the command around an envelope works in ("" is the
        top); None when it is broken.
        """
        above, below = (
            _filled(self.lines, range(begin - 1, -1, -1)),
            _filled(self.lines, range(end + 1, len(self.lines))),
        )
        opening = b"" if above is None else self.lines[above].strip()
        if above is None or not _LIKE_HEREDOC.search(opening):
            return ""
        heredoc = _HEREDOC.fullmatch(opening)
        if heredoc is None:
            self._fault("malformed", f"'{show(opening)}' opens no heredoc that is read here", above)
            return None
        if self.moves:
            message = "a command beside the patch changes the folder that its paths are in"
            self._fault("malformed", message, above, _FROM_TOP)
            return None
        shell: bytes = heredoc["shell"] or b""
        closing = b"" if below is None else self.lines[below].strip()
        if closing not in (heredoc["word"], heredoc["word"] + shell):
            self._fault(
                "truncated", f"the heredoc of line {above + 1} is not closed below the patch", end
            )
            return None
        if shell and any(_BENT_BY_SHELL[shell].search(self.lines[at]) for at in range(begin, end)):
            self._fault(
                "malformed", "the quotes around the command would change the patch inside", above
            )
            return None
        return str((heredoc["folder"] or b"").decode())

    def _outside(self, start: int, end: int) -> None:
        """Prose may stand outside of an envelope, but no part of a patch."""
        for at in range(start, end):
            if self.lines[at].startswith(FILE_HEADERS) or self.lines[at].rstrip() == END:
                self._fault(
                    "malformed", f"'{show(self.lines[at])}' stands outside of *** Begin Patch", at
                )

    def _bare(self) -> None:
        first = next(
            (at for at, line in enumerate(self.lines) if line.startswith(FILE_HEADERS)), None
        )
        if first is None:
            return
        above = _filled(self.lines, range(first - 1, -1, -1))
        fence = b"" if above is None else _fence(self.lines[above])
        end = self.closed_at if self.closed_at is not None else len(self.lines)
        if fence and self.closed_at is None:
            closing = next(
                (at for at in range(first, end) if self.lines[at].rstrip() == fence), None
            )
            if closing is None:
                self._fault(
                    "truncated",
                    "the fence around the patch is not closed: text is missing",
                    end - 1,
                )
            end = end if closing is None else closing
        self.spans.append(Span(first, end, whole=not self.faults))
        self._outside(end + 1, len(self.lines))

    def _fault(self, code: str, message: str, at: int, step: str = _WHOLE) -> None:
        self.faults.append(TextFault(code, message, step, at + 1))


def _fence(line: bytes) -> bytes:
    """The run of backticks or tildes that opens a Markdown fence."""
    match = re.match(rb"(`{3,}|~{3,})[^`]*$", line.rstrip())
    return match[1] if match else b""


def _filled(lines: Sequence[bytes], order: range) -> int | None:
    """The first line in this order that is not blank."""
    return next((at for at in order if lines[at].strip()), None)
