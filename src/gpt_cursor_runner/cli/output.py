"""How commands answer: one shape of JSON, plain tables, exit codes, and a next
command after every failure.

Every command imports this module, so what is slow to import is imported where
it is used.
"""

from __future__ import annotations

import functools
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

if TYPE_CHECKING:
    from gpt_cursor_runner.config import Config
    from gpt_cursor_runner.ledger.ledger import Ledger

# A terminal obeys these; what a check printed or a stranger wrote must not
# command the owner's.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

SCHEMA = "gcr/1"


class Exit(IntEnum):
    FINE = 0
    FAILED = 1
    USAGE = 2
    DEGRADED = 3
    NOT_ALLOWED = 4
    UNREACHABLE = 5
    TIMED_OUT = 6


class CommandFailed(Exception):
    """Ends a command; `next_command` is what to type now."""

    def __init__(
        self, code: Exit, message: str, next_command: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.next_command, self.facts = (
            code,
            message,
            next_command,
            dict(facts or {}),
        )


@dataclass
class Session:
    """What every command is handed: where the settings are, and whether the
    answer is read by a program.
    """

    config_path: Path | None
    as_json: bool

    def config(self) -> Config:
        """The settings; ends the command when there are none or they cannot be
        used.
        """
        from gpt_cursor_runner.config import ConfigRefused, find_config, load_config

        try:
            found = find_config(self.config_path)
            if found is None:
                raise ConfigRefused(
                    "There is no runner.toml here, nor in your configuration directory."
                )
            return load_config(found)
        except ConfigRefused as refused:
            raise CommandFailed(Exit.USAGE, str(refused), "gcr init") from refused

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """The ledger of these settings, closed at the end; its troubles end the
        command.
        """
        from sqlalchemy.exc import SQLAlchemyError

        from gpt_cursor_runner.wiring.ledger import build_ledger

        config = self.config()
        try:
            ledger = build_ledger(config)
            try:
                yield ledger
            finally:
                ledger.close()
        except SQLAlchemyError as trouble:
            reason = f"the ledger cannot be used: {getattr(trouble, 'orig', trouble)}"
            raise CommandFailed(Exit.FAILED, reason, "gcr doctor") from trouble

    def say(self, facts: Mapping[str, Any], text: str | Sequence[str] = "") -> None:
        """Answer: the facts as JSON when asked for, else the text."""
        if self.as_json:
            click.echo(json.dumps({"schema": SCHEMA, **facts}, ensure_ascii=False))
        else:
            click.echo(text if isinstance(text, str) else "\n".join(text))


def command(name: str | None = None, **named: Any) -> Callable[[Callable[..., Any]], click.Command]:  # noqa: ANN401
    """A click command with `--json` and `--config`, whose failures are told in
    one way.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def run(*args: Any, config_path: Path | None, as_json: bool, **rest: Any) -> Any:  # noqa: ANN401
            session = Session(config_path, as_json)
            try:
                return function(session, *args, **rest)
            except CommandFailed as failed:
                _fail(session, failed)
            except BrokenPipeError:
                raise  # the reader of a pipe went away; click ends the command in silence
            except OSError as trouble:
                _fail(
                    session,
                    CommandFailed(Exit.FAILED, f"the system refused: {trouble}", "gcr doctor"),
                )

        run = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(run)
        run = click.option(
            "--config",
            "config_path",
            type=click.Path(path_type=Path),
            help="The settings file, runner.toml.",
        )(run)
        made: click.Command = click.command(name, **named)(run)  # type: ignore[no-untyped-call]
        return made

    return decorate


def plain(text: str) -> str:
    """The text with its control characters made visible, line ends and tabs
    apart.
    """
    return _CONTROLS.sub(lambda found: f"\\x{ord(found[0]):02x}", text.replace("\r\n", "\n"))


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Aligned columns on a terminal; tabs, nothing cut and no header when piped."""
    cells = [[plain(str(cell)) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        return ["\t".join(row) for row in cells]
    widths = [max(len(row[i]) for row in [list(headers), *cells]) for i in range(len(headers))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    head = "  ".join(
        cell.ljust(width) for cell, width in zip(headers, widths, strict=True)
    ).rstrip()
    return [click.style(head, bold=True), *lines]


def _fail(session: Session, failed: CommandFailed) -> NoReturn:
    if session.as_json:
        error = {"message": failed.message, "next_command": failed.next_command, **failed.facts}
        click.echo(json.dumps({"schema": SCHEMA, "error": error}, ensure_ascii=False))
    else:
        click.echo(f"{click.style('failed', fg='red')}: {plain(failed.message)}", err=True)
        click.echo(f"next: {failed.next_command}", err=True)
    raise SystemExit(int(failed.code))
