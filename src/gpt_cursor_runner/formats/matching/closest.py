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
from gpt_cursor_runner.patch.faults import Closest, FirstDifference

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
    """Return the place most similar to the sought lines, of which there is at
    least one; the hinted one, or the beginning of the file, when none is.
    `hint` counts from 0.

    With `inside_line` the first sought line may start, and the last may end,
    within a line of the file.
    """
    search = _Search(text, sought, inside_line=inside_line)
    start, similarity = search.most_similar(hint)
    difference = search.first_difference(start)
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
    numbered_lines: list[str] = []
    for number, line in enumerate(text.lines[first:last], first + 1):
        numbered_lines.append(f"{number:>5} | {show(line, _SHOWN_CHARACTERS)}")
    return "\n".join(numbered_lines)


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


class _Search:
    """The search for the place most similar to the sought lines."""

    def __init__(self, text: Text, sought: Sought, *, inside_line: bool) -> None:
        self.text, self.sought, self.inside_line = text, sought, inside_line
        self.scored_lines = [line for line, _ in sought[:_SCORED_LINES]]
        self.wanted = list(map(_comparable, self.scored_lines))
        self.scorer: Scorer = fuzz.ratio
        if inside_line and len(self.wanted) == 1:
            self.scorer = fuzz.partial_ratio

    def most_similar(self, hint: int | None) -> tuple[int, float]:
        """Return the most similar row and its similarity; of equally similar
        rows the first.
        """
        rows = sorted(self._candidate_rows(hint))
        similarities = list(map(self.similarity, rows))
        best = max(similarities)
        return rows[similarities.index(best)], best

    def _candidate_rows(self, hint: int | None) -> set[int]:
        rows = set(self.rows_by_votes() or self.rows_like_longest_line())
        if hint is not None and 0 <= hint < len(self.text.lines):
            rows.add(hint)
        return rows or {0}

    def rows_by_votes(self) -> list[int]:
        votes: Counter[int] = Counter()
        for offset, line in enumerate(self.scored_lines):
            votes.update([max(0, row - offset) for row in self._identifying_rows(line)])
        return [row for row, _ in votes.most_common(5)]

    def _identifying_rows(self, line: bytes) -> list[int]:
        """The rows of a line; none when it is blank or too common."""
        line_core = core(line)
        if not line_core:
            return []
        rows = list(islice(self.text.rows_of(line_core), _TOO_COMMON + 1))
        if len(rows) > _TOO_COMMON:
            return []
        return rows

    def rows_like_longest_line(self) -> list[int]:
        longest = max(self.wanted, key=len)
        offset = self.wanted.index(longest)
        indexes = self._cores_like(longest)
        return [max(0, self._first_row_of_core(index) - offset) for index in indexes]

    def _cores_like(self, line: str) -> list[int]:
        # One by one: `process.extract` would hold every line of the file at
        # once.
        scores = process.extract_iter(
            line, self.text.readable_cores(), scorer=self.scorer, score_cutoff=60
        )
        indexes = [index for _, _, index in nlargest(3, scores, key=itemgetter(1))]
        if self.inside_line and line:
            indexes += self._lines_containing(line)
        return indexes

    def _lines_containing(self, part: str) -> list[int]:
        lines = enumerate(self.text.readable_cores())
        return list(islice((index for index, line in lines if part in line), 3))

    def _first_row_of_core(self, index: int) -> int:
        _, code_points = self.text.cores
        line_core = next(islice(code_points, index, None))
        return next(self.text.rows_of(line_core))

    def similarity(self, start: int) -> float:
        """Return the similarity of the lines from a row, weighted by length."""
        total = weights = 0.0
        for row, line in enumerate(self.wanted, start):
            weight = len(line) + 1
            total += weight * self.scorer(line, _comparable(self._line_at(row))) / 100
            weights += weight
        return total / weights

    def first_difference(self, start: int) -> FirstDifference | None:
        for offset, (line, number) in enumerate(self.sought):
            actual = self._line_at(start + offset)
            if not self._fits(offset, line, actual):
                return _difference(line, number, actual, start + offset + 1)
        return None

    def _fits(self, offset: int, line: bytes, actual: bytes) -> bool:
        """Whether the sought line of this number fits a line of the file."""
        if not self.inside_line:
            return line == actual
        if len(self.sought) == 1:
            return line in actual
        if offset == 0:
            return actual.endswith(line)
        if offset == len(self.sought) - 1:
            return actual.startswith(line)
        return line == actual

    def _line_at(self, row: int) -> bytes:
        if row >= len(self.text.lines):
            return b""
        return self.text.lines[row]


def _comparable(line: bytes) -> str:
    return show(line.strip(), _COMPARED_CHARACTERS)


def _difference(line: bytes, number: int, actual: bytes, file_line: int) -> FirstDifference:
    kind = difference_kind(line.decode("utf-8", "replace"), actual.decode("utf-8", "replace"))
    shown, shown_actual = show(line, _SHOWN_CHARACTERS), show(actual, _SHOWN_CHARACTERS)
    return FirstDifference(number, file_line, shown, shown_actual, kind)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _without_lookalikes(line: str) -> str:
    plain = line.removeprefix("\ufeff").translate(_LOOKALIKES)
    return " ".join(unicodedata.normalize("NFKC", plain).split())
