"""The text of a preview for a terminal: files, the place of each hunk, the diff."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import click

from gpt_cursor_runner.cli.output import plain, table

# The most that the gateway returns of a diff.
DIFF_CHARACTERS = 1_000_000
_COLOURS = {"+": "green", "-": "red", "@": "cyan"}


def preview_lines(preview: dict[str, Any], next_command: str) -> Iterator[str]:
    """The lines to print for the JSON of a preview; coloured on a terminal,
    plain when piped.
    """
    target = f"{preview['repository']} {preview['branch']} {preview['tip'][:12]}"
    counts = f"+{preview['insertions']} -{preview['deletions']}"
    summary = f"a preview on {target}, {preview['files_total']} files, {counts}"
    yield plain(f"{preview['patch_id']}: {summary}; nothing was sent")
    for warning in preview["warnings"]:
        yield plain(f"warning: {warning}")
    yield ""
    yield from table(("ACTION", "FILE", "LINES"), list(map(_file_row, preview["files"])))
    if preview["hunks"]:
        yield ""
        rows = list(map(_hunk_row, preview["hunks"]))
        yield from table(("HUNK", "PLACE", "RUNG", "SIMILARITY"), rows)
    yield ""
    yield from map(_coloured, plain(preview["diff"]).splitlines())
    if preview["diff_truncated"]:
        yield "(the diff is longer; it is cut here)"
    yield ""
    yield f"next: {next_command}"


def _file_row(file: dict[str, Any]) -> tuple[str, str, str]:
    name = file["path"]
    if "moved_from" in file:
        name = f"{file['moved_from']} → {name}"
    if file["action"] == "chmod":
        name = f"{name} (mode {file['mode']})"
    return (file["action"], name, f"+{file['insertions']} -{file['deletions']}")


def _hunk_row(hunk: dict[str, Any]) -> tuple[str, str, str, str]:
    number = f"{hunk['change']}/{hunk['hunk']}"
    place = f"{hunk['path']}:{hunk['line']}"
    return (number, place, hunk["rung"], f"{hunk['similarity']:.2f}")


def _coloured(line: str) -> str:
    colour = _COLOURS.get(line[:1])
    if colour is None or not sys.stdout.isatty():
        return line
    return click.style(line, fg=colour)
