"""insert: whole lines after a numbered line."""

from __future__ import annotations

from itertools import islice

from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.line_keys import BOM, core
from gpt_cursor_runner.formats.matching.closest import excerpt
from gpt_cursor_runner.formats.text import Edit, Text, show
from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.patch.faults import Closest, FirstDifference
from gpt_cursor_runner.patch.model import Insert

_MOST_CANDIDATES = 5
_MOST_CHARACTERS = 160  # of a line in a fault


def insert(change: Insert, plan: ChangePlan) -> None:
    """Insert `text` as lines of its own, with the file's line ends."""
    with plan.collect_refusals(change.path):
        file = plan.tree.text_file(change.path)
        text = Text(file.data)
        if not _is_within_file(change, text, plan):
            return
        if not _is_expected_line(change, text, file, plan):
            return
        lines = text.insertion(change.after_line, change.text.encode())
        if _is_applied(change, lines, text):
            plan.add_fault(
                "already_applied",
                f"the text already follows line {change.after_line} of {change.path}",
                "Leave this change out: it is already applied. To have the lines twice, send an"
                " upsert.",
                member="text",
                path=change.path,
            )
            return
        after = text.apply_edits([Edit(change.after_line, change.after_line, lines)])
        plan.tree.write(change.path, File(after, file.mode))
        plan.add_placed_hunk(change.path, change.after_line + 1, "exact")


def _is_applied(change: Insert, lines: tuple[bytes, ...], text: Text) -> bool:
    """Whether the lines to insert already follow, and are not blank."""
    start = change.after_line
    return change.text.strip() != "" and lines == tuple(text.lines[start : start + len(lines)])


def _is_within_file(change: Insert, text: Text, plan: ChangePlan) -> bool:
    count = len(text.lines)
    if change.after_line <= count:
        return True
    plan.add_fault(
        "no_match",
        f"{change.path} has {count} lines, so nothing can go after line {change.after_line}",
        f"Send an after_line from 0 to {count}; {count} appends at the end.",
        member="after_line",
        path=change.path,
    )
    return False


def _is_expected_line(change: Insert, text: Text, file: File, plan: ChangePlan) -> bool:
    if change.expect_line is None:
        return True
    expected = change.expect_line.rstrip("\r\n")
    actual = _line_before(change, text)
    if actual.rstrip(b"\r\n") == expected.encode():
        return True
    _add_other_line_fault(change, expected, actual, text, file, plan)
    return False


def _add_other_line_fault(
    change: Insert, expected: str, actual: bytes, text: Text, file: File, plan: ChangePlan
) -> None:
    elsewhere = _lines_equal_to(expected, text)
    step = (
        "Read the current file; send the number of the line that you mean, and that line as"
        " expect_line."
    )
    if len(elsewhere) == 1:
        step = f"Send after_line {elsewhere[0]}, which is that line now."
    row = max(change.after_line - 1, 0)
    difference = FirstDifference(
        1, row + 1, expected[:_MOST_CHARACTERS], show(actual, _MOST_CHARACTERS), "content"
    )
    plan.add_fault(
        "no_match",
        f"line {change.after_line} of {change.path} is '{show(actual)}', not '{expected[:80]}'",
        step,
        member="expect_line",
        path=change.path,
        expected=(expected[:_MOST_CHARACTERS],),
        closest=Closest(row + 1, 0.0, excerpt(text, row, 3, row), difference),
        candidates=tuple(map(text.candidate, elsewhere)),
        file_sha256=file.sha256,
    )


def _line_before(change: Insert, text: Text) -> bytes:
    """The line that the text goes after, without a byte order mark; empty at the
    top of the file.
    """
    if change.after_line == 0:
        return b""
    if change.after_line == 1:
        return text.lines[0].removeprefix(BOM)
    return text.lines[change.after_line - 1]


def _lines_equal_to(expected: str, text: Text) -> list[int]:
    """The numbers of some lines that are equal but for their indent."""
    if not expected:
        return []
    rows = text.rows_of(core(expected.encode()))
    return [row + 1 for row in islice(rows, _MOST_CANDIDATES)]
