"""The lines of a diff, with the look-ahead that its parsers share."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cached_property

from gpt_cursor_runner.formats.text import Text


class DiffLines:
    """A diff's lines, from 0, each with its line end."""

    def __init__(self, data: bytes) -> None:
        self._text = Text(data)
        self.all: Sequence[bytes] = self._text.lines

    def __len__(self) -> int:
        return len(self.all)

    def __getitem__(self, at: int) -> bytes:
        return self.all[at]

    def starts(self, at: int, *marks: bytes) -> bool:
        """Whether line `at` exists and starts with one of the marks."""
        return at < len(self.all) and self.all[at].startswith(marks)

    def is_file_header(self, at: int) -> bool:
        """Whether lines `---` and `+++` start at `at`."""
        return self.starts(at, b"--- ") and self.starts(at + 1, b"+++ ")

    def is_half_a_header(self, at: int) -> bool:
        """Whether `at` is a line `---` without `+++`, above a hunk or at the
        end of the text.
        """
        if not self.starts(at, b"--- ") or self.is_file_header(at):
            return False
        return self.starts(at + 1, b"@@") or self.filled(at + 1) == len(self.all)

    def filled(self, at: int) -> int:
        """The first line from `at` on that is not blank; the number of lines
        when there is none.
        """
        return self._filled[at]

    def ended(self, data: bytes) -> bytes:
        """The rest of a line with a line end: the last line of a text is often
        sent without one.
        """
        if data.endswith(b"\n"):
            return data
        if self._text.uses_crlf and not data.endswith(b"\r"):
            return data + b"\r\n"
        return data + b"\n"

    @cached_property
    def _filled(self) -> Sequence[int]:
        # Computed once from the end: a search at each blank line would take
        # quadratic time in a text of blank lines.
        filled = array("L", [len(self.all)]) * (len(self.all) + 1)
        for at in range(len(self.all) - 1, -1, -1):
            if self.all[at].strip():
                filled[at] = at
            else:
                filled[at] = filled[at + 1]
        return filled
