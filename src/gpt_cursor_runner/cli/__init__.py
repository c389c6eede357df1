"""Floor 6, door C: the commands, one file each, read only when asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from gpt_cursor_runner import __version__
from gpt_cursor_runner.cli.output import SCHEMA

# Name of the command → module it is in. Importing them all would make `gcr
# --version` wait for Flask and SQLAlchemy.
_HOMES = {
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
    """Finds a command by the table above, and ends a mistake in the command
    line with the next thing to type.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_HOMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _HOMES:
            return None
        found: click.Command = getattr(
            import_module(f"gpt_cursor_runner.cli.{_HOMES[cmd_name]}"), cmd_name
        )
        return found

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,  # noqa: ANN401  as click has it
    ) -> Any:  # noqa: ANN401
        words = sys.argv[1:] if args is None else list(args)
        try:
            code = super().main(words, prog_name, complete_var, standalone_mode=False, **extra)
        except click.Abort:
            raise SystemExit(1) from None
        except click.ClickException as mistake:
            if not standalone_mode:
                raise
            _refuse(mistake, "--json" in words)
        if not standalone_mode:
            return code
        raise SystemExit(code if isinstance(code, int) else 0)


def _refuse(mistake: click.ClickException, as_json: bool) -> NoReturn:
    context = getattr(mistake, "ctx", None)
    advice = f"{context.command_path if context else 'gcr'} --help"
    if as_json:
        error = {"message": mistake.format_message(), "next_command": advice}
        click.echo(json.dumps({"schema": SCHEMA, "error": error}, ensure_ascii=False))
    else:
        mistake.show()
        click.echo(f"next: {advice}", err=True)
    raise SystemExit(mistake.exit_code)


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
