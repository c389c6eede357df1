"""The one form that every text format with context lowers to: a hunk of lines
to find, to drop and to add.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

Sign = Literal[" ", "-", "+"]


@dataclass(frozen=True, slots=True)
class HunkLine:
    """One line of a hunk with its line end, and where it stands in the text
    that was sent (from 1).
    """

    sign: Sign
    data: bytes
    patch_line: int


@dataclass(frozen=True, slots=True)
class Hunk:
    """Lines in the order they were sent. `line_hint` is where the old lines are
    said to start, from 1.

    For a hunk that only inserts and has no context, `line_hint` is the line it
    goes after. `anchors` are lines said to stand somewhere above the hunk,
    outermost first; `stacked` ones must all be found, a lone one only advises.
    With `at_eof` its last old line is said to be the file's last; a hunk
    without old lines is then an append. `fuzz` is how many context lines the
    sender lets differ; with `ignore_whitespace` it does not matter how many
    blanks there are.
    """

    number: int
    lines: tuple[HunkLine, ...]
    patch_line: int
    line_hint: int | None = None
    new_line_hint: int | None = None
    anchors: tuple[bytes, ...] = ()
    at_eof: bool = False
    stacked: bool = False
    fuzz: int = 0
    ignore_whitespace: bool = False

    @property
    def old(self) -> tuple[HunkLine, ...]:
        """Context and deleted lines: what must stand in the file."""
        return tuple(line for line in self.lines if line.sign != "+")

    @property
    def new(self) -> tuple[HunkLine, ...]:
        """Context and inserted lines: what stands there afterwards."""
        return tuple(line for line in self.lines if line.sign != "-")

    @property
    def inserted(self) -> tuple[bytes, ...]:
        return tuple(line.data for line in self.lines if line.sign == "+")

    @property
    def deletes(self) -> bool:
        return any(line.sign == "-" for line in self.lines)

    @property
    def before(self) -> int:
        """How many context lines stand before the first change."""
        return sum(1 for _ in takewhile(lambda line: line.sign == " ", self.lines))

    @property
    def after(self) -> int:
        """How many context lines stand after the last change."""
        return sum(1 for _ in takewhile(lambda line: line.sign == " ", reversed(self.lines)))
