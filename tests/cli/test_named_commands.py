"""Every command that a message or a document advises exists, with its options."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from gpt_cursor_runner.cli import main

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "src").rglob("*.py"))
DOCUMENTS = [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
# "gcr", then the words of a command line up to the end of the sentence or quotation.
_COMMAND_LINE = re.compile(
    r"(?<![\w/.-])gcr ((?:[a-z]+|--[a-z-]+|[A-Z]+|<value>)(?: [^\s`'\",;()|…]+)*)"
)


def texts(source: str) -> Iterator[str]:
    """Every string of a module; a value in an f-string is shown as <value>."""
    tree = ast.parse(source)
    parts_of_f_strings: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts_of_f_strings.update(node.values)
            yield "".join(_part_text(part) for part in node.values)
    for node in ast.walk(tree):
        if node not in parts_of_f_strings and isinstance(node, ast.Constant):
            yield str(node.value)


def _part_text(part: ast.expr) -> str:
    if isinstance(part, ast.Constant):
        return str(part.value)
    return "<value>"


def wrong_commands(text: str) -> Iterator[str]:
    """The command lines of a text that name no command, or an unknown option."""
    for match in _COMMAND_LINE.finditer(text):
        command: click.Command | None = main
        for word in match[1].split():
            if word.startswith("--"):
                option = word.split("=")[0].rstrip(".:")
                if command is None or not _has_option(command, option):
                    yield f"gcr {match[1]}"
                    break
            elif isinstance(command, click.Group):
                command = command.get_command(click.Context(command), word.rstrip(".:"))
                if command is None:
                    yield f"gcr {match[1]}"
                    break


def _has_option(command: click.Command, option: str) -> bool:
    if option in ("--help", "--version"):
        return True
    return any(option in parameter.opts for parameter in command.params)


@pytest.mark.parametrize(
    "path", [*SOURCES, *DOCUMENTS], ids=lambda path: str(path.relative_to(ROOT))
)
def test_every_named_command_exists(path: Path) -> None:
    source = path.read_text()
    named = texts(source) if path.suffix == ".py" else [source]
    assert [wrong for text in named for wrong in wrong_commands(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "gcr requeue",
        "See `gcr doktor`.",
        "gcr send FILE --wate",
        "gcr key make NAME",
        "run gcr <value>",
    ],
)
def test_a_command_that_does_not_exist_is_detected(text: str) -> None:
    assert list(wrong_commands(text))


@pytest.mark.parametrize(
    "text",
    [
        "gcr retry",
        "See `gcr doctor --checks`, then `gcr send FILE --wait`.",
        "gcr key create NAME --scope submit",
        "gcr --help",
        "Settings: gcr, as in /usr/bin/gcr x",
    ],
)
def test_a_command_that_exists_is_accepted(text: str) -> None:
    assert not list(wrong_commands(text))
