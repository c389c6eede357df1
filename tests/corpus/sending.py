"""Turns a case of the corpus into the body that a client would send."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.corpus.cases import Case

# The options that a request can have here. Cases that need another flag are not
# judged.
_OFFERED = {
    "path",
    "strip",
    "dialect",
    "mode",
    "start_line_hint",
    "reverse",
    "ignore_whitespace",
    "unidiff_zero",
    "recount",
}
_TOLERANCE = {
    "fuzz": "merge",
    "fuzzy_threshold": "merge",
    "three_way": "merge",
    "auto_convert_line_endings": "strict",  # only ever sent to turn the conversion off
}


class Unsendable(Exception):
    """No client could send this: the parser refuses it with this code."""


def is_offered(case: Case) -> bool:
    """Whether this product has every flag that a case needs."""
    return set(case.options) <= _OFFERED | set(_TOLERANCE)


def body_of(case: Case) -> dict[str, Any]:
    """The JSON body; raises Unsendable for a text that is not UTF-8 or a tool
    call that is not JSON.
    """
    try:
        text = case.sent.decode()
    except UnicodeDecodeError as bad:
        raise Unsendable("encoding") from bad
    tolerance = {_TOLERANCE[name] for name in case.options if name in _TOLERANCE}
    body: dict[str, Any] = {
        "id": "corpus",
        "title": case.name[:100],
        "changes": [_change(case, text)],
    }
    return {**body, "tolerance": tolerance.pop()} if tolerance else body


def _change(case: Case, text: str) -> Any:
    given = {
        name: case.options[name]
        for name in ("path", "strip", "reverse", "fuzz", "ignore_whitespace")
        if name in case.options
    }
    if case.format in ("v4a_operation", "str_replace"):
        try:
            return json.loads(text)
        except ValueError as bad:
            raise Unsendable("malformed") from bad
    if case.format == "v4a_file":
        create = {"create": True} if case.options.get("mode") == "create" else {}
        return {"type": "apply_patch", "text": text, **given, **create}
    if case.format == "apply_patch":
        return {"type": "apply_patch", "text": text, **given}
    if case.format == "search_replace":
        return {
            "type": "search_replace",
            "text": _hinted(text, case.options.get("start_line_hint")),
            **given,
        }
    return {"type": "unified_diff", "text": text, **given}


def _hinted(text: str, line: int | None) -> str:
    """The blocks with the hint in the place of Roo's dialect."""
    if line is None:
        return text
    return re.sub(
        r"(?m)^(<{5,9} SEARCH>?\r?\n)(?!:start_line)", rf"\1:start_line:{line}\n-------\n", text
    )
