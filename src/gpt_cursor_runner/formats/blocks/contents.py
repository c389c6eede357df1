"""The old and the new lines between the markers of one block."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from gpt_cursor_runner.formats.blocks.markers import (
    ENTITY,
    HOW_TO_ESCAPE,
    decode_entities,
    unescape,
)
from gpt_cursor_runner.formats.line_diff import NumberedLines
from gpt_cursor_runner.formats.sections import TextFault
from gpt_cursor_runner.formats.text import show

# Roo writes header lines and a rule of seven dashes above the old lines.
_HEADER = re.compile(rb":(start|end)_line:\s*(\d{1,9})\s*$")
_RULE = re.compile(rb"-{7}\s*$")
_PLAIN_SIGN = re.compile(rb"[<>]")


@dataclass(frozen=True)
class Contents:
    """The lines of a block without escapes; `line_hint` is the number of its
    first old line in the file, as sent.
    """

    old: NumberedLines = ()
    new: NumberedLines = ()
    line_hint: int | None = None
    faults: tuple[TextFault, ...] = ()


def parse_contents(
    lines: Sequence[bytes],
    old_rows: range,
    new_rows: range,
    number: int,
    *,
    encoded: bool,
    mixed: bool,
) -> Contents:
    """Parse the rows of `lines` above and below the divider of block `number`.

    `encoded` is True when a marker of the block is in HTML entities, `mixed`
    when only one of them is.
    """
    old_rows, line_hint = _skip_header(lines, old_rows)
    old: NumberedLines = [(lines[row], row + 1) for row in old_rows]
    new: NumberedLines = [(lines[row], row + 1) for row in new_rows]
    faults: list[TextFault] = []
    if encoded:
        faults += _mixed_encoding_faults([*old, *new], number, mixed=mixed)
        # One pass only: `&amp;lt;` stands for the text `&lt;`.
        old = _map_lines(decode_entities, old)
        new = _map_lines(decode_entities, new)
    faults += _misplaced_header_faults(new, number)
    old = _map_lines(unescape, old)
    new = _map_lines(unescape, new)
    return Contents(old, new, line_hint, tuple(faults))


def _map_lines(function: Callable[[bytes], bytes], lines: NumberedLines) -> NumberedLines:
    return [(function(line), row) for line, row in lines]


def _skip_header(lines: Sequence[bytes], rows: range) -> tuple[range, int | None]:
    """The rows below Roo's header, and the line number in that header."""
    headers = list(_header_lines(lines, rows))
    if not headers:
        return rows, None
    below = rows[len(headers) :]
    # Without any row left this is the divider, which is no rule.
    if _RULE.match(lines[below.start]):
        below = below[1:]
    numbers = {header[1]: int(header[2]) for header in headers}
    return below, numbers.get(b"start") or None


def _header_lines(lines: Sequence[bytes], rows: range) -> Iterator[re.Match[bytes]]:
    for row in rows:
        header = _HEADER.match(lines[row])
        if header is None:
            return
        yield header


def _mixed_encoding_faults(contents: NumberedLines, number: int, *, mixed: bool) -> list[TextFault]:
    """Refuse entities beside plain signs. Markers in HTML entities show that an
    encoder wrote the block, so all its lines must be encoded.
    """
    entity_row = _first_row(ENTITY, contents)
    is_ambiguous = mixed or _first_row(_PLAIN_SIGN, contents) is not None
    if entity_row is None or not is_ambiguous:
        return []
    message = (
        f"block {number + 1} is only partly in HTML entities, so those in line {entity_row} are"
        " ambiguous"
    )
    step = "Send the text without HTML entities, exactly as it is meant."
    return [TextFault("malformed", message, step, entity_row, number)]


def _first_row(pattern: re.Pattern[bytes], contents: NumberedLines) -> int | None:
    for line, row in contents:
        if pattern.search(line):
            return row
    return None


def _misplaced_header_faults(new: NumberedLines, number: int) -> list[TextFault]:
    faults: list[TextFault] = []
    for line, row in new:
        if _HEADER.match(line):
            message = (
                f"line {row} ('{show(line, 40)}') is a header line of a block, but stands among its"
                " new lines"
            )
            step = f"Put it below '<<<<<<< SEARCH', or {HOW_TO_ESCAPE}."
            faults.append(TextFault("malformed", message, step, row, number))
    return faults
