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
    first = None
    for index, (line, _) in enumerate(lines):
        match = _NUMBERED.match(line)
        if match is None:
            return None
        number = int(match[1])
        if first is None:
            first = number
        if number != first + index:
            return None
    return first


def without_numbers(lines: NumberedLines) -> NumberedLines:
    """Return the lines without their numbers; unnumbered lines stay as they are."""
    stripped: list[tuple[bytes, int]] = []
    for line, row in lines:
        match = _NUMBERED.match(line)
        stripped.append((match[2] if match else line, row))
    return stripped


def count_numbered(lines: NumberedLines) -> int:
    return sum(1 for line, _ in lines if _NUMBERED.match(line))
