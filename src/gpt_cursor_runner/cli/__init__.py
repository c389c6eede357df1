"""Floor 6: the commands, one file each, imported when they are called."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from gpt_cursor_runner import __version__
from gpt_cursor_runner.cli.output import SCHEMA

# Command → its module. Importing them all would make `gcr --version` wait for
# Flask and SQLAlchemy.
_MODULES = {
    "init": "init",
    "up": "up",
    "send": "send",
    "patches": "patches",
    "show": "show",
    "diff": "show",
    "log": "show",
    "report": "show",
    "cancel": "decide",
    "retry": "decide",
    "approve": "decide",
    "reject": "decide",
    "health": "health",
    "status": "health",
    "doctor": "doctor",
    "key": "key",
    "gateway": "gateway",
    "runner": "runner",
}


class Commands(click.Group):
    """Imports a command's module on demand; usage errors end with the next
    command to type.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _MODULES:
            return None
        module = import_module(f"gpt_cursor_runner.cli.{_MODULES[cmd_name]}")
        command: click.Command = getattr(module, cmd_name)
        return command

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,  # noqa: ANN401  as click has it
    ) -> Any:  # noqa: ANN401
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        if args is None:
            args = sys.argv[1:]
        try:
            # In standalone mode click prints usage errors itself, without a
            # next command and never as JSON.
            code = super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        except click.Abort:
            raise SystemExit(1) from None
        except click.ClickException as error:
            _exit_with_usage_error(error, as_json="--json" in args)
        raise SystemExit(_exit_code(code))


def _exit_code(result: object) -> int:
    if isinstance(result, int):
        return result
    return 0


def _exit_with_usage_error(error: click.ClickException, as_json: bool) -> NoReturn:
    # Only usage errors know the command they belong to.
    context = getattr(error, "ctx", None)
    command_path = getattr(context, "command_path", "gcr")
    next_command = f"{command_path} --help"
    if as_json:
        facts = {"message": error.format_message(), "next_command": next_command}
        click.echo(json.dumps({"schema": SCHEMA, "error": facts}, ensure_ascii=False))
    else:
        error.show()
        click.echo(f"next: {next_command}", err=True)
    raise SystemExit(error.exit_code)


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 fine, 1 failed, 2 usage, 3 degraded, 4 not allowed, 5 unreachable, 6 timed"
        " out."
    ),
)
@click.version_option(__version__, prog_name="gcr")
def main() -> None:
    """GPT-Cursor Runner: a patch posted to a URL becomes a checked, tagged
    commit, or nothing changes.
    """
