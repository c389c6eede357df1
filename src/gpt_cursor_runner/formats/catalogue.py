"""Every type of change, with the function that plans it."""

from __future__ import annotations

from typing import Any

from gpt_cursor_runner.formats.apply_patch import apply_patch
from gpt_cursor_runner.formats.change_plan import Format
from gpt_cursor_runner.formats.insert import insert
from gpt_cursor_runner.formats.regex import regex
from gpt_cursor_runner.formats.search_replace import search_replace
from gpt_cursor_runner.formats.str_replace import str_replace
from gpt_cursor_runner.formats.unified_diff import unified_diff
from gpt_cursor_runner.formats.whole_files import chmod, delete, move, upsert

FORMATS: dict[str, Format[Any]] = {
    "upsert": upsert,
    "delete": delete,
    "move": move,
    "chmod": chmod,
    "str_replace": str_replace,
    "insert": insert,
    "search_replace": search_replace,
    "apply_patch": apply_patch,
    "unified_diff": unified_diff,
    "regex": regex,
}
