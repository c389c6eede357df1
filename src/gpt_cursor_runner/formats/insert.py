"""insert: whole lines after a numbered line."""

from __future__ import annotations

from itertools import islice

from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.line_keys import BOM, core
from gpt_cursor_runner.formats.matching.closest import excerpt
from gpt_cursor_runner.formats.text import Edit, Text, show
from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.patch.model import Insert
from gpt_cursor_runner.patch.outcome import Closest, FirstDifference


def insert(change: Insert, plan: ChangePlan) -> None:
    """Insert `text` as lines of its own, with the file's line ends."""
    with plan.collect_refusals(change.path):
        file = plan.tree.text_file(change.path)
        text = Text(file.data)
        if not (_within(change, text, plan) and _expected(change, text, file, plan)):
            return
        lines = text.insertion(change.after_line, change.text.encode())
        if change.text.strip() and lines == tuple(
            text.lines[change.after_line : change.after_line + len(lines)]
        ):
            plan.add_fault(
                "already_applied",
                f"the text stands already after line {change.after_line} of {change.path}",
                "Leave this change out: it is made. To have the lines twice, send an upsert.",
                member="text",
                path=change.path,
            )
            return
        after = text.apply_edits([Edit(change.after_line, change.after_line, lines)])
        plan.tree.write(change.path, File(after, file.mode))
        plan.add_placed_hunk(change.path, change.after_line + 1, "exact")


def _within(change: Insert, text: Text, plan: ChangePlan) -> bool:
    count = len(text.lines)
    if change.after_line > count:
        plan.add_fault(
            "no_match",
            f"{change.path} has {count} lines, so nothing can go after line {change.after_line}",
            f"Send an after_line from 0 to {count}; {count} appends at the end.",
            member="after_line",
            path=change.path,
        )
    return change.after_line <= count


def _expected(change: Insert, text: Text, file: File, plan: ChangePlan) -> bool:
    if change.expect_line is None:
        return True
    wanted = change.expect_line.rstrip("\r\n")
    line = text.lines[change.after_line - 1] if change.after_line else b""
    actual = line.removeprefix(BOM) if change.after_line == 1 else line
    if actual.rstrip(b"\r\n") == wanted.encode():
        return True
    elsewhere = [at + 1 for at in islice(text.rows_of(core(wanted.encode())), 5) if wanted]
    at = max(change.after_line - 1, 0)
    plan.add_fault(
        "no_match",
        f"line {change.after_line} of {change.path} is '{show(actual)}', not '{wanted[:80]}'",
        (
            f"Send after_line {elsewhere[0]}, where that line stands now."
            if len(elsewhere) == 1
            else (
                "Read the file as it is now; send the number of the line meant, and that line as"
                " expect_line."
            )
        ),
        member="expect_line",
        path=change.path,
        expected=(wanted[:160],),
        closest=Closest(
            at + 1,
            0.0,
            excerpt(text, at, 3, at),
            FirstDifference(1, at + 1, wanted[:160], show(actual, 160), "content"),
        ),
        candidates=tuple(text.candidate(number) for number in elsewhere),
        file_sha256=file.sha256,
    )
    return False
