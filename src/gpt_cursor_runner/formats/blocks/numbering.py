"""Line numbers (`12 | code`) that a model copied into a block from a numbered
view of the file.
"""

from __future__ import annotations

import re

from gpt_cursor_runner.formats.line_diff import NumberedLines

# Not two bars: `1 || x` is code.
_NUMBERED = re.compile(rb"[ \t]*(\d{1,9})[ \t]+\|(?!\|) ?(.*)", re.DOTALL)


def first_number(lines: NumberedLines) -> int | None:
    """Return the number of the first line when every line has one and they are
    consecutive; None otherwise.
    """
    numbers = _numbers(lines)
    if not numbers:
        return None
    first = numbers[0]
    if numbers != list(range(first, first + len(lines))):
        return None
    return first


def _numbers(lines: NumberedLines) -> list[int]:
    matches = [_NUMBERED.match(line) for line, _ in lines]
    return [int(match[1]) for match in matches if match]


def without_numbers(lines: NumberedLines) -> NumberedLines:
    """Return the lines without their numbers; unnumbered lines stay as they are."""
    stripped: list[tuple[bytes, int]] = []
    for line, row in lines:
        match = _NUMBERED.match(line)
        stripped.append((match[2] if match else line, row))
    return stripped


def count_numbered(lines: NumberedLines) -> int:
    return len(_numbers(lines))
