"""Line numbers (`12 | code`) that a model copied into a block from the numbered
view it was shown of a file.
"""

from __future__ import annotations

import re

from gpt_cursor_runner.formats.line_diff import NumberedLines

_NUMBERED = re.compile(rb"[ \t]*(\d{1,9})[ \t]+\|(?!\|) ?(.*)", re.DOTALL)


def first_number(lines: NumberedLines) -> int | None:
    """The number of the first line, when every line has one and they count on;
    None otherwise.
    """
    found = [_NUMBERED.match(line) for line, _ in lines]
    numbers = [int(match[1]) for match in found if match]
    if not numbers or len(numbers) < len(found):
        return None
    return numbers[0] if numbers == list(range(numbers[0], numbers[0] + len(numbers))) else None


def without_numbers(lines: NumberedLines) -> NumberedLines:
    """The lines without their numbers; one that has none is left as it is."""
    return [(match[2] if (match := _NUMBERED.match(line)) else line, row) for line, row in lines]


def count_numbered(lines: NumberedLines) -> int:
    return sum(1 for line, _ in lines if _NUMBERED.match(line))
