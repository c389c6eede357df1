"""The report as Markdown. Text from elsewhere (a title, a path, the output of
a check) cannot become markup.
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
    """Render the facts of `reporting.gather`."""
    return _TEMPLATES.get_template("report.md.j2").render(facts)


def _inline(value: object) -> str:
    """Text on one line, in prose or in a table."""
    if _is_unknown(value):
        return NOT_OBSERVED
    escaped = _ACTIVE.sub(r"\\\1", _one_line(value))
    # An entity, because a backslash before a pipe would itself be escaped by a
    # backslash in front of it.
    return escaped.replace("|", "&#124;")


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
    """A name, path or id in a table."""
    # A pipe ends the cell even in code type.
    if "|" in str(value):
        return _inline(value)
    return _code(value)


def _block(value: object) -> str:
    """Lines in a fence that is longer than any fence in them."""
    text = _TERMINAL_COLOURS.sub("", str(value))
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    shown = "".join(char for char in text if char in "\n\t" or char.isprintable()).strip("\n")
    fence = _fence(shown, 3)
    return f"{fence}text\n{shown}\n{fence}"


def _fence(text: str, shortest: int) -> str:
    """Backticks, at least `shortest`, and more than any run of them in the text
    (CommonMark 0.31, 4.5 and 6.1).
    """
    lengths = [len(run) + 1 for run in _BACKTICKS.findall(text)]
    return "`" * max([shortest, *lengths])


def _one_line(value: object) -> str:
    printable = [char if char.isprintable() else " " for char in str(value)]
    return " ".join("".join(printable).split())


def _is_unknown(value: object) -> bool:
    return value in (None, "", [])


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("gpt_cursor_runner.runner", "templates"),
    autoescape=False,  # noqa: S701  this renders Markdown; text from elsewhere passes a filter below
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
