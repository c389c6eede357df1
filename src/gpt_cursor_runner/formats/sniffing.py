"""Detects the format of a raw text: which kind of patch it is, past prose, fences
and the heredoc around it.

One pass over the lines. Where a patch begins, the rules of its format determine
its end, and no marker inside counts: a diff may add search/replace blocks to a
file, and an envelope may delete a line that looks like the header of a diff.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gpt_cursor_runner.patch.faults import Fault, PatchRefused

_ENVELOPE = re.compile(r"\*\*\* (?:Begin Patch\s*$|(?:Add|Update|Delete) File: ?\S)")
_ENVELOPE_END = re.compile(r"\*\*\* End Patch\s*$")
_BLOCK = re.compile(r"<{5,9} ?(?:SEARCH|ORIGINAL)\b|-{3,} ?(?:SEARCH|ORIGINAL)>?\s*$")
_BLOCK_END = re.compile(r"(?:>{5,9}|\+{3,}) ?(?:REPLACE|UPDATED)\b")
_NUMBERED_HUNK = re.compile(r"@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@")
# Context diffs and normal diffs are among them: the parser of unified diffs
# refuses these with a message of its own.
_DIFF_HEADER = re.compile(
    r"diff --(?:git|cc|combined) \S|GIT binary patch\s*$|Binary files .+ differ\s*$|\*{15}\s*$"
)
# Lines that begin a diff together with the line below.
_DIFF_START = re.compile(
    r"(?P<old_name>--- )|(?P<new_name>\+\+\+ )"
    r"|(?P<normal>\d{1,9}(?:,\d{1,9})?[acd]\d{1,9}(?:,\d{1,9})?\s*$)"
)
_SECOND_LINES: Mapping[str | None, str | tuple[str, ...]] = {
    "old_name": "+++ ",
    "new_name": "@@",
    "normal": ("< ", "> "),
}
_SIGNS = frozenset(" +-\\")
_SIGNS_OF_HUNKS = frozenset(map(frozenset, ("-", " -", "+-", " +-", " +")))
_FENCES = ("```", "~~~")
_MOST_INDENTED_CHARACTERS = 1000  # of a line that may be an indented or encoded marker

_DESCRIPTIONS = {
    "unified_diff": "a unified diff",
    "search_replace": "search/replace blocks",
    "apply_patch": "an apply_patch envelope",
    "numbered": "hunks of a unified diff",
}
_EXAMPLES = (
    "unified_diff: '--- a/app.py' and '+++ b/app.py', then '@@ -1 +1 @@', '-old', '+new'\n"
    "search_replace: the file's name, then '<<<<<<< SEARCH', 'old', '=======', 'new',"
    " '>>>>>>> REPLACE'\n"
    "apply_patch: '*** Begin Patch', '*** Update File: app.py', then '@@', '-old', '+new',"
    " '*** End Patch'"
)


def sniff(text: str, path: str | None = None) -> dict[str, Any]:
    """Return a raw text as the JSON of one change; `path` is for texts that do
    not name their file.

    Raises PatchRefused for a text that is no patch, or two kinds of patch.
    """
    text = text.removeprefix("\ufeff")  # Windows editors write it at the start of UTF-8 files
    if not text.strip():
        raise _refused("the text is empty", f"Send a patch in one of these forms.\n{_EXAMPLES}")
    if _is_json(text):
        step = (
            "Send the JSON alone, as application/json, with id and title in it; a single change or"
            " tool call is enough."
        )
        raise _refused("the text is JSON, not a raw patch", step)
    change: dict[str, Any] = {"type": _find_format(text.split("\n"), path), "text": text}
    if path is not None:
        change["path"] = path
    return change


def _find_format(lines: Sequence[str], path: str | None) -> str:
    markers = _find_markers(lines) or _find_disguised_marker(lines)
    _refuse_two_kinds(markers)
    for kind in ("unified_diff", "search_replace", "apply_patch"):
        if kind in markers:
            return kind
    if markers:
        return _format_of_bare_hunks(markers, path)
    return _format_of_bare_lines(lines, path)


def _format_of_bare_hunks(markers: Mapping[str, int], path: str | None) -> str:
    if path is None:
        step = (
            "Name the file: X-Patch-Path or ?path= over HTTP, --path for gcr send; or put its name"
            " into the patch."
        )
        message = "the text has hunks, but does not name the file that they are for"
        raise _refused(message, step, min(markers.values()) + 1)
    if "numbered" in markers:
        return "unified_diff"
    return "apply_patch"


def _format_of_bare_lines(lines: Sequence[str], path: str | None) -> str:
    # The parser of blocks has the better message for a block without beginning.
    if any(map(_BLOCK_END.match, lines)):
        return "search_replace"
    if path is not None and _has_only_signed_lines(lines):
        return "apply_patch"
    raise _refused(
        "the text is not a patch in any known format",
        f"Send one of these, with its markers at the start of a line.\n{_EXAMPLES}",
    )


def _find_markers(lines: Sequence[str]) -> dict[str, int]:
    """Each kind of marker outside of other patches, with its first line (from
    0), in the order of these.
    """
    markers: dict[str, int] = {}
    at = 0
    while at < len(lines):
        start = _patch_at(lines, at)
        if start is None:
            at += 1
            continue
        kind, end = start
        markers.setdefault(kind, at)
        at = end
    return markers


def _patch_at(lines: Sequence[str], at: int) -> tuple[str, int] | None:
    """The kind of the patch that begins at a line, and the line after it."""
    line = lines[at]
    if _ENVELOPE.match(line):
        return "apply_patch", _after_end(lines, at, _ENVELOPE_END)
    if _starts_diff(lines, at):
        return "unified_diff", at + 1
    if _BLOCK.match(line):
        return "search_replace", _after_end(lines, at, _BLOCK_END)
    if line.startswith("@@"):
        return _hunk_at(lines, at)
    return None


def _find_disguised_marker(lines: Sequence[str]) -> dict[str, int]:
    """The first marker that is indented or in HTML entities. Diffs are not
    searched for, since their blanks are significant.
    """
    for at, line in enumerate(lines):
        bare = html.unescape(line[:_MOST_INDENTED_CHARACTERS]).strip()
        if _ENVELOPE.match(bare):
            return {"apply_patch": at}
        if _BLOCK.match(bare):
            return {"search_replace": at}
    return {}


def _starts_diff(lines: Sequence[str], at: int) -> bool:
    line = lines[at]
    if _DIFF_HEADER.match(line):
        return True
    start = _DIFF_START.match(line)
    if start is None or at + 1 == len(lines):
        return False
    return lines[at + 1].startswith(_SECOND_LINES[start.lastgroup])


def _after_end(lines: Sequence[str], at: int, end: re.Pattern[str]) -> int:
    """The line after the next one that matches `end`; the end of the text for a
    patch that was cut off.
    """
    for number in range(at + 1, len(lines)):
        if end.match(lines[number]):
            return number + 1
    return len(lines)


def _hunk_at(lines: Sequence[str], at: int) -> tuple[str, int]:
    """The kind of a hunk, and the line after it: it goes as far as its counts,
    or, without counts, as its lines have signs.
    """
    header = _NUMBERED_HUNK.match(lines[at])
    if header is None:
        return "anchored", _after_hunk(lines, at, len(lines), len(lines))
    old_count, new_count = map(int, header.groups("1"))
    return "numbered", _after_hunk(lines, at, old_count, new_count)


def _after_hunk(lines: Sequence[str], at: int, old_left: int, new_left: int) -> int:
    for number in range(at + 1, len(lines)):
        sign = lines[number][:1]
        if old_left <= 0 and new_left <= 0:
            return number
        # A blank context line has often lost its space.
        if sign not in _SIGNS and lines[number].rstrip("\r"):
            return number
        old_left -= sign not in ("+", "\\")
        new_left -= sign not in ("-", "\\")
    return len(lines)


def _has_only_signed_lines(lines: Sequence[str]) -> bool:
    """Whether every line has a sign, and some line can be found in a file."""
    signs = {line[0] for line in lines if line.strip() and not line.startswith(_FENCES)}
    return frozenset(signs) in _SIGNS_OF_HUNKS


def _is_json(text: str) -> bool:
    inside = _inside_fence(text.strip())
    if not inside.startswith(("{", "[")):
        return False
    try:
        return isinstance(json.loads(inside), dict | list)
    except (ValueError, RecursionError):
        # Broken JSON, unless it is code that starts with a brace.
        return inside.startswith(('{"', "{\n", "{ ", "[{"))


def _inside_fence(text: str) -> str:
    if text.startswith(_FENCES):
        return text.partition("\n")[2].rstrip("`~ \r\n\t").lstrip()
    return text


def _distinct_kinds(markers: Mapping[str, int]) -> dict[str, int]:
    """The kinds of patches that do not occur together. An `@@` without numbers
    may belong to any of them, one with numbers to a diff.
    """
    kinds = {kind: at for kind, at in markers.items() if kind in _DESCRIPTIONS}
    if "unified_diff" in kinds:
        kinds.pop("numbered", None)
    return kinds


def _refuse_two_kinds(markers: Mapping[str, int]) -> None:
    kinds = _distinct_kinds(markers)
    if len(kinds) < 2:
        return
    first, second = list(kinds)[:2]
    message = (
        f"the text has {_DESCRIPTIONS[first]} at line {kinds[first] + 1} and"
        f" {_DESCRIPTIONS[second]} at line {kinds[second] + 1}"
    )
    step = "Send one kind of patch in one text, or JSON with one change for each."
    raise _refused(message, step, kinds[second] + 1)


def _refused(message: str, next_step: str, patch_line: int | None = None) -> PatchRefused:
    return PatchRefused(
        [Fault("malformed", message, next_step, "/changes/0/text", 0, patch_line=patch_line)]
    )
