"""The lines of a diff, with the look-ahead that its parsers share."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from functools import cached_property
from operator import and_

from gpt_cursor_runner.formats.text import Text

_PART_MARKS = (
    b"@@",
    b"diff -",
    b"Index: ",
    b"```",
    b"GIT binary patch",
    b"Only in ",
    b"Binary files ",
)


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
        return self._file_headers[at] == 1

    def starts_part(self, at: int) -> bool:
        """Whether a part of the diff starts at `at` with a mark that no line of
        a hunk has, or the text ends there.
        """
        return self._part_starts[at] == 1

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
    def _file_headers(self) -> bytes:
        old_names, new_names = self._flags(b"--- "), self._flags(b"+++ ")
        return bytes(map(and_, old_names, new_names[1:] + b"\0"))

    @cached_property
    def _part_starts(self) -> bytes:
        return self._flags(*_PART_MARKS) + b"\1"

    def _flags(self, *marks: bytes) -> bytes:
        """One byte for each line, since a set of rows would need a hundred: 1
        if the line starts with one of the marks.
        """
        return bytes(line.startswith(marks) for line in self.all)

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
