"""The report as Markdown. Foreign words (a title, a path, a check's output)
never become markup of ours.
"""

from __future__ import annotations

import re
import shlex
from typing import Any

import jinja2

NOT_OBSERVED = "not observed"

_TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_ACTIVE = re.compile(r"([\\`*\[\]<])")
_BACKTICKS = re.compile(r"`+")


def render(facts: dict[str, Any]) -> str:
    """The report whose facts `reporting.gather` found."""
    return _TEMPLATES.get_template("report.md.j2").render(facts)


def _inline(value: object) -> str:
    """Foreign words as plain text on one line, in prose or in a table."""
    if _is_unknown(value):
        return NOT_OBSERVED
    # An entity, since a backslash before a pipe is itself escaped by a
    # backslash that stood there already.
    return _ACTIVE.sub(r"\\\1", _one_line(value)).replace("|", "&#124;")


def _code(value: object) -> str:
    """A name, path or id in code type."""
    if _is_unknown(value):
        return NOT_OBSERVED
    text = _one_line(value)
    if "`" not in text:
        return f"`{text}`"
    fence = _fence(text, 1)
    return f"{fence} {text} {fence}"


def _cell(value: object) -> str:
    """A name, path or id in a table, where a pipe would end the cell even in
    code type.
    """
    return _inline(value) if "|" in str(value) else _code(value)


def _block(value: object) -> str:
    """Foreign lines in a fence that is longer than any they hold."""
    lines = (
        _TERMINAL_COLOURS.sub("", str(value)).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    )
    shown = "\n".join(
        "".join(c for c in line if c == "\t" or c.isprintable()) for line in lines
    ).strip("\n")
    fence = _fence(shown, 3)
    return f"{fence}text\n{shown}\n{fence}"


def _fence(text: str, shortest: int) -> str:
    runs = [len(run) + 1 for run in _BACKTICKS.findall(text)]
    return "`" * max([shortest, *runs])


def _one_line(value: object) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in str(value)).split())


def _is_unknown(value: object) -> bool:
    return value is None or value == "" or value == []


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("gpt_cursor_runner.runner", "templates"),
    autoescape=False,  # noqa: S701  this renders Markdown; foreign words pass one of the filters below
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=jinja2.StrictUndefined,
)
_TEMPLATES.filters |= {
    "inline": _inline,
    "code": _code,
    "cell": _cell,
    "block": _block,
    "shell": shlex.join,
}
