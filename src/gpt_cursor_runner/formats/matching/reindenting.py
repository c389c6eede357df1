"""The one shift that carries every indent of a hunk to the one its line has in
the file: tabs, spaces, more, less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

Pairs = Sequence[
    tuple[bytes, bytes]
]  # the indent sent and the indent in the file, of each line that is not blank


class Reindent(Protocol):
    def apply(self, indent: bytes) -> bytes | None:
        """The indent a line shall have in the file; None when the shift does
        not reach it.
        """


@dataclass(frozen=True)
class Deeper:
    """Everything stands deeper in the file, by the same blanks."""

    by: bytes

    def apply(self, indent: bytes) -> bytes | None:
        return self.by + indent


@dataclass(frozen=True)
class Shallower:
    """Everything stands less deep in the file."""

    by: bytes

    def apply(self, indent: bytes) -> bytes | None:
        return indent[len(self.by) :] if indent.startswith(self.by) else None


@dataclass(frozen=True)
class Columns:
    """One side indents with tabs of `width` columns, the other with spaces;
    `shift` columns may come on top.
    """

    width: int
    shift: int
    tabs: bool

    def apply(self, indent: bytes) -> bytes | None:
        columns = len(indent.expandtabs(self.width)) + self.shift
        if columns < 0:
            return None
        whole, rest = divmod(columns, self.width)
        return b"\t" * whole + b" " * rest if self.tabs else b" " * columns


def find_reindent(pairs: Pairs, inserted: Sequence[bytes]) -> Reindent | None:
    """The shift that explains every pair and reaches the indents of the lines
    to insert; None when there is none.
    """
    explains = (
        one
        for one in _shifts(pairs, inserted)
        if all(one.apply(sent) == found for sent, found in pairs)
    )
    return next(
        (one for one in explains if all(one.apply(sent) is not None for sent in inserted)), None
    )


def _shifts(pairs: Pairs, inserted: Sequence[bytes]) -> Iterator[Reindent]:
    if not pairs:
        return
    sent, found = pairs[0]
    if abs(len(sent.expandtabs(4)) - len(found.expandtabs(4))) == 1:
        return  # nobody indents by one space: a slip, and what to make of it stays open
    plain: list[Reindent] = []
    if found.endswith(sent):
        plain.append(Deeper(found[: len(found) - len(sent)]))
    if sent.endswith(found):
        plain.append(Shallower(sent[: len(sent) - len(found)]))
    every_sent = [one for one, _ in pairs] + list(inserted)
    tabs = any(b"\t" in one for _, one in pairs)
    # Where spaces meet tabs, a prefix alone would mix the two in the lines to
    # insert.
    mixed = tabs and any(b" " in one for one in every_sent)
    other = tabs != any(b"\t" in one for one in every_sent)
    columns = [] if not (mixed or other) else list(_columns(pairs[0], every_sent, tabs))
    yield from (*columns, *plain) if mixed else (*plain, *columns)


def _columns(
    pair: tuple[bytes, bytes], every_sent: Sequence[bytes], tabs: bool
) -> Iterator[Reindent]:
    sent, found = pair
    step = math.gcd(*(len(one) for one in every_sent if b"\t" not in one))
    widths = dict.fromkeys(width for width in (step, 4, 2, 8, 3) if 1 < width <= 8)
    shifts = [
        (width, len(found.expandtabs(width)) - len(sent.expandtabs(width))) for width in widths
    ]
    # A change of style alone is likelier than one that moves the block as well.
    yield from (
        Columns(width, shift, tabs) for width, shift in sorted(shifts, key=lambda one: one[1] != 0)
    )
