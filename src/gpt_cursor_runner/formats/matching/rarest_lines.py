"""The lines of a hunk that the file has least often, the best sign of where the
hunk belongs.
"""

from __future__ import annotations

from collections.abc import Sequence

from gpt_cursor_runner.formats.hunks import HunkLine, Sign
from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.text import Text


def rarest_first(text: Text, old: Sequence[HunkLine], sign: Sign) -> dict[int, int]:
    """Return the numbers of the old lines with this sign that are not blank,
    each with how often the file has the line, the rarest first.
    """
    counts: dict[int, int] = {}
    for number, line in enumerate(old):
        line_core = core(line.data)
        if line.sign == sign and line_core:
            counts[number] = text.count_of(line_core)
    return dict(sorted(counts.items(), key=lambda item: item[1]))
