"""The hunk: lines to find, to delete and to insert. Every text format with
context is parsed into hunks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Sign = Literal[" ", "-", "+"]


@dataclass(frozen=True, slots=True)
class HunkLine:
    """One line of a hunk with its line end, and its number in the text that was
    sent (from 1).
    """

    sign: Sign
    data: bytes
    patch_line: int


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines in the order they were sent.

    `line_hint` is the number of the first old line in the file, from 1; for a
    hunk that only inserts and has no context, the line it goes after. `anchors`
    are lines somewhere above the hunk, outermost first. The file must have them
    all if `anchors_required`, else an anchor that it lacks is ignored. With
    `at_eof` the last old line is the last of the file, and a hunk without old
    lines is appended. `fuzz` is how many context lines may differ; with
    `ignore_whitespace` all runs of blanks are equal.
    """

    number: int
    lines: tuple[HunkLine, ...]
    patch_line: int
    line_hint: int | None = None
    new_line_hint: int | None = None
    anchors: tuple[bytes, ...] = ()
    at_eof: bool = False
    anchors_required: bool = False
    fuzz: int = 0
    ignore_whitespace: bool = False

    @property
    def old(self) -> tuple[HunkLine, ...]:
        """Context and deleted lines: those that the file must have."""
        return tuple(self._lines_without("+"))

    @property
    def new(self) -> tuple[HunkLine, ...]:
        """Context and inserted lines: those that the file has afterwards."""
        return tuple(self._lines_without("-"))

    @property
    def old_data(self) -> list[bytes]:
        return [line.data for line in self._lines_without("+")]

    @property
    def new_data(self) -> list[bytes]:
        return [line.data for line in self._lines_without("-")]

    @property
    def inserted(self) -> tuple[bytes, ...]:
        return tuple(line.data for line in self.lines if line.sign == "+")

    @property
    def deletes(self) -> bool:
        return any(line.sign == "-" for line in self.lines)

    @property
    def context_before(self) -> int:
        """The number of context lines above the first change."""
        return _leading_context(self.lines)

    @property
    def context_after(self) -> int:
        """The number of context lines below the last change."""
        return _leading_context(reversed(self.lines))

    def _lines_without(self, sign: Sign) -> list[HunkLine]:
        return [line for line in self.lines if line.sign != sign]


def _leading_context(lines: Iterable[HunkLine]) -> int:
    count = 0
    for line in lines:
        if line.sign != " ":
            break
        count += 1
    return count
