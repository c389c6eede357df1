"""The matching ladder: where in a file a hunk's old lines stand.

Rungs are tried from the strictest to the most lenient, and the first with any candidate decides: one candidate
wins, several are ambiguous unless a line hint tells them apart. There is no "first match wins".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.text import Text
from gpt_cursor_runner.patch.model import Tolerance

TOLERANCES: tuple[Tolerance, ...] = ("strict", "standard", "merge")

# Places of one block that are looked at, times the block's size: keeps a file of a million equal lines affordable.
SEARCH_WORK = 20_000_000


@dataclass(frozen=True)
class Rung:
    """One way of comparing; `least` is the first tolerance that allows it. `search` gives lines from 0, in order."""

    name: str
    least: Tolerance
    search: Callable[[Text, Hunk], list[int]]


@dataclass(frozen=True)
class Found:
    """Every place (lines from 0, in order) that the last rung tried gave; no place when no rung gave any."""

    lines: tuple[int, ...]
    rungs_tried: tuple[str, ...]

    @property
    def rung(self) -> str:
        return self.rungs_tried[-1]


def search(text: Text, hunk: Hunk, rungs: Sequence[Rung]) -> Found:
    """Climb the ladder until a rung has any place for a hunk's old lines."""
    tried: list[str] = []
    for rung in rungs:
        tried.append(rung.name)
        if lines := rung.search(text, hunk):
            return Found(tuple(lines), tuple(tried))
    return Found((), tuple(tried))


def choose(places: Sequence[int], hints: Iterable[int] = ()) -> int | None:
    """The only place, or the one that every hint prefers; None when that leaves a doubt.

    A hint prefers the place nearest to it, if that is less than half as far as the next.
    """
    if len(places) < 2:
        return places[0] if places else None
    preferred = {_preferred(places, hint) for hint in hints}
    return preferred.pop() if len(preferred) == 1 else None


def _preferred(places: Sequence[int], hint: int) -> int | None:
    nearest, second = sorted(places, key=lambda at: abs(at - hint))[:2]
    return nearest if 2 * abs(nearest - hint) < abs(second - hint) else None


def find_block(text: Text, lines: Iterable[bytes]) -> list[int]:
    """Every line (from 0) at which exactly these lines stand, overlapping places included."""
    block = b"".join(lines)
    if not block:
        return []
    found = [0] if text.data.startswith(block) else []
    limit = max(10, SEARCH_WORK // len(block))
    # A line starts after a line feed, so looking for the feed as well keeps the search line-aligned.
    at = text.data.find(b"\n" + block)
    while at != -1 and len(found) < limit:
        found.append(text.line_of(at + 1) - 1)
        at = text.data.find(b"\n" + block, at + 1)
    if block.endswith(b"\n"):
        return found
    last = len(text.data) - len(block)
    return [line for line in found if text.starts[line] == last]


def _exact(text: Text, hunk: Hunk) -> list[int]:
    return find_block(text, (line.data for line in hunk.old))


LADDER: tuple[Rung, ...] = (Rung("exact", "strict", _exact),)


def ladder(tolerance: Tolerance) -> tuple[Rung, ...]:
    """The rungs that a tolerance allows."""
    allowed = TOLERANCES[: TOLERANCES.index(tolerance) + 1]
    return tuple(rung for rung in LADDER if rung.least in allowed)
