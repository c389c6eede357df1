"""Searches the lines of an envelope's text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence


def find_row(
    matches: Callable[[bytes], object], lines: Sequence[bytes], rows: Iterable[int]
) -> int | None:
    """Return the first of `rows` whose line matches; None when there is none."""
    for row in rows:
        if matches(lines[row]):
            return row
    return None


def find_filled(lines: Sequence[bytes], rows: Iterable[int]) -> int | None:
    """Return the first of `rows` whose line is not blank."""
    return find_row(bytes.strip, lines, rows)
