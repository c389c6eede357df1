"""Raw text told by its marks: which kind of patch it is, past the prose, the
fences and the heredoc around it.

One walk over the lines. Where a patch begins, its own rules say how far it
reaches, and nothing inside counts: a diff may add search/replace blocks to a
file, and an envelope may delete a line that looks like the head of a diff.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Sequence
from typing import Any

from gpt_cursor_runner.patch.outcome import Fault, PatchRefused

_ENVELOPE = re.compile(r"\*\*\* (?:Begin Patch\s*$|(?:Add|Update|Delete) File: ?\S)")
_ENVELOPE_END = re.compile(r"\*\*\* End Patch\s*$")
_BLOCK = re.compile(r"<{5,9} ?(?:SEARCH|ORIGINAL)\b|-{3,} ?(?:SEARCH|ORIGINAL)>?\s*$")
_BLOCK_END = re.compile(r"(?:>{5,9}|\+{3,}) ?(?:REPLACE|UPDATED)\b")
_NUMBERS = re.compile(r"@@ -\d{1,9}(?:,(\d{1,9}))? \+\d{1,9}(?:,(\d{1,9}))? @@")
# Diffs of contexts and without context lines are among them: the format refuses
# those in its own words.
_DIFF = re.compile(
    r"diff --(?:git|cc|combined) \S|GIT binary patch\s*$|Binary files .+ differ\s*$|\*{15}\s*$"
)
_BARE_DIFF = re.compile(r"\d{1,9}(?:,\d{1,9})?[acd]\d{1,9}(?:,\d{1,9})?\s*$")

_KINDS = {
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
    """The one change that a raw text is, as it stands in JSON; `path` is for
    texts that do not name their file.

    Raises PatchRefused for a text that is no patch, or two kinds of one at
    once.
    """
    text = text.removeprefix("\ufeff")
    lines = text.split("\n")
    if not text.strip():
        raise _refused("the text is empty", f"Send a patch in one of these forms.\n{_EXAMPLES}")
    if _is_json(text):
        step = (
            "Send the JSON alone, as application/json, with id and title in it; a single change or"
            " tool call will do."
        )
        raise _refused("the text is JSON, and no raw patch", step)
    found = _found(lines) or _found_disguised(lines)
    named = {kind: at for kind, at in found.items() if kind in _KINDS}
    if "unified_diff" in named:
        named.pop("numbered", None)
    if len(named) > 1:
        raise _two_kinds(named)
    kind = _kind(found, lines, path)
    return {"type": kind, "text": text, **({} if path is None else {"path": path})}


def _kind(found: dict[str, int], lines: Sequence[str], path: str | None) -> str:
    for kind in ("unified_diff", "search_replace", "apply_patch"):
        if kind in found:
            return kind
    if path is None and found:
        step = (
            "Name the file: X-Patch-Path or ?path= over HTTP, --path for gcr send; or put its name"
            " into the patch."
        )
        raise _refused(
            "the text has hunks, but does not say of which file", step, min(found.values()) + 1
        )
    if found:
        return "unified_diff" if "numbered" in found else "apply_patch"
    if any(_BLOCK_END.match(line) for line in lines):
        return "search_replace"
    if path is not None and _is_all_signed(lines):
        return "apply_patch"
    raise _refused(
        "the text is no patch in any form known here",
        f"Send one of these, its marks at line starts.\n{_EXAMPLES}",
    )


def _found(lines: Sequence[str]) -> dict[str, int]:
    """Each kind of mark that stands outside of what other marks enclose, and
    where it is first (from 0).
    """
    found: dict[str, int] = {}
    at = 0
    while at < len(lines):
        line, start = lines[at], at
        if _ENVELOPE.match(line):
            kind, at = "apply_patch", _past(lines, at, _ENVELOPE_END)
        elif _heads_diff(lines, at):
            kind, at = "unified_diff", at + 1
        elif _BLOCK.match(line):
            kind, at = "search_replace", _past(lines, at, _BLOCK_END)
        elif line.startswith("@@"):
            kind, at = "numbered" if _NUMBERS.match(line) else "anchored", _past_hunk(lines, at)
        else:
            at += 1
            continue
        found.setdefault(kind, start)
    return found


def _found_disguised(lines: Sequence[str]) -> dict[str, int]:
    """Marks that are indented, or written in HTML's entities; diffs are not
    looked for, since blanks count in them.
    """
    for at, line in enumerate(lines):
        bare = html.unescape(line[:1000]).strip()
        for kind, mark in (("apply_patch", _ENVELOPE), ("search_replace", _BLOCK)):
            if mark.match(bare):
                return {kind: at}
    return {}


def _heads_diff(lines: Sequence[str], at: int) -> bool:
    line, after = lines[at], lines[at + 1] if at + 1 < len(lines) else ""
    if line.startswith("--- "):
        return after.startswith("+++ ")
    if line.startswith("+++ "):
        return after.startswith("@@")
    return bool(_DIFF.match(line) or (_BARE_DIFF.match(line) and after.startswith(("< ", "> "))))


def _past(lines: Sequence[str], at: int, end: re.Pattern[str]) -> int:
    """Where it goes on after the next line that ends what began; nowhere, for
    what is cut off.
    """
    return next(
        (number + 1 for number in range(at + 1, len(lines)) if end.match(lines[number])), len(lines)
    )


def _past_hunk(lines: Sequence[str], at: int) -> int:
    """Where it goes on after a hunk: as far as its counts go, or, without
    counts, its signs.
    """
    numbers = _NUMBERS.match(lines[at])
    old, new = (
        (int(count or 1) for count in numbers.groups()) if numbers else (len(lines), len(lines))
    )
    at += 1
    while (
        at < len(lines)
        and (old > 0 or new > 0)
        and (lines[at].rstrip("\r") == "" or lines[at][0] in " +-\\")
    ):
        sign = lines[at][:1]
        old -= sign not in ("+", "\\")
        new -= sign not in ("-", "\\")
        at += 1
    return at


def _is_all_signed(lines: Sequence[str]) -> bool:
    """Whether there is nothing but lines with signs, and something to find
    among them.
    """
    signs = {line[0] for line in lines if line.strip() and not line.startswith(("```", "~~~"))}
    return signs <= {" ", "+", "-"} and ("-" in signs or signs == {" ", "+"})


def _is_json(text: str) -> bool:
    inside = text.strip()
    if inside.startswith(("```", "~~~")):
        inside = inside.partition("\n")[2].rstrip("`~ \r\n\t").lstrip()
    if not inside.startswith(("{", "[")):
        return False
    try:
        return isinstance(json.loads(inside), dict | list)
    except (ValueError, RecursionError):
        return inside.startswith(('{"', "{\n", "{ ", "[{"))


def _two_kinds(named: dict[str, int]) -> PatchRefused:
    (first, one), (second, other) = sorted(named.items(), key=lambda item: item[1])[:2]
    message = (
        f"the text holds {_KINDS[first]} at line {one + 1} and {_KINDS[second]} at line {other + 1}"
    )
    return _refused(
        message, "Send one kind in one text, or JSON with one change for each.", other + 1
    )


def _refused(message: str, next_step: str, patch_line: int | None = None) -> PatchRefused:
    return PatchRefused(
        [Fault("malformed", message, next_step, "/changes/0/text", 0, patch_line=patch_line)]
    )
