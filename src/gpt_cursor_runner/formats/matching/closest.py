"""The place in a file that is most similar to the lines a patch looked for, and
the first difference there.

1. Every line of the file that equals a sought line votes for the place that it
   would give the whole block.
2. Without a single vote, the longest sought line is compared with every line of
   the file.
3. The few best places, and the hinted one, are scored line by line.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from heapq import nlargest
from itertools import islice
from operator import itemgetter

from rapidfuzz import fuzz, process

from gpt_cursor_runner.formats.line_keys import core
from gpt_cursor_runner.formats.text import Text, show
from gpt_cursor_runner.patch.outcome import Closest, FirstDifference

MOST_LINES = 12  # of an excerpt, and of the lines expected
LEAST_SIMILARITY = 0.4
_SCORED_LINES = 60
_TOO_COMMON = 64  # a line with more places identifies none of them
_COMPARED_CHARACTERS = 200  # of a line
_SHOWN_CHARACTERS = 160  # of a line
_LOOKALIKES = str.maketrans("‘’‚‛“”„‟‐‑‒–—―−…\u00a0\u2007\u202f", "''''\"\"\"\"-------.   ")

# Lines with the number that each has in the text that was sent.
Sought = Sequence[tuple[bytes, int]]
Scorer = Callable[..., float]


def find_closest(
    text: Text, sought: Sought, hint: int | None = None, *, inside_line: bool = False
) -> Closest:
    """Return the most similar place; the hinted one, or the beginning of the
    file, when none is. `hint` counts from 0.

    With `inside_line` the first sought line may start, and the last may end,
    within a line of the file.
    """
    scored_lines = sought[:_SCORED_LINES]
    wanted = [show(line.strip(), _COMPARED_CHARACTERS) for line, _ in scored_lines]
    scorer: Scorer = fuzz.ratio
    if inside_line and len(wanted) == 1:
        scorer = fuzz.partial_ratio
    rows = _rows_by_votes(text, [core(line) for line, _ in scored_lines])
    if not rows:
        rows = _rows_like_longest_line(text, wanted, scorer, inside_line=inside_line)
    if hint is not None and 0 <= hint < len(text.lines):
        rows.append(hint)
    scored = [(_similarity(text, wanted, row, scorer), -row) for row in set(rows) or {0}]
    similarity, negated_row = max(scored)
    start = -negated_row
    difference = _first_difference(text, sought, start, inside_line=inside_line)
    focus = difference.file_line - 1 if difference else start
    shown = excerpt(text, start, len(sought), focus)
    return Closest(start + 1, round(similarity, 3), shown, difference)


def excerpt(text: Text, start: int, size: int, focus: int) -> str:
    """Return numbered lines of the file from `start`, moved so that the line
    `focus` is among them (all from 0).
    """
    first = start
    if size > MOST_LINES:
        first = max(start, focus - MOST_LINES // 2)
    last = min(len(text.lines), first + min(max(size, 1), MOST_LINES))
    return "\n".join(
        f"{row + 1:>5} | {show(text.lines[row], _SHOWN_CHARACTERS)}" for row in range(first, last)
    )


def expected_lines(sought: Sought, focus: int | None = None) -> tuple[str, ...]:
    """Return the sought lines, as many as a fault shows, with the one of number
    `focus` among them.
    """
    numbers = [number for _, number in sought]
    middle = numbers.index(focus) if focus in numbers else 0
    first = max(0, min(middle - MOST_LINES // 2, len(sought) - MOST_LINES))
    return tuple(show(line, _SHOWN_CHARACTERS) for line, _ in sought[first : first + MOST_LINES])


def difference_kind(expected: str, actual: str) -> str:
    """Return the kind of difference between two lines with their line ends: the
    mildest that explains all of it.
    """
    if expected.rstrip("\r\n") == actual.rstrip("\r\n"):
        return "eol"
    if expected.split() == actual.split():
        return _blanks_kind(expected, actual)
    if _without_lookalikes(expected) == _without_lookalikes(actual):
        return "unicode"
    return "content"


def _blanks_kind(expected: str, actual: str) -> str:
    expected_indent, actual_indent = _indent(expected), _indent(actual)
    if ("\t" in expected) != ("\t" in actual):
        return "tab"
    if ("\t" in expected_indent) != ("\t" in actual_indent):
        return "tab"
    if expected_indent != actual_indent:
        return "indent"
    return "space"


def _rows_by_votes(text: Text, cores: Sequence[bytes]) -> list[int]:
    votes: Counter[int] = Counter()
    for offset, line_core in enumerate(cores):
        if not line_core:
            continue
        rows = list(islice(text.rows_of(line_core), _TOO_COMMON + 1))
        if len(rows) <= _TOO_COMMON:
            votes.update(max(0, row - offset) for row in rows)
    return [row for row, _ in votes.most_common(5)]


def _rows_like_longest_line(
    text: Text, wanted: Sequence[str], scorer: Scorer, *, inside_line: bool
) -> list[int]:
    offset, longest = max(enumerate(wanted), key=lambda pair: len(pair[1]), default=(0, ""))
    # One by one: `process.extract` would hold every line of the file at once.
    scores = process.extract_iter(longest, text.readable_cores(), scorer=scorer, score_cutoff=60)
    indexes = [index for _, _, index in nlargest(3, scores, key=itemgetter(1))]
    if inside_line and longest:
        containing = (i for i, line in enumerate(text.readable_cores()) if longest in line)
        indexes += islice(containing, 3)
    return [max(0, _first_row_of_core(text, index) - offset) for index in indexes]


def _first_row_of_core(text: Text, index: int) -> int:
    """The first row with the core of this index in `text.readable_cores()`."""
    _, code_points = text.cores
    line_core = next(islice(code_points, index, None))
    return next(text.rows_of(line_core))


def _similarity(text: Text, wanted: Sequence[str], start: int, scorer: Scorer) -> float:
    total = weights = 0.0
    for row, line in enumerate(wanted, start):
        actual = ""
        if row < len(text.lines):
            actual = show(text.lines[row].strip(), _COMPARED_CHARACTERS)
        weight = len(line) + 1
        total += weight * scorer(line, actual) / 100
        weights += weight
    return total / weights if weights else 0.0


def _first_difference(
    text: Text, sought: Sought, start: int, *, inside_line: bool
) -> FirstDifference | None:
    for offset, (line, number) in enumerate(sought):
        row = start + offset
        actual = text.lines[row] if row < len(text.lines) else b""
        if line == actual:
            continue
        is_first, is_last = offset == 0, offset == len(sought) - 1
        if inside_line and _fits_inside(line, actual, first=is_first, last=is_last):
            continue
        kind = difference_kind(line.decode("utf-8", "replace"), actual.decode("utf-8", "replace"))
        return FirstDifference(
            number, row + 1, show(line, _SHOWN_CHARACTERS), show(actual, _SHOWN_CHARACTERS), kind
        )
    return None


def _fits_inside(line: bytes, actual: bytes, *, first: bool, last: bool) -> bool:
    if first and last:
        return line in actual
    if first:
        return actual.endswith(line)
    return last and actual.startswith(line)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _without_lookalikes(line: str) -> str:
    plain = line.removeprefix("\ufeff").translate(_LOOKALIKES)
    return " ".join(unicodedata.normalize("NFKC", plain).split())
