"""The matching ladder: where in a file a hunk's old lines stand.

Rungs are tried from the strictest to the most lenient, and the first with any candidate decides: one candidate
wins, several are ambiguous unless a line hint tells them apart. There is no "first match wins".
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.text import Text
from gpt_cursor_runner.patch.model import Tolerance

TOLERANCES: tuple[Tolerance, ...] = ("strict", "standard", "merge")

# A text that stands at so many places is ambiguous whatever a hint says: files of a million equal lines stay cheap.
MOST_PLACES = 10_000


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
    if len(places) >= MOST_PLACES:
        return None
    preferred = {_preferred(places, hint) for hint in hints}
    return preferred.pop() if len(preferred) == 1 else None


def _preferred(places: Sequence[int], hint: int) -> int | None:
    beside = bisect_left(places, hint)
    nearest, second = sorted(places[max(0, beside - 2) : beside + 2], key=lambda at: abs(at - hint))[:2]
    return nearest if 2 * abs(nearest - hint) < abs(second - hint) else None


def find_block(text: Text, lines: Iterable[bytes]) -> list[int]:
    """Every line (from 0) at which exactly these lines stand, overlapping ones included; MOST_PLACES at most."""
    block = b"".join(lines)
    if not block:
        return []
    if not block.endswith(b"\n"):
        # Without its line end the last line can only be the file's last.
        start = len(text.data) - len(block)
        return [text.line_of(start) - 1] if text.data.endswith(block) and text.starts_line(start) else []
    found = [0] if text.data.startswith(block) else []
    # A line starts after a line feed, so looking for the feed as well keeps the search line-aligned.
    at = text.data.find(b"\n" + block)
    while at != -1 and len(found) < MOST_PLACES:
        found.append(text.line_of(at + 1) - 1)
        at = text.data.find(b"\n" + block, at + 1)
    return found


def _exact(text: Text, hunk: Hunk) -> list[int]:
    return find_block(text, (line.data for line in hunk.old))


LADDER: tuple[Rung, ...] = (Rung("exact", "strict", _exact),)


def ladder(tolerance: Tolerance) -> tuple[Rung, ...]:
    """The rungs that a tolerance allows."""
    allowed = TOLERANCES[: TOLERANCES.index(tolerance) + 1]
    return tuple(rung for rung in LADDER if rung.least in allowed)
