"""Compares two sequences of lines: the lines of one hunk, and the blocks that
both sequences share.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rapidfuzz.distance import LCSseq

from gpt_cursor_runner.formats.hunks import HunkLine, Sign

NumberedLines = Sequence[tuple[bytes, int]]  # lines with their numbers in the text that was sent

# The comparison takes one bit of memory for each pair of lines. Above this,
# only the common head and tail of both sequences are found.
_MOST_PAIRS = 100_000_000


def diff_lines(old: NumberedLines, new: NumberedLines) -> tuple[HunkLine, ...]:
    """Return the shortest hunk from `old` to `new`: common lines are context,
    deleted lines precede the lines inserted in their place.
    """
    lines: list[HunkLine] = []
    old_at = new_at = 0
    blocks = common_blocks([line for line, _ in old], [line for line, _ in new])
    for old_start, new_start, size in blocks:
        lines += _with_sign("-", old[old_at:old_start])
        lines += _with_sign("+", new[new_at:new_start])
        lines += _with_sign(" ", old[old_start : old_start + size])
        old_at, new_at = old_start + size, new_start + size
    return tuple(lines)


def common_blocks(old: Sequence[bytes], new: Sequence[bytes]) -> Iterator[tuple[int, int, int]]:
    """Yield the blocks that two sequences share, in order: the start in each
    (from 0), and the number of lines. The last block ends both sequences.
    """
    head = common_head(old, new)
    tail = common_head(old[head:][::-1], new[head:][::-1])
    old_end, new_end = len(old) - tail, len(new) - tail
    yield 0, 0, head
    if (old_end - head) * (new_end - head) <= _MOST_PAIRS:
        opcodes = LCSseq.opcodes(old[head:old_end], new[head:new_end])
        for match in opcodes.as_matching_blocks():
            yield head + match.a, head + match.b, match.size
    yield old_end, new_end, tail


def common_head(left: Sequence[object], right: Sequence[object]) -> int:
    """Return the number of equal items at the start of two sequences."""
    for count, (left_item, right_item) in enumerate(zip(left, right, strict=False)):
        if left_item != right_item:
            return count
    return min(len(left), len(right))


def _with_sign(sign: Sign, lines: NumberedLines) -> list[HunkLine]:
    return [HunkLine(sign, line, number) for line, number in lines]
