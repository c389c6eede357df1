"""The matching ladder: where in a file a hunk's old lines stand.

Rungs are tried from the strictest to the most lenient, and the first with any
place decides: one place wins, several are ambiguous unless something sent with
the hunk tells them apart. There is no "first match wins".

1. `exact`: the same bytes. 2. `blanks`: line ends, trailing blanks and a byte
   order mark aside. 3. `unicode`:
look-alikes folded. 4. `indent`: every line shifted by the same indent, tabs
against spaces included. 5. `ellipsis`: blank context lines may be missing on
either side, and an ellipsis line stands for lines left out. 6. `fuzzy`: context
may differ a little, deleted lines may not. The seventh, three-way, needs
another version of the file (`three_way.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.limits import Patience
from gpt_cursor_runner.formats.matching.alignment import (
    MOST_PLACES,
    blocks_by_strictness,
    squeezed_blocks,
)
from gpt_cursor_runner.formats.matching.fuzzy import fuzzy_places
from gpt_cursor_runner.formats.matching.gaps import gap_places
from gpt_cursor_runner.formats.matching.places import Place
from gpt_cursor_runner.formats.text import Text
from gpt_cursor_runner.patch.model import Tolerance

TOLERANCES: tuple[Tolerance, ...] = ("strict", "standard", "merge")

# The rungs that compare line by line; one search answers for all of them.
BLOCK_RUNGS = ("exact", "blanks", "unicode", "indent")


@dataclass(frozen=True)
class Rung:
    """`least` is the first tolerance that allows it; rungs that compare line by
    line have no search of their own.
    """

    name: str
    least: Tolerance
    search: Callable[[Text, Hunk, Patience], list[Place]] | None = None


LADDER: tuple[Rung, ...] = (
    Rung("exact", "strict"),
    *(Rung(name, "standard") for name in BLOCK_RUNGS[1:]),
    Rung("ellipsis", "standard", lambda text, hunk, _: gap_places(text, hunk)),
    Rung("fuzzy", "merge", fuzzy_places),
)


@dataclass(frozen=True, slots=True)
class Found:
    """The places that the last rung tried gave, in order; none when no rung
    gave any.

    `standing` are the rows at which the hunk's outcome stands already, as
    strictly as the places or more so.
    """

    places: tuple[Place, ...]
    rungs_tried: tuple[str, ...]
    standing: tuple[int, ...] = field(default=())

    @property
    def rung(self) -> str:
        return self.rungs_tried[-1]


def ladder(tolerance: Tolerance) -> tuple[Rung, ...]:
    """The rungs that a tolerance allows."""
    allowed = TOLERANCES[: TOLERANCES.index(tolerance) + 1]
    return tuple(rung for rung in LADDER if rung.least in allowed)


def search(text: Text, hunk: Hunk, rungs: Sequence[Rung], patience: Patience) -> Found:
    """Climb until a rung has any place for the hunk's old lines."""
    old = blocks_by_strictness(text, [line.data for line in hunk.old], hunk.inserted)
    if hunk.ignore_whitespace and not old:
        old = {"indent": squeezed_blocks(text, [line.data for line in hunk.old], hunk.inserted)}
    tried: list[str] = []
    for rung in rungs:
        tried.append(rung.name)
        if rung.name == "fuzzy" and outcome_rows(text, hunk):
            break  # that the hunk is made already explains more than a place that resembles its own
        places = rung.search(text, hunk, patience) if rung.search else old.get(rung.name, [])
        if places:
            # A hunk that only inserts fits again, as strictly, where it was
            # made; others only less strictly.
            standing = _standing(text, hunk, tried[:-1] if hunk.deletes else tried)
            return Found(tuple(places[:MOST_PLACES]), tuple(tried), standing)
    return Found((), tuple(tried))


def outcome_rows(text: Text, hunk: Hunk) -> list[int]:
    """The rows where the hunk's outcome stands already, when that proves more
    than a coincidence.

    A hunk that only deletes leaves nothing but context: it must be whole on
    both sides or touch the file's edge.
    """
    size, solid = len(hunk.new), sum(1 for line in hunk.new if line.data.strip())
    if not solid:
        return []
    # One line of its own, whatever its indent, stands in many a file.
    rows = sorted(_standing(text, hunk, BLOCK_RUNGS if solid > 1 else BLOCK_RUNGS[:-1]))
    if hunk.inserted:
        return rows
    whole = [
        row
        for row in rows
        if (hunk.before or row == 0) and (hunk.after or row + size == len(text.lines))
    ]
    return whole if hunk.deletes else []


def _standing(text: Text, hunk: Hunk, names: Sequence[str]) -> tuple[int, ...]:
    if not names:
        return ()
    new = blocks_by_strictness(text, [line.data for line in hunk.new])
    return tuple(place.start for name in names for place in new.get(name, ()))
