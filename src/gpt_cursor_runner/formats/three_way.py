"""The last rung: a diff that names the version it was made from is made there,
and git merges that into the file.

1. The version is the blob that the diff's `index` line names, if the repository has it.
2. The hunks must all be sure of their place there: no rung beyond `indent`.
3. What the branch changed since and what the patch changes are merged as `git merge-file` merges.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat, takewhile

from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.lowering import shared_blocks
from gpt_cursor_runner.formats.matching.ladder import BLOCK_RUNGS
from gpt_cursor_runner.formats.matching.placing import placed_edits
from gpt_cursor_runner.formats.sections import Section
from gpt_cursor_runner.formats.text import show, split_lines
from gpt_cursor_runner.formats.tree import File, Merged
from gpt_cursor_runner.formats.virtual_tree import Refusal
from gpt_cursor_runner.patch.outcome import Fault

RUNG = "three_way"

_SIDE_LINES = (
    4  # of each side of a conflict, so that with its marks it fits into the 12 lines of a refusal
)


def merge_in(section: Section, now: File, path: str, draft: Draft, direct: Draft) -> bytes | None:
    """The file after the section was made in its own version and merged; None
    when it was refused.

    `direct` is what placing the hunks in `now` brought to light. It counts when
    there is no version to merge from.
    """
    base = draft.tree.version(section.old_blob) if section.old_blob else None
    if base is None or base == now.data:
        draft.adopt(direct)
        return None
    there = draft.trial([rung for rung in draft.rungs if rung.name in BLOCK_RUNGS])
    theirs = placed_edits(section.hunks, File(base, now.mode), path, there)
    if theirs is None or b"\0" in theirs:
        direct.faults = [_with_rung(fault) for fault in direct.faults]
        draft.adopt(direct)
        return None
    _spend_merge(path, draft)
    merged = draft.tree.merge(base, now.data, theirs)
    if merged.conflicts:
        _refuse_conflict(merged, section, now, path, draft)
        return None
    if merged.text == now.data:
        raise _nothing_left(path)
    _place(there, base, now.data, draft)
    return merged.text


def _with_rung(fault: Fault) -> Fault:
    return replace(fault, rungs_tried=(*fault.rungs_tried, RUNG)) if fault.rungs_tried else fault


def _spend_merge(path: str, draft: Draft) -> None:
    if draft.patience.left_merges == 0:
        raise Refusal(
            "limit",
            path,
            f"{path} would be one file too many to merge for one patch",
            "Make the patch against the files as they are now, or send it in several parts.",
        )
    draft.patience.left_merges -= 1


def _nothing_left(path: str) -> Refusal:
    return Refusal(
        "already_applied",
        path,
        f"{path} holds already everything that this diff changes in the version it was made from",
        "Leave this file out of the diff.",
    )


def _place(there: Draft, base: bytes, now: bytes, draft: Draft) -> None:
    """Note each hunk where its place in the version it was made from is in the
    file as it is now.
    """
    rows = array("L", _rows_now(split_lines(base), split_lines(now)))
    for hunk in there.placed:
        # A hunk that builds on the one before it may stand beyond the end of
        # the version itself.
        draft.place(hunk.path, rows[min(hunk.line, len(rows)) - 1] + 1, RUNG, hunk.hunk)


def _rows_now(base: Sequence[bytes], now: Sequence[bytes]) -> Iterator[int]:
    """For each line of the base, and for its end, the line of the file that it
    is now or that follows (from 0).
    """
    done = row = 0
    for start, there, size in shared_blocks(base, now):
        yield from repeat(row, start - done)
        yield from range(there, there + size)
        done, row = start + size, there + size
    yield row


def _refuse_conflict(merged: Merged, section: Section, now: File, path: str, draft: Draft) -> None:
    more = f", nor do {merged.conflicts - 1} more places" if merged.conflicts > 1 else ""
    draft.fault(
        "conflict",
        f"{path}: what the patch changes since the version it was made from does not merge with"
        f" what the branch changed there since{more}",
        "Read the file as it is now, and make the diff against that.",
        member="text",
        path=path,
        patch_line=section.patch_line,
        expected=_excerpt(merged.text, section),
        file_sha256=now.sha256,
        rungs_tried=(*(rung.name for rung in draft.rungs), RUNG),
    )


def _excerpt(text: bytes, section: Section) -> tuple[str, ...]:
    """The first conflict, both its sides cut short.

    Of the patch's side only lines that were sent are shown: the rest is the
    named version's, which may be one that the sender could not read otherwise.
    """
    sent = {line.data.strip() for hunk in section.hunks for line in hunk.lines}
    lines = split_lines(text)
    begin = _length(lines, b"<<<<<<< the branch")
    middle = begin + 1 + _length(lines[begin + 1 :], b"=======")
    end = middle + 1 + _length(lines[middle + 1 :], b">>>>>>> the patch")
    theirs = [line if line.strip() in sent else None for line in lines[middle + 1 : end]]
    return (
        "<<<<<<< the branch",
        *_cut(lines[begin + 1 : middle]),
        "=======",
        *_cut(theirs),
        ">>>>>>> the patch",
    )


def _length(lines: Sequence[bytes], mark: bytes) -> int:
    return sum(1 for _ in takewhile(lambda line: not line.startswith(mark), lines))


def _cut(lines: Sequence[bytes | None]) -> list[str]:
    """The first lines of one side; None, and what is too much, become an
    ellipsis.
    """
    shown = ["…" if line is None else show(line, 160) for line in lines]
    once = [
        line
        for line, above in zip(shown, [None, *shown], strict=False)
        if line != "…" or above != "…"
    ]
    return once if len(once) <= _SIDE_LINES else [*once[: _SIDE_LINES - 1], "…"]
