"""The place in a file that most resembles what a patch looked for, and the
first difference there.

1. Every line of the file that equals a line sought votes for the place it would
   give the whole block.
2. Without a single vote, the longest line sought is compared with every line of
   the file.
3. The few best places, and the hinted one, are scored line by line.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
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
_TOO_COMMON = 64  # a line that stands in so many places says little about any of them
_LOOKALIKES = str.maketrans("‘’‚‛“”„‟‐‑‒–—―−…\u00a0\u2007\u202f", "''''\"\"\"\"-------.   ")

Sought = Sequence[tuple[bytes, int]]  # lines with the number each has in the text that was sent


def find_closest(
    text: Text, sought: Sought, hint: int | None = None, *, inside_line: bool = False
) -> Closest:
    """The most similar place; the hinted one, or the beginning of the file,
    when none is. `hint` counts from 0.

    With `inside_line` the first line sought may start, and the last may end,
    within a line of the file.
    """
    wanted = [show(line.strip(), 200) for line, _ in sought[:_SCORED_LINES]]
    places = _promising(
        text, wanted, [core(line) for line, _ in sought[:_SCORED_LINES]], inside_line
    )
    if hint is not None and 0 <= hint < len(text.lines):
        places.append(hint)
    scored = [
        (_similarity(text, wanted, place, inside_line), -place) for place in set(places) or {0}
    ]
    similarity, start = max(scored)[0], -max(scored)[1]
    difference = _first_difference(text, sought, start, inside_line)
    focus = difference.file_line - 1 if difference else start
    return Closest(
        start + 1, round(similarity, 3), excerpt(text, start, len(sought), focus), difference
    )


def excerpt(text: Text, start: int, size: int, focus: int) -> str:
    """Numbered lines of the file from `start`, moved so that the line `focus`
    is among them (all from 0).
    """
    first = max(start, focus - MOST_LINES // 2) if size > MOST_LINES else start
    last = min(len(text.lines), first + min(max(size, 1), MOST_LINES))
    return "\n".join(
        f"{number + 1:>5} | {show(text.lines[number], 160)}" for number in range(first, last)
    )


def expected_lines(sought: Sought, focus: int | None = None) -> tuple[str, ...]:
    """The lines sought, as many as a refusal shows, with the one of number
    `focus` among them.
    """
    numbers = [number for _, number in sought]
    middle = numbers.index(focus) if focus in numbers else 0
    first = max(0, min(middle - MOST_LINES // 2, len(sought) - MOST_LINES))
    return tuple(show(line, 160) for line, _ in sought[first : first + MOST_LINES])


def difference_kind(expected: str, actual: str) -> str:
    """What kind of difference keeps two lines (with their line ends) apart: the
    mildest that explains it all.
    """
    if expected.rstrip("\r\n") == actual.rstrip("\r\n"):
        return "eol"
    if expected.split() == actual.split():
        before, after = _indent(expected), _indent(actual)
        if ("\t" in expected) != ("\t" in actual) or ("\t" in before) != ("\t" in after):
            return "tab"
        return "indent" if before != after else "space"
    return "unicode" if _plain(expected) == _plain(actual) else "content"


def _promising(
    text: Text, wanted: Sequence[str], cores: Sequence[bytes], inside_line: bool
) -> list[int]:
    votes: Counter[int] = Counter()
    for offset, line in enumerate(cores):
        places = list(islice(text.rows_of(line), _TOO_COMMON + 1)) if line else []
        if len(places) <= _TOO_COMMON:
            votes.update(max(0, place - offset) for place in places)
    if votes:
        return [place for place, _ in votes.most_common(5)]
    offset, longest = max(enumerate(wanted), key=lambda pair: len(pair[1]), default=(0, ""))
    scorer = fuzz.partial_ratio if inside_line and len(wanted) == 1 else fuzz.ratio
    # One by one: `process.extract` would hold every line of the file at once.
    scores = process.extract_iter(longest, text.readable(), scorer=scorer, score_cutoff=60)
    alike = [at for _, _, at in nlargest(3, scores, key=itemgetter(1))]
    if inside_line and longest:
        alike += islice((at for at, line in enumerate(text.readable()) if longest in line), 3)
    return [
        max(0, next(text.rows_of(next(islice(text.cores[1], at, None)))) - offset) for at in alike
    ]


def _similarity(text: Text, wanted: Sequence[str], start: int, inside_line: bool) -> float:
    total = weight = 0.0
    scorer = fuzz.partial_ratio if inside_line and len(wanted) == 1 else fuzz.ratio
    for offset, line in enumerate(wanted):
        actual = (
            show(text.lines[start + offset].strip(), 200)
            if start + offset < len(text.lines)
            else ""
        )
        total += (len(line) + 1) * scorer(line, actual) / 100
        weight += len(line) + 1
    return total / weight if weight else 0.0


def _first_difference(
    text: Text, sought: Sought, start: int, inside_line: bool
) -> FirstDifference | None:
    for offset, (line, number) in enumerate(sought):
        at = start + offset
        actual = text.lines[at] if at < len(text.lines) else b""
        if line == actual or (
            inside_line and _fits(line, actual, offset == 0, offset == len(sought) - 1)
        ):
            continue
        kind = difference_kind(line.decode("utf-8", "replace"), actual.decode("utf-8", "replace"))
        return FirstDifference(number, at + 1, show(line, 160), show(actual, 160), kind)
    return None


def _fits(line: bytes, actual: bytes, first: bool, last: bool) -> bool:
    if first and last:
        return line in actual
    return actual.endswith(line) if first else last and actual.startswith(line)


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _plain(line: str) -> str:
    return " ".join(
        unicodedata.normalize("NFKC", line.removeprefix("\ufeff").translate(_LOOKALIKES)).split()
    )
