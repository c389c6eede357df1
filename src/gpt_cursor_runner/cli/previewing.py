"""A preview as it is shown at a terminal: files, where each hunk went and how,
the diff.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from gpt_cursor_runner.cli.output import plain, table

# As much of a diff as the gateway gives at all.
DIFF_CHARS = 1_000_000
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def preview_lines(told: dict[str, Any], next_command: str) -> Iterator[str]:
    """The lines to print; coloured on a terminal, plain when piped."""
    where = f"{told['repository']} {told['branch']} {told['tip'][:12]}"
    counts = f"{told['files_total']} files, +{told['insertions']} -{told['deletions']}"
    yield plain(f"{told['patch_id']}: a preview on {where}, {counts}; nothing was sent")
    yield from (plain(f"warning: {one}") for one in told["warnings"])
    yield ""
    rows = [
        (one["action"], _name(one), f"+{one['insertions']} -{one['deletions']}")
        for one in told["files"]
    ]
    yield from table(("ACTION", "FILE", "LINES"), rows)
    if told["hunks"]:
        yield ""
        hunks = [
            (
                f"{one['change']}/{one['hunk']}",
                f"{one['path']}:{one['line']}",
                one["rung"],
                f"{one['similarity']:.2f}",
            )
            for one in told["hunks"]
        ]
        yield from table(("HUNK", "PLACE", "RUNG", "SIMILARITY"), hunks)
    yield ""
    yield from map(_coloured, plain(told["diff"]).splitlines())
    if told["diff_truncated"]:
        yield "(the diff is longer; it is cut here)"
    yield ""
    yield f"next: {next_command}"


def _name(one: dict[str, Any]) -> str:
    moved = f"{one['moved_from']} → " if "moved_from" in one else ""
    mode = f" (mode {one['mode']})" if one["action"] == "chmod" else ""
    return f"{moved}{one['path']}{mode}"


def _coloured(line: str) -> str:
    colour = _COLOURS.get(line[:1])
    return click.style(line, fg=colour) if colour and sys.stdout.isatty() else line
