"""str_replace: a literal text, anywhere in a file, becomes another."""

from __future__ import annotations

from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.limits import MAX_FILE_BYTES
from gpt_cursor_runner.formats.line_diff import diff_lines
from gpt_cursor_runner.formats.matching.alignment import MOST_PLACES
from gpt_cursor_runner.formats.matching.choosing import choose, prefer
from gpt_cursor_runner.formats.matching.closest import expected_lines, find_closest
from gpt_cursor_runner.formats.matching.edits import Unplaceable, edits_at
from gpt_cursor_runner.formats.matching.faults import describe_closest, describe_repair
from gpt_cursor_runner.formats.matching.ladder import search
from gpt_cursor_runner.formats.matching.line_hints import preferred_row
from gpt_cursor_runner.formats.matching.places import SearchResult
from gpt_cursor_runner.formats.matching.selection import select_place
from gpt_cursor_runner.formats.text import Text, split_lines
from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.formats.virtual_tree import Refusal
from gpt_cursor_runner.patch.model import StrReplace


def str_replace(change: StrReplace, plan: ChangePlan) -> None:
    """Replace the one place of `old`, or those that `occurrence`, `replace_all`
    or a line hint choose.
    """
    with plan.collect_refusals(change.path):
        file = plan.tree.text_file(change.path)
        if change.old == change.new:
            plan.add_fault(
                "no_op",
                "old and new are the same text",
                "Send the text you want in new, or leave this change out.",
                member="new",
                path=change.path,
            )
            return
        text = Text(file.data)
        old, new = change.old.encode(), change.new.encode()
        count = text.data.count(old) if change.replace_all else 1
        offset = text.data.find(old) if change.replace_all else _chosen(change, text, plan)
        if offset is None:
            return
        if offset < 0:
            by_line = (
                None if change.replace_all or change.occurrence else _by_line(change, text, plan)
            )
            if by_line is not None:
                plan.tree.write(change.path, File(by_line, file.mode))
            elif not plan.faults:
                _not_found(change, text, file, plan)
            return
        if len(text.data) + count * (len(new) - len(old)) > MAX_FILE_BYTES:
            raise Refusal(
                "too_large",
                change.path,
                f"{change.path} would grow beyond {MAX_FILE_BYTES} bytes",
                "Replace fewer places or by less.",
            )
        after = text.data[:offset] + text.data[offset:].replace(old, new, count)
        plan.tree.write(change.path, File(after, file.mode))
        plan.add_placed_hunk(change.path, text.line_of(offset), "exact")


def _by_line(change: StrReplace, text: Text, plan: ChangePlan) -> bytes | None:
    """The outcome when `old` stands nowhere byte for byte, but by a more
    lenient rung as whole lines in one place.
    """
    lines = diff_lines(_whole_lines(change.old), _whole_lines(change.new))
    hunk = Hunk(0, lines, 1, change.line_hint)
    found = search(text, hunk, plan.rungs, plan.budget)
    place = select_place(
        text, hunk, found.places, () if change.line_hint is None else (change.line_hint - 1,)
    )
    if place is None or is_applied_at(hunk, place, found):
        if place is None and found.places:
            _ambiguous(
                change,
                plan,
                tuple(text.candidate(one.start + 1) for one in found.places[:5]),
                found,
            )
        return None
    try:
        edits = edits_at(hunk, place, text, as_sent=False)
    except Unplaceable:
        return None
    if not text.can_hold(line for edit in edits for line in edit.lines):
        return None
    plan.add_placed_hunk(change.path, place.start + 1, found.rung, 0, round(place.similarity, 3))
    return text.apply_edits(edits)


def _whole_lines(text: str) -> list[tuple[bytes, int]]:
    lines = split_lines(text.encode())
    return [
        (line if line.endswith(b"\n") else line + b"\n", number)
        for number, line in enumerate(lines, 1)
    ]


def _chosen(change: StrReplace, text: Text, plan: ChangePlan) -> int | None:
    """The offset of the place meant, -1 when `old` is nowhere; None when a
    fault was noted.
    """
    found = _offsets(text.data, change)
    if not found:
        return -1
    if change.occurrence is not None:
        if change.occurrence <= len(found):
            return found[change.occurrence - 1]
        times = "once" if len(found) == 1 else f"{len(found)} times"
        message = (
            f"occurrence {change.occurrence} was asked for, but the text stands in {change.path}"
            f" {times}"
        )
        step = f"Send an occurrence from 1 to {len(found)}."
        plan.add_fault(
            "no_match",
            message,
            step,
            member="occurrence",
            path=change.path,
            candidates=_listed(text, found),
        )
        return None
    lines = [text.line_of(offset) for offset in found]
    chosen = (
        lines[0]
        if len(lines) == 1
        else preferred_row(lines, () if change.line_hint is None else (change.line_hint,))
    )
    if chosen is not None:
        return found[lines.index(chosen)]
    _ambiguous(change, plan, _listed(text, found), SearchResult((), ("exact",)))
    return None


def _ambiguous(
    change: StrReplace, plan: ChangePlan, candidates: tuple[str, ...], found: SearchResult
) -> None:
    several = "several" if len(candidates) == 5 else f"{len(candidates)}"
    plan.add_fault(
        "ambiguous",
        f"old stands in {change.path} at {several} places, and nothing says which is meant",
        "Add lines around it to old and new until it stands there once, or send occurrence (from 1)"
        " or replace_all.",
        member="old",
        path=change.path,
        candidates=candidates,
        rungs_tried=found.rungs_tried,
    )


def _offsets(data: bytes, change: StrReplace) -> list[int]:
    """Where `old` stands. Places that overlap count as two doubts, but not as
    two occurrences.
    """
    old = change.old.encode()
    stride, most = (
        (1, MOST_PLACES)
        if change.occurrence is None
        else (len(old), max(MOST_PLACES, change.occurrence))
    )
    found: list[int] = []
    at = data.find(old)
    while at != -1 and len(found) < most:
        found.append(at)
        at = data.find(old, at + stride)
    return found


def _listed(text: Text, offsets: list[int]) -> tuple[str, ...]:
    return tuple(text.candidate(text.line_of(offset)) for offset in offsets[:5])


def _not_found(change: StrReplace, text: Text, file: File, plan: ChangePlan) -> None:
    new = change.new.encode()
    if change.new.strip() and (at := text.data.find(new)) >= 0:
        line = text.line_of(at)
        plan.add_fault(
            "already_applied",
            f"old is not in {change.path}, but new is, at line {line}: this change seems to be made"
            " already",
            f"Leave this change out if line {line} is what you want; else read the file and send"
            " old as it stands.",
            member="old",
            path=change.path,
            candidates=(text.candidate(line),),
            file_sha256=file.sha256,
        )
        return
    sought = [(line, number) for number, line in enumerate(split_lines(change.old.encode()), 1)]
    hint = None if change.line_hint is None else change.line_hint - 1
    closest = find_closest(text, sought, hint, inside_line=True)
    where = describe_closest(closest, "of old")
    plan.add_fault(
        "no_match",
        f"old does not stand in {change.path}{where}",
        describe_repair(closest, "old"),
        member="old",
        path=change.path,
        patch_line=(
            closest.first_difference.patch_line if closest and closest.first_difference else None
        ),
        expected=expected_lines(sought),
        closest=closest,
        file_sha256=file.sha256,
        rungs_tried=tuple(rung.name for rung in plan.rungs),
    )
