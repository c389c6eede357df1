"""Two texts, what is sought and what shall stand there, become the lines of one hunk: what they share is context."""

from __future__ import annotations

from collections.abc import Sequence

from rapidfuzz.distance import LCSseq

from gpt_cursor_runner.formats.hunks import HunkLine, Sign

Numbered = Sequence[tuple[bytes, int]]  # lines with the number each has in the text that was sent

# The comparison costs a bit of memory for each pair of lines; beyond this the texts share their two ends at most.
_MOST_PAIRS = 100_000_000


def lower(old: Numbered, new: Numbered) -> tuple[HunkLine, ...]:
    """The shortest way from `old` to `new`, deleted lines before those inserted in their place."""
    before, after = [line for line, _ in old], [line for line, _ in new]
    head = _shared(before, after)
    tail = _shared(before[head:][::-1], after[head:][::-1])
    middle = len(before) - head - tail, len(after) - head - tail
    lines = _signed(" ", old[:head])
    if middle[0] * middle[1] > _MOST_PAIRS:
        lines += _signed("-", old[head : len(old) - tail]) + _signed("+", new[head : len(new) - tail])
    else:
        gone = come = 0  # how far the two middles are written, from their beginning
        matches = LCSseq.opcodes(before[head : len(old) - tail], after[head : len(new) - tail]).as_matching_blocks()
        for match in matches:
            lines += _signed("-", old[head + gone : head + match.a]) + _signed("+", new[head + come : head + match.b])
            lines += _signed(" ", old[head + match.a : head + match.a + match.size])
            gone, come = match.a + match.size, match.b + match.size
    return tuple(lines + _signed(" ", old[len(old) - tail :]))


def _shared(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many lines two texts share at their beginning."""
    for count, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return count
    return min(len(one), len(other))


def _signed(sign: Sign, lines: Numbered) -> list[HunkLine]:
    return [HunkLine(sign, line, number) for line, number in lines]
