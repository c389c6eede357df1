"""The last rung: a diff that names the version it was made from is applied to
that version, and git merges the outcome into the file.

1. The version is the blob in the `index` line of the diff, if the repository
   has it.
2. Every hunk must match there exactly, or on a rung up to `indent`.
3. The changes of the branch since that version and those of the patch are
   merged as `git merge-file` merges.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace
from itertools import repeat

from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.line_diff import common_blocks
from gpt_cursor_runner.formats.matching.applying import apply_hunks
from gpt_cursor_runner.formats.matching.block_search import BLOCK_RUNGS
from gpt_cursor_runner.formats.matching.ladder import Rung
from gpt_cursor_runner.formats.sections import Section
from gpt_cursor_runner.formats.text import show, split_lines
from gpt_cursor_runner.formats.tree import File, Merged
from gpt_cursor_runner.formats.virtual_tree import Refusal
from gpt_cursor_runner.patch.faults import Fault

RUNG = "three_way"

_ELLIPSIS = "…"
# Of each side of a conflict, so that with its marks it fits into the 12 lines
# that a fault shows.
_SIDE_LINES = 4


def merge_section(
    section: Section, now: File, path: str, plan: ChangePlan, direct: ChangePlan
) -> bytes | None:
    """Return the file after the section was applied to its own version and
    merged; None when it was refused.

    `direct` is the trial that applied the hunks to `now`. Its faults count when
    there is no version to merge from. Raises Refusal.
    """
    base = _older_version(section, now, plan)
    if base is None:
        plan.accept_trial(direct)
        return None
    trial = plan.start_trial(_block_rungs(plan.rungs))
    theirs = apply_hunks(section.hunks, File(base, now.mode), path, trial)
    if theirs is None or b"\0" in theirs:
        direct.faults = list(map(_with_rung, direct.faults))
        plan.accept_trial(direct)
        return None
    _spend_merge(path, plan)
    merged = plan.tree.merge(base, now.data, theirs)
    if merged.conflicts:
        _add_conflict(merged, section, now, path, plan)
        return None
    if merged.text == now.data:
        raise _nothing_left(path)
    _add_placed_hunks(trial, base, now.data, plan)
    return merged.text


def _older_version(section: Section, now: File, plan: ChangePlan) -> bytes | None:
    """The version that the section was made from; None when it is unknown, or
    the file has not changed since.
    """
    if not section.old_blob:
        return None
    version = plan.tree.version(section.old_blob)
    if version == now.data:
        return None
    return version


def _block_rungs(rungs: Sequence[Rung]) -> list[Rung]:
    return [rung for rung in rungs if rung.name in BLOCK_RUNGS]


def _with_rung(fault: Fault) -> Fault:
    if not fault.rungs_tried:
        return fault
    return replace(fault, rungs_tried=(*fault.rungs_tried, RUNG))


def _spend_merge(path: str, plan: ChangePlan) -> None:
    if plan.budget.merges_left == 0:
        raise Refusal(
            "limit",
            path,
            f"{path} would be one file too many to merge for one patch",
            "Make the patch against the files as they are now, or send it in several parts.",
        )
    plan.budget.merges_left -= 1


def _nothing_left(path: str) -> Refusal:
    return Refusal(
        "already_applied",
        path,
        f"{path} holds already everything that this diff changes in the version it was made from",
        "Leave this file out of the diff.",
    )


def _add_placed_hunks(trial: ChangePlan, base: bytes, now: bytes, plan: ChangePlan) -> None:
    """Record each hunk at the line of the file as it is now that corresponds to
    its place in the version it was made from.
    """
    rows = array("L", _rows_now(split_lines(base), split_lines(now)))
    for placed in trial.placed_hunks:
        # A hunk that builds on the one before it may be beyond the end of the
        # version itself.
        row = rows[min(placed.line, len(rows)) - 1]
        plan.add_placed_hunk(placed.path, row + 1, RUNG, placed.hunk)


def _rows_now(base: Sequence[bytes], now: Sequence[bytes]) -> Iterator[int]:
    """For each line of the base, and for its end, the row of the file that has
    it now, or of the next line that is left.
    """
    base_row = row = 0
    for start, start_now, size in common_blocks(base, now):
        yield from repeat(row, start - base_row)
        yield from range(start_now, start_now + size)
        base_row, row = start + size, start_now + size
    yield row


def _add_conflict(merged: Merged, section: Section, now: File, path: str, plan: ChangePlan) -> None:
    more = ""
    if merged.conflicts > 1:
        more = f", nor do {merged.conflicts - 1} more places"
    plan.add_fault(
        "conflict",
        f"{path}: what the patch changes since the version it was made from does not merge with"
        f" what the branch changed there since{more}",
        "Read the file as it is now, and make the diff against that.",
        member="text",
        path=path,
        patch_line=section.patch_line,
        expected=_conflict_excerpt(merged.text, section),
        file_sha256=now.sha256,
        rungs_tried=(*(rung.name for rung in plan.rungs), RUNG),
    )


def _conflict_excerpt(text: bytes, section: Section) -> tuple[str, ...]:
    """The first conflict, both its sides cut short."""
    sent = _sent_lines(section)
    lines = split_lines(text)
    begin = _index_of(b"<<<<<<< the branch", lines)
    middle = _index_of(b"=======", lines, begin + 1)
    end = _index_of(b">>>>>>> the patch", lines, middle + 1)
    ours = [_shown(line) for line in lines[begin + 1 : middle]]
    # Only lines that were sent are shown: the rest is from the named version,
    # which the sender may not be allowed to read.
    theirs = [_shown_if_sent(line, sent) for line in lines[middle + 1 : end]]
    return (
        "<<<<<<< the branch",
        *_shortened(ours),
        "=======",
        *_shortened(theirs),
        ">>>>>>> the patch",
    )


def _sent_lines(section: Section) -> set[bytes]:
    sent: set[bytes] = set()
    for hunk in section.hunks:
        sent.update([line.data.strip() for line in hunk.lines])
    return sent


def _shown(line: bytes) -> str:
    return show(line, 160)


def _shown_if_sent(line: bytes, sent: Set[bytes]) -> str:
    if line.strip() in sent:
        return _shown(line)
    return _ELLIPSIS


def _index_of(mark: bytes, lines: Sequence[bytes], start: int = 0) -> int:
    """The index of the first line from `start` with the mark, else the end."""
    for index in range(start, len(lines)):
        if lines[index].startswith(mark):
            return index
    return max(start, len(lines))


def _shortened(texts: Iterable[str]) -> list[str]:
    """The first lines of one side. Ellipses in a row become one, and one stands
    for the lines beyond the limit.
    """
    shown: list[str] = []
    for text in texts:
        if [text] != shown[-1:] or text != _ELLIPSIS:
            shown.append(text)
    if len(shown) <= _SIDE_LINES:
        return shown
    return [*shown[: _SIDE_LINES - 1], _ELLIPSIS]
