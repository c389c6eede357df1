"""Faults of hunks: the difference, its place, and how the sender repairs the
patch in one try.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpt_cursor_runner.formats.change_plan import ChangePlan
from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.matching.already_applied import find_applied_rows
from gpt_cursor_runner.formats.matching.closest import (
    LEAST_SIMILARITY,
    Sought,
    expected_lines,
    find_closest,
)
from gpt_cursor_runner.formats.matching.places import SearchResult
from gpt_cursor_runner.formats.text import Text
from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.patch.faults import Closest

_MOST_CANDIDATES = 5

_REPAIR_BY_KIND = {
    "eol": (
        "The words agree but the line ends do not (CRLF against LF, or no newline at the end): "
        "send the lines with the file's own line ends"
    ),
    "space": "Only blanks differ: copy the line from closest.excerpt blank for blank",
    "tab": "One side has a tab where the other has spaces: copy the blanks from the file",
    "indent": "Only the indent differs: copy the indent from closest.excerpt",
    "unicode": (
        "A character only looks the same (a quote, a dash, a special space or a byte order mark): "
        "copy the line from the file"
    ),
    "content": "Replace that line by what the file holds (first_difference.actual)",
}


def describe_closest(closest: Closest | None, source: str) -> str:
    """Return the end of a message: the first difference at the closest place,
    if it is similar enough. `source` names the text that was sent.
    """
    if closest is None or closest.similarity < LEAST_SIMILARITY:
        return ", nor does anything like it"
    difference = closest.first_difference
    if difference is None:
        return f"; the most similar place is line {closest.line}"
    return (
        f": line {difference.patch_line} {source} is '{difference.expected}', "
        f"but line {difference.file_line} of the file is '{difference.actual}'"
    )


def describe_repair(closest: Closest | None, part: str) -> str:
    """Return the next step for a part of the patch, after the kind of the first
    difference.
    """
    if closest is None or closest.first_difference is None or closest.similarity < LEAST_SIMILARITY:
        return f"Read the file as it is now and write {part} from it."
    repair = _REPAIR_BY_KIND[closest.first_difference.kind]
    return f"{repair}, compare the rest with closest.excerpt, and send the patch again."


@dataclass(frozen=True)
class HunkContext:
    """One hunk and the file it is for: all that its faults refer to."""

    hunk: Hunk
    text: Text
    path: str
    file: File
    plan: ChangePlan
    result: SearchResult | None = None

    @property
    def rungs_tried(self) -> tuple[str, ...]:
        return self.result.rungs_tried if self.result else ()

    def position(self, patch_line: int | None = None) -> dict[str, Any]:
        """Return the members of a fault that identify the hunk and the file."""
        return {
            "member": "text",
            "hunk": self.hunk.number,
            "path": self.path,
            "patch_line": patch_line or self.hunk.patch_line,
            "file_sha256": self.file.sha256,
        }


def add_placement_fault(context: HunkContext) -> None:
    """Record why a hunk has no place: ambiguous, already applied, or no match
    with its closest place.
    """
    if context.result and context.result.places:
        _add_ambiguous(context, context.result)
        return
    applied_rows = find_applied_rows(context.text, context.hunk)
    if applied_rows:
        add_already_applied(context, applied_rows[0])
    else:
        _add_no_match(context)


def add_already_applied(context: HunkContext, row: int) -> None:
    """Record that the file holds the outcome of a hunk already, at `row` (from
    0).
    """
    context.plan.add_fault(
        "already_applied",
        f"hunk {context.hunk.number + 1} for {context.path}: the file has its outcome already at"
        f" line {row + 1}",
        f"Leave this hunk out if line {row + 1} is the right place; else add context lines that"
        " identify the place.",
        **context.position(),
    )


def add_anchor_fault(
    context: HunkContext, reason: str, lines: Sequence[int] = (), missing: bytes | None = None
) -> None:
    """Record that a hunk's anchors do not lead to one place.

    They lead to `lines`, from 1; `missing` is the anchor that the file lacks.
    """
    anchors = [line.decode("utf-8", "replace").strip()[:80] for line in context.hunk.anchors]
    context.plan.add_fault(
        "ambiguous" if lines else "no_match",
        f"hunk {context.hunk.number + 1} for {context.path}: {reason}",
        "Write after @@ a line exactly as the file has it above the right place, or leave it out"
        " and add context lines.",
        **context.position(),
        expected=(f"@@ {'; '.join(anchors)}"[:160],),
        closest=_closest_to_anchor(context, missing),
        candidates=tuple(map(context.text.candidate, lines[:_MOST_CANDIDATES])),
        rungs_tried=context.rungs_tried,
    )


def _closest_to_anchor(context: HunkContext, missing: bytes | None) -> Closest | None:
    if missing is None or not context.plan.budget.take_explanation():
        return None
    sought = [(missing, context.hunk.patch_line)]
    return find_closest(context.text, sought, inside_line=True)


def add_encoding_fault(context: HunkContext) -> None:
    """Record that a hunk would put UTF-8 beside the bytes of another encoding."""
    context.plan.add_fault(
        "encoding",
        f"hunk {context.hunk.number + 1} inserts characters beyond ASCII, and {context.path} is"
        " not in UTF-8",
        "Insert ASCII only, or send the whole file as an upsert with contents_b64, in its own"
        " encoding.",
        **context.position(),
    )


def _add_ambiguous(context: HunkContext, result: SearchResult) -> None:
    hunk, path, count = context.hunk.number + 1, context.path, len(result.places)
    if count > 1:
        message = f"hunk {hunk} fits {path} at {count} places, and the patch does not select one"
    else:
        message = f"hunk {hunk} fits {path}, but it is ambiguous between which lines it inserts"
    lines = [place.start + 1 for place in result.places[:_MOST_CANDIDATES]]
    context.plan.add_fault(
        "ambiguous",
        message,
        "Add context lines above or below until the hunk fits one place only, or give a line"
        " number.",
        **context.position(),
        candidates=tuple(map(context.text.candidate, lines)),
        rungs_tried=result.rungs_tried,
    )


def _closest_to_hunk(context: HunkContext, sought: Sought) -> Closest | None:
    if not context.plan.budget.take_explanation():
        return None
    hint = context.hunk.line_hint
    if hint is not None:
        hint -= 1
    return find_closest(context.text, sought, hint)


def _add_no_match(context: HunkContext) -> None:
    hunk = context.hunk
    sought = [(line.data, line.patch_line) for line in hunk.old]
    closest = _closest_to_hunk(context, sought)
    differing_line = None
    if closest and closest.first_difference:
        differing_line = closest.first_difference.patch_line
    difference = describe_closest(closest, "of the patch")
    context.plan.add_fault(
        "no_match",
        f"hunk {hunk.number + 1} does not fit {context.path}{difference}",
        describe_repair(closest, "the hunk"),
        **context.position(differing_line),
        expected=expected_lines(sought, differing_line),
        closest=closest,
        rungs_tried=context.rungs_tried,
    )
