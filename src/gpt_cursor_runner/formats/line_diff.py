"""Two texts, what is sought and what shall stand there, become the lines of one
hunk: what they share is context.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rapidfuzz.distance import LCSseq

from gpt_cursor_runner.formats.hunks import HunkLine, Sign

NumberedLines = Sequence[
    tuple[bytes, int]
]  # lines with the number each has in the text that was sent

# The comparison costs a bit of memory for each pair of lines; beyond this the
# texts share their two ends at most.
_MOST_PAIRS = 100_000_000


def diff_lines(old: NumberedLines, new: NumberedLines) -> tuple[HunkLine, ...]:
    """The shortest way from `old` to `new`, deleted lines before those inserted
    in their place.
    """
    lines: list[HunkLine] = []
    gone = come = 0  # how far both are written
    for start, there, size in common_blocks([line for line, _ in old], [line for line, _ in new]):
        lines += (
            _signed("-", old[gone:start])
            + _signed("+", new[come:there])
            + _signed(" ", old[start : start + size])
        )
        gone, come = start + size, there + size
    return tuple(lines)


def common_blocks(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[tuple[int, int, int]]:
    """What two texts share, in order: where it starts in either (from 0), and
    how many lines. The last ends both.
    """
    head = _shared(old, new)
    tail = _shared(old[head:][::-1], new[head:][::-1])
    ends = len(old) - tail, len(new) - tail
    yield 0, 0, head
    if (ends[0] - head) * (ends[1] - head) <= _MOST_PAIRS:
        for match in LCSseq.opcodes(old[head : ends[0]], new[head : ends[1]]).as_matching_blocks():
            yield head + match.a, head + match.b, match.size
    yield *ends, tail


def _shared(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many lines two texts share at their beginning."""
    for count, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return count
    return min(len(one), len(other))


def _signed(sign: Sign, lines: NumberedLines) -> list[HunkLine]:
    return [HunkLine(sign, line, number) for line, number in lines]
