"""The text of a first runner.toml."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpt_cursor_runner.config import Check, SandboxedCommand, Setup

_EXAMPLE_CHECK = """\

# No patch is checked until there is one; docs/recipes.md has more:
# [[repository.checks]]
# name = "tests"
# command = ["python3", "-m", "pytest", "-q"]
"""


@dataclass(frozen=True)
class FirstSettings:
    """The values that `init` writes; a state directory of None is the user's."""

    port: int
    state: Path | None
    name: str
    repository: Path
    branch: str
    sandbox: str
    sandbox_read_only: tuple[str, ...] = ()
    setup: tuple[Setup, ...] = ()
    checks: tuple[Check, ...] = ()


def settings_text(settings: FirstSettings) -> str:
    return _head(settings) + "".join(_commands(settings))


def _head(settings: FirstSettings) -> str:
    state = '# dir = "…"  # the user\'s state directory'
    if settings.state is not None:
        state = f"dir = {_value(str(settings.state))}"
    shown = ""
    if settings.sandbox_read_only:
        shown = f"sandbox_read_only = {_value(settings.sandbox_read_only)}\n"
    return f"""\
# Settings of GPT-Cursor Runner. Every key: docs/operating.md.
# Each can be overridden from the environment, as in GCR_SERVER__PORT=…

[server]
host = "127.0.0.1"
port = {settings.port}
# public_url = "https://…"  # where a tunnel shows this gateway

[state]
{state}

[[repository]]
name = {_value(settings.name)}
path = {_value(str(settings.repository))}
branch = {_value(settings.branch)}
approval = "protected"  # "never" | "protected" | "always"
sandbox = "{settings.sandbox}"  # "required" | "best" | "none"
{shown}tag = true
"""


def _commands(settings: FirstSettings) -> Iterator[str]:
    for setup in settings.setup:
        yield _table("setup", setup)
    for check in settings.checks:
        yield _table("checks", check)
    if not settings.checks:
        yield _EXAMPLE_CHECK


def _table(name: str, command: SandboxedCommand) -> str:
    """One table of the repository's, without the members that have their
    default.
    """
    members = command.model_dump(exclude_defaults=True)
    lines = [f"{key} = {_value(members[key])}" for key in sorted(members, key=_order)]
    return "\n".join(["", f"[[repository.{name}]]", *lines, ""])


def _order(key: str) -> int:
    return {"name": 0, "command": 1}.get(key, 2)


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        members = ", ".join(f"{_value(key)} = {_value(value[key])}" for key in value)
        return f"{{ {members} }}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return f"[{', '.join(map(_value, value))}]"
    # JSON's texts, numbers and booleans are all legal in TOML. TOML forbids a
    # bare DEL, which JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
