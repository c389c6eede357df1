"""The words of a refusal: what differs where, and how the sender mends it in
one try.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.matching.closest import (
    LEAST_SIMILARITY,
    expected_lines,
    find_closest,
)
from gpt_cursor_runner.formats.matching.ladder import Found, outcome_rows
from gpt_cursor_runner.formats.text import Text
from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.patch.outcome import Closest

_BY_KIND = {
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


def point_at(closest: Closest | None, whose: str) -> str:
    """`: line 3 of the patch says …, line 14 of the file says …`; empty when
    nothing resembles.
    """
    if closest is None or closest.similarity < LEAST_SIMILARITY:
        return ", nor does anything like it"
    difference = closest.first_difference
    if difference is None:
        return f"; the most similar place is line {closest.line}"
    return (
        f": line {difference.patch_line} {whose} says '{difference.expected}', "
        f"but line {difference.file_line} of the file says '{difference.actual}'"
    )


def mending(closest: Closest | None, what: str) -> str:
    """What to do next, after the kind of the first difference."""
    if closest is None or closest.first_difference is None or closest.similarity < LEAST_SIMILARITY:
        return f"Read the file as it is now and write {what} from it."
    return (
        f"{_BY_KIND[closest.first_difference.kind]}, compare the rest with closest.excerpt, and"
        " send the patch again."
    )


@dataclass(frozen=True)
class Case:
    """One hunk before one file: all that a refusal speaks of."""

    hunk: Hunk
    text: Text
    path: str
    file: File
    draft: Draft
    found: Found | None = None

    @property
    def rungs_tried(self) -> tuple[str, ...]:
        return self.found.rungs_tried if self.found else ()

    def place_in_patch(self, patch_line: int | None = None) -> dict[str, Any]:
        """The members of a fault that say which hunk it is about."""
        line = patch_line or self.hunk.patch_line
        where = {"member": "text", "hunk": self.hunk.number, "path": self.path, "patch_line": line}
        return {**where, "file_sha256": self.file.sha256}


def refuse_hunk(case: Case) -> None:
    """Note why a hunk has no place: ambiguous, already applied, or no match
    with its closest place.
    """
    if case.found and case.found.places:
        _ambiguous(case, case.found)
    elif rows := outcome_rows(case.text, case.hunk):
        refuse_applied(case, rows[0])
    else:
        _no_match(case)


def refuse_applied(case: Case, row: int) -> None:
    """Note that the outcome of a hunk stands in the file already, at `row`
    (from 0).
    """
    case.draft.fault(
        "already_applied",
        f"hunk {case.hunk.number + 1} for {case.path}: its outcome stands already at line"
        f" {row + 1}",
        f"Leave this hunk out if line {row + 1} is the place you meant; else add context lines that"
        " tell the place.",
        **case.place_in_patch(),
    )


def refuse_unanchored(
    case: Case, sentence: str, lines: Sequence[int] = (), missing: bytes | None = None
) -> None:
    """Note that a hunk's anchors do not lead to one place.

    `lines`, from 1, are those they lead to; `missing` is the anchor that is not
    in the file.
    """
    closest = None
    if missing is not None and case.draft.patience.explains():
        closest = find_closest(case.text, [(missing, case.hunk.patch_line)], inside_line=True)
    shown = "; ".join(line.decode("utf-8", "replace").strip()[:80] for line in case.hunk.anchors)
    case.draft.fault(
        "ambiguous" if lines else "no_match",
        f"hunk {case.hunk.number + 1} for {case.path}: {sentence}",
        "Write after @@ a line as it stands in the file above the place meant, or leave it out and"
        " add context lines.",
        **case.place_in_patch(),
        expected=(f"@@ {shown}"[:160],),
        closest=closest,
        candidates=tuple(case.text.candidate(line) for line in lines[:5]),
        rungs_tried=case.rungs_tried,
    )


def refuse_encoding(case: Case) -> None:
    """Note that a hunk would put UTF-8 beside the bytes of another encoding."""
    case.draft.fault(
        "encoding",
        f"hunk {case.hunk.number + 1} inserts characters beyond ASCII, and {case.path} is not in"
        " UTF-8",
        "Insert ASCII only, or send the whole file as an upsert with contents_b64, in its own"
        " encoding.",
        **case.place_in_patch(),
    )


def _ambiguous(case: Case, found: Found) -> None:
    count = len(found.places)
    case.draft.fault(
        "ambiguous",
        (
            f"hunk {case.hunk.number + 1} fits {case.path} at {count} places, and nothing says"
            " which is meant"
            if count > 1
            else (
                f"hunk {case.hunk.number + 1} fits {case.path}, but between which lines to insert"
                " stays open"
            )
        ),
        "Add context lines above or below until the hunk fits one place only, or say which with a"
        " line number.",
        **case.place_in_patch(),
        candidates=tuple(case.text.candidate(place.start + 1) for place in found.places[:5]),
        rungs_tried=found.rungs_tried,
    )


def _no_match(case: Case) -> None:
    hunk = case.hunk
    sought = [(line.data, line.patch_line) for line in hunk.old]
    hint = None if hunk.line_hint is None else hunk.line_hint - 1
    closest = find_closest(case.text, sought, hint) if case.draft.patience.explains() else None
    difference = closest.first_difference if closest else None
    case.draft.fault(
        "no_match",
        f"hunk {hunk.number + 1} does not fit {case.path}{point_at(closest, 'of the patch')}",
        mending(closest, "the hunk"),
        **case.place_in_patch(difference.patch_line if difference else None),
        expected=expected_lines(sought, difference.patch_line if difference else None),
        closest=closest,
        rungs_tried=case.rungs_tried,
    )
