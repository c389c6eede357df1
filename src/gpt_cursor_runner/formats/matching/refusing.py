"""The words of a refusal: what differs where, and how the sender mends it in one try."""

from __future__ import annotations

from gpt_cursor_runner.formats.draft import Draft
from gpt_cursor_runner.formats.hunks import Hunk
from gpt_cursor_runner.formats.matching.closest import expected_lines, find_closest
from gpt_cursor_runner.formats.matching.ladder import Found, find_block
from gpt_cursor_runner.formats.text import Text
from gpt_cursor_runner.formats.tree import File
from gpt_cursor_runner.patch.outcome import Closest

_BY_KIND = {
    "eol": "The words agree but the line ends do not (CRLF against LF, or no newline at the end): "
    "send the lines with the file's own line ends",
    "space": "Only blanks differ: copy the line from closest.excerpt blank for blank",
    "tab": "One side has a tab where the other has spaces: copy the blanks from the file",
    "indent": "Only the indent differs: copy the indent from closest.excerpt",
    "unicode": "A character only looks the same (a quote, a dash, a special space or a byte order mark): "
    "copy the line from the file",
    "content": "Replace that line by what the file holds (first_difference.actual)",
}


def point_at(closest: Closest | None, whose: str) -> str:
    """`: line 3 of the patch says …, line 14 of the file says …`; empty when nothing resembles."""
    if closest is None:
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
    if closest is None or closest.first_difference is None:
        return f"Read the file as it is now and write {what} from it."
    return (
        f"{_BY_KIND[closest.first_difference.kind]}, compare the rest with closest.excerpt, and send the patch again."
    )


def refuse_hunk(hunk: Hunk, found: Found, text: Text, path: str, file: File, draft: Draft) -> None:
    """Note why a hunk has no place: ambiguous, already applied, or no match with its closest place."""
    if found.lines:
        _ambiguous(hunk, found, text, path, draft)
    elif (line := standing_already(text, hunk)) is not None:
        refuse_applied(hunk, line, path, file, draft)
    else:
        _no_match(hunk, found, text, path, file, draft)


def standing_already(text: Text, hunk: Hunk) -> int | None:
    """The line (from 0) where the hunk's outcome stands, when that proves more than a coincidence.

    A hunk that only deletes leaves nothing but context: it must be whole on both sides or touch the file's edge.
    """
    new = [line.data for line in hunk.new]
    if not any(line.strip() for line in new):
        return None
    places = find_block(text, new)
    if not hunk.inserted:
        places = [
            line
            for line in places
            if (hunk.before or line == 0) and (hunk.after or line + len(new) == len(text.lines)) and hunk.deletes
        ]
    return places[0] if places else None


def refuse_applied(hunk: Hunk, line: int, path: str, file: File, draft: Draft) -> None:
    """Note that the outcome of a hunk stands in the file already, at `line` (from 0)."""
    draft.fault(
        "already_applied",
        f"hunk {hunk.number + 1} for {path}: its outcome stands already at line {line + 1}",
        f"Leave this hunk out if line {line + 1} is the place you meant; else add context lines that tell the place.",
        member="text",
        hunk=hunk.number,
        path=path,
        patch_line=hunk.patch_line,
        file_sha256=file.sha256,
    )


def _ambiguous(hunk: Hunk, found: Found, text: Text, path: str, draft: Draft) -> None:
    draft.fault(
        "ambiguous",
        f"hunk {hunk.number + 1} fits {path} at {len(found.lines)} places, and nothing says which is meant",
        "Add context lines above or below until the hunk fits one place only, or correct the line number after @@ -.",
        member="text",
        hunk=hunk.number,
        path=path,
        patch_line=hunk.patch_line,
        candidates=tuple(text.candidate(line + 1) for line in found.lines[:5]),
        rungs_tried=found.rungs_tried,
    )


def _no_match(hunk: Hunk, found: Found, text: Text, path: str, file: File, draft: Draft) -> None:
    sought = [(line.data, line.patch_line) for line in hunk.old]
    closest = find_closest(text, sought, None if hunk.line_hint is None else hunk.line_hint - 1)
    difference = closest.first_difference if closest else None
    draft.fault(
        "no_match",
        f"hunk {hunk.number + 1} does not fit {path}{point_at(closest, 'of the patch')}",
        mending(closest, "the hunk"),
        member="text",
        hunk=hunk.number,
        path=path,
        patch_line=difference.patch_line if difference else hunk.patch_line,
        expected=expected_lines(sought, difference.patch_line if difference else None),
        closest=closest,
        file_sha256=file.sha256,
        rungs_tried=found.rungs_tried,
    )
