"""The shell command around an envelope: a heredoc, possibly after a `cd`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.envelope.rows import find_filled
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

SEND_COMPLETE = (
    "Send the complete patch, from *** Begin Patch to *** End Patch, and any command or fence"
    " around it completely or not at all."
)
SEND_FROM_TOP = "Send the bare patch, its paths named from the top of the repository, without cd."

_HEREDOC = re.compile(
    rb"(?:\$ +)?(?:(?:bash|sh|zsh) +-l?c +(?P<shell>['\"]))?(?:cd +(?P<folder>[\w./-]+) *&& *)?"
    rb"(?:(?:apply_?patch|cat) *)?<<-? *(?P<quote>['\"]?)(?P<word>\w+)(?P=quote)(?: *\|"
    rb" *apply_?patch)?"
)
_LIKE_HEREDOC = re.compile(rb"<<-? *['\"]?\w+['\"]?(?: *\|.*)?$")
_FOLDER_COMMAND = re.compile(rb"(?:cd|pushd) ")
# The characters that a shell interprets inside each kind of quotes.
_INTERPRETED = {b"'": re.compile(rb"'"), b'"': re.compile(rb'["$`\\]')}


def changes_folder(line: bytes) -> bool:
    """Whether a line is a `cd` or `pushd` command apart from a heredoc's own."""
    return bool(_FOLDER_COMMAND.match(line)) and not _HEREDOC.fullmatch(line.strip())


def find_folder(
    lines: Sequence[bytes], begin: int, end: int, *, beside_cd: bool
) -> str | TextFault:
    """Return the folder in which the command around an envelope runs: "" at the
    top, and for an envelope without command.

    `begin` and `end` are the lines of the envelope's markers. `beside_cd` is
    True when another command of the text changes the folder.
    """
    above = find_filled(lines, range(begin - 1, -1, -1))
    if above is None or not _LIKE_HEREDOC.search(lines[above].strip()):
        return ""
    match = _HEREDOC.fullmatch(lines[above].strip())
    if match is None:
        message = f"'{show(lines[above].strip())}' opens a heredoc in a form that is not supported"
        return TextFault("malformed", message, SEND_COMPLETE, above + 1)
    heredoc = _Heredoc(lines, above, begin, end, match)
    return heredoc.find_fault(beside_cd=beside_cd) or heredoc.folder


@dataclass(frozen=True)
class _Heredoc:
    """A heredoc that opens at line `above`, around the envelope from `begin` to
    `end`.
    """

    lines: Sequence[bytes]
    above: int
    begin: int
    end: int
    match: re.Match[bytes]

    @property
    def folder(self) -> str:
        name: bytes = self.match["folder"] or b""
        return name.decode()

    def find_fault(self, *, beside_cd: bool) -> TextFault | None:
        if beside_cd:
            message = "a command beside the patch changes the folder that its paths are in"
            return TextFault("malformed", message, SEND_FROM_TOP, self.above + 1)
        if not self._is_closed():
            message = f"the heredoc of line {self.above + 1} is not closed below the patch"
            return TextFault("truncated", message, SEND_COMPLETE, self.end + 1)
        if _is_interpreted(self.lines[self.begin : self.end], self.match["shell"]):
            message = "the shell would change the patch inside the quotes of the command"
            return TextFault("malformed", message, SEND_COMPLETE, self.above + 1)
        return None

    def _is_closed(self) -> bool:
        below = find_filled(self.lines, range(self.end + 1, len(self.lines)))
        if below is None:
            return False
        # In `bash -lc '… <<EOF` the quote is closed right after the heredoc.
        word, quote = self.match["word"], self.match["shell"] or b""
        return self.lines[below].strip() in (word, word + quote)


def _is_interpreted(lines: Sequence[bytes], quote: bytes | None) -> bool:
    """Whether a shell changes the lines inside the quotes after `-c`."""
    if quote is None:
        return False
    return any(map(_INTERPRETED[quote].search, lines))
