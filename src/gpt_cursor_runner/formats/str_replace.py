"""str_replace: a literal text, anywhere in a file, becomes another."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.limits import MAX_FILE_BYTES
from gpt_cursor_runner.formats.line_diff import NumberedLines, diff_lines
from gpt_cursor_runner.formats.matching.already_applied import is_applied_at
from gpt_cursor_runner.formats.matching.block_search import MOST_PLACES
from gpt_cursor_runner.formats.matching.closest import expected_lines, find_closest
from gpt_cursor_runner.formats.matching.edits import Unplaceable, edits_at
from gpt_cursor_runner.formats.matching.faults import describe_closest, describe_repair
from gpt_cursor_runner.formats.matching.ladder import search
from gpt_cursor_runner.formats.matching.line_hints import preferred_row
from gpt_cursor_runner.formats.matching.places import Place, SearchResult
from gpt_cursor_runner.formats.matching.selection import select_place
from gpt_cursor_runner.formats.text import Edit, Text, split_lines
from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.formats.virtual_tree import Refusal
from gpt_cursor_runner.patch.model import StrReplace

_MOST_CANDIDATES = 5


def str_replace(change: StrReplace, plan: ChangePlan) -> None:
    """Replace the only place of `old`, or the ones that `occurrence`,
    `replace_all` or a line hint select.
    """
    with plan.collect_refusals(change.path):
        file = plan.tree.text_file(change.path)
        if change.old == change.new:
            _add_no_op_fault(change, plan)
            return
        text = Text(file.data)
        if change.old.encode() in text.data:
            _replace_exactly(change, text, file, plan)
        elif change.replace_all or change.occurrence:
            _add_missing_fault(change, text, file, plan)
        else:
            _replace_lines(change, text, file, plan)


def _add_no_op_fault(change: StrReplace, plan: ChangePlan) -> None:
    plan.add_fault(
        "no_op",
        "old and new are the same text",
        "Send the text that you want in new, or leave this change out.",
        member="new",
        path=change.path,
    )


def _replace_exactly(change: StrReplace, text: Text, file: File, plan: ChangePlan) -> None:
    """Replace `old` where it occurs byte for byte."""
    old, new = change.old.encode(), change.new.encode()
    # The size is checked before anything is built: replacing a short text
    # everywhere can make a file of gigabytes.
    if change.replace_all:
        count = text.data.count(old)
        offset: int | None = text.data.find(old)
    else:
        count = 1
        offset = _select_offset(change, text, plan)
    if offset is None:
        return
    if len(text.data) + count * (len(new) - len(old)) > MAX_FILE_BYTES:
        raise Refusal(
            "too_large",
            change.path,
            f"{change.path} would grow beyond {MAX_FILE_BYTES} bytes",
            "Replace fewer places, or with shorter text.",
        )
    after = text.data[:offset] + text.data[offset:].replace(old, new, count)
    plan.tree.write(change.path, File(after, file.mode))
    plan.add_placed_hunk(change.path, text.line_of(offset), "exact")


def _replace_lines(change: StrReplace, text: Text, file: File, plan: ChangePlan) -> None:
    """Replace complete lines in the only place where a more lenient rung matches
    them.
    """
    lines = diff_lines(_complete_lines(change.old), _complete_lines(change.new))
    hunk = Hunk(0, lines, 1, change.line_hint)
    result = search(text, hunk, plan.rungs, plan.budget)
    place = select_place(text, hunk, result.places, _hints(change, first=0))
    if place is None:
        _add_unplaced_fault(change, result, text, file, plan)
        return
    edits = _fitting_edits(hunk, place, text)
    if edits is None or is_applied_at(hunk, place, result):
        _add_missing_fault(change, text, file, plan)
        return
    plan.add_placed_hunk(change.path, place.start + 1, result.rung, 0, round(place.similarity, 3))
    plan.tree.write(change.path, File(text.apply_edits(edits), file.mode))


def _add_unplaced_fault(
    change: StrReplace, result: SearchResult, text: Text, file: File, plan: ChangePlan
) -> None:
    if not result.places:
        _add_missing_fault(change, text, file, plan)
        return
    places = result.places[:_MOST_CANDIDATES]
    candidates = tuple(text.candidate(place.start + 1) for place in places)
    _add_ambiguous_fault(change, candidates, result.rungs_tried, plan)


def _fitting_edits(hunk: Hunk, place: Place, text: Text) -> list[Edit] | None:
    """The edits at a place; None when they do not fit into the file."""
    try:
        edits = edits_at(hunk, place, text, as_sent=False)
    except Unplaceable:
        return None
    # UTF-8 must not be written into a file of another encoding.
    if all(text.can_hold(edit.lines) for edit in edits):
        return edits
    return None


def _hints(change: StrReplace, *, first: int) -> tuple[int, ...]:
    """The line hint, if any, counted from `first`."""
    if change.line_hint is None:
        return ()
    return (change.line_hint - 1 + first,)


def _complete_lines(text: str) -> NumberedLines:
    """The lines of a text with their numbers, the last one with a line end."""
    data = text.encode()
    if data and not data.endswith(b"\n"):
        data += b"\n"
    return _numbered_lines(data)


def _numbered_lines(data: bytes) -> NumberedLines:
    return [(line, number) for number, line in enumerate(split_lines(data), 1)]


def _select_offset(change: StrReplace, text: Text, plan: ChangePlan) -> int | None:
    """The offset of the place to replace; None when a fault was added."""
    offsets = _offsets(text.data, change)
    if change.occurrence is not None:
        return _occurrence(change, offsets, change.occurrence, text, plan)
    if len(offsets) == 1:
        return offsets[0]
    lines = list(map(text.line_of, offsets))
    line = preferred_row(lines, _hints(change, first=1))
    if line is not None:
        return offsets[lines.index(line)]
    _add_ambiguous_fault(change, _candidates(text, offsets), ("exact",), plan)
    return None


def _occurrence(
    change: StrReplace, offsets: list[int], occurrence: int, text: Text, plan: ChangePlan
) -> int | None:
    if occurrence <= len(offsets):
        return offsets[occurrence - 1]
    times = f"{len(offsets)} times"
    if len(offsets) == 1:
        times = "once"
    plan.add_fault(
        "no_match",
        f"the change asks for occurrence {occurrence}, but old occurs in {change.path} {times}",
        f"Send an occurrence from 1 to {len(offsets)}.",
        member="occurrence",
        path=change.path,
        candidates=_candidates(text, offsets),
    )
    return None


def _add_ambiguous_fault(
    change: StrReplace, candidates: tuple[str, ...], rungs_tried: tuple[str, ...], plan: ChangePlan
) -> None:
    count = str(len(candidates))
    if len(candidates) == _MOST_CANDIDATES:
        count = "several"
    plan.add_fault(
        "ambiguous",
        f"old occurs in {change.path} at {count} places, and the change does not select one",
        "Add the lines around it to old and new until it occurs only once, or send occurrence (from"
        " 1) or replace_all.",
        member="old",
        path=change.path,
        candidates=candidates,
        rungs_tried=rungs_tried,
    )


def _offsets(data: bytes, change: StrReplace) -> list[int]:
    """The offsets of `old`. Overlapping places make it ambiguous, but are not
    counted as two occurrences.
    """
    old = change.old.encode()
    if change.occurrence is None:
        # At `MOST_PLACES` the text is ambiguous anyway, so the search may stop.
        return list(islice(_find_all(old, data, stride=1), MOST_PLACES))
    # An occurrence may be a larger number than `islice` accepts.
    most = max(MOST_PLACES, min(change.occurrence, len(data)))
    return list(islice(_find_all(old, data, stride=len(old)), most))


def _find_all(old: bytes, data: bytes, *, stride: int) -> Iterator[int]:
    at = data.find(old)
    while at != -1:
        yield at
        at = data.find(old, at + stride)


def _candidates(text: Text, offsets: list[int]) -> tuple[str, ...]:
    return tuple(text.candidate(text.line_of(offset)) for offset in offsets[:_MOST_CANDIDATES])


def _add_missing_fault(change: StrReplace, text: Text, file: File, plan: ChangePlan) -> None:
    if change.new.strip() and change.new.encode() in text.data:
        _add_already_applied_fault(change, text, file, plan)
    else:
        _add_no_match_fault(change, text, file, plan)


def _add_already_applied_fault(
    change: StrReplace, text: Text, file: File, plan: ChangePlan
) -> None:
    line = text.line_of(text.data.find(change.new.encode()))
    plan.add_fault(
        "already_applied",
        f"old is not in {change.path}, but new is, at line {line}: this change seems to be already"
        " applied",
        f"Leave this change out if line {line} is what you want; otherwise read the file and send"
        " old exactly as the file has it.",
        member="old",
        path=change.path,
        candidates=(text.candidate(line),),
        file_sha256=file.sha256,
    )


def _add_no_match_fault(change: StrReplace, text: Text, file: File, plan: ChangePlan) -> None:
    sought = _numbered_lines(change.old.encode())
    row_hint = None
    if change.line_hint is not None:
        row_hint = change.line_hint - 1
    closest = find_closest(text, sought, row_hint, inside_line=True)
    patch_line = None
    if closest.first_difference:
        patch_line = closest.first_difference.patch_line
    plan.add_fault(
        "no_match",
        f"old does not occur in {change.path}{describe_closest(closest, 'of old')}",
        describe_repair(closest, "old"),
        member="old",
        path=change.path,
        patch_line=patch_line,
        expected=expected_lines(sought),
        closest=closest,
        file_sha256=file.sha256,
        rungs_tried=tuple(rung.name for rung in plan.rungs),
    )
