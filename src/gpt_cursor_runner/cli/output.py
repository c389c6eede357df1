"""Output of the commands: one JSON shape, plain tables, exit codes, and a next
command after every failure.
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

# Every command imports this module, so slow imports stand where they are used.
if TYPE_CHECKING:
    from gpt_cursor_runner.config import Config
    from gpt_cursor_runner.config.settings import Settings
    from gpt_cursor_runner.ledger.ledger import Ledger

# A terminal obeys control characters; the output of a check or the title of a
# patch must not control the owner's terminal.
_CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

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
    """Ends a command with an exit code, a message and the next command to type.

    `facts` are added to the error in the JSON output.
    """

    def __init__(
        self, code: Exit, message: str, next_command: str, facts: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.next_command = next_command
        self.facts = dict(facts or {})


@dataclass
class Session:
    """Options common to every command: the settings file and the output format."""

    config_path: Path | None
    as_json: bool
    _running_config: Config | None = None

    def config(self) -> Config:
        """Load the settings. Raises CommandFailed when there are none or they
        are invalid.
        """
        return self.settings().config

    def running_config(self) -> Config:
        """As `config`. When the file has become invalid, the settings with which
        the gateway was started, as far as a command needs them to reach it.
        """
        from gpt_cursor_runner.config.last_start import last_start

        if self._running_config is not None:
            return self._running_config
        try:
            config = self.config()
        except CommandFailed as failure:
            started = last_start(self.config_path)
            if started is None:
                raise
            click.echo(f"warning: {plain(failure.message)}", err=True)
            config = started
        self._running_config = config
        return config

    def settings(self) -> Settings:
        """As `config`, for a process that keeps running."""
        from gpt_cursor_runner.config import ConfigRefused, find_config
        from gpt_cursor_runner.config.settings import Settings

        try:
            path = find_config(self.config_path)
            if path is None:
                raise ConfigRefused(
                    "There is no runner.toml here, nor in your configuration directory."
                )
            return Settings.load(path)
        except ConfigRefused as error:
            raise CommandFailed(Exit.USAGE, str(error), "gcr init") from error

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Open the ledger and close it at the end. Raises CommandFailed for
        every database error.
        """
        from sqlalchemy.exc import SQLAlchemyError

        from gpt_cursor_runner.wiring.ledger import build_ledger

        config = self.running_config()
        try:
            ledger = build_ledger(config)
            try:
                yield ledger
            finally:
                ledger.close()
        except SQLAlchemyError as error:
            # `orig` is the driver's error, without the SQL that users do not need.
            reason = f"the ledger cannot be used: {getattr(error, 'orig', error)}"
            raise CommandFailed(Exit.FAILED, reason, "gcr doctor") from error

    def print(self, facts: Mapping[str, Any], text: str | Sequence[str] = "") -> None:
        """Print the facts with `--json`, the text otherwise."""
        if self.as_json:
            click.echo(json.dumps({"schema": SCHEMA, **facts}, ensure_ascii=False))
        elif isinstance(text, str):
            click.echo(text)
        else:
            click.echo("\n".join(text))


def command(name: str | None = None, **named: Any) -> Callable[[Callable[..., Any]], click.Command]:  # noqa: ANN401
    """Make a click command with `--json` and `--config` that reports every
    failure in the same form.
    """

    def decorate(function: Callable[..., Any]) -> click.Command:
        @functools.wraps(function)
        def run(*args: Any, config_path: Path | None, as_json: bool, **rest: Any) -> Any:  # noqa: ANN401
            session = Session(config_path, as_json)
            with _report_failures(session):
                return function(session, *args, **rest)

        run = click.option("--json", "as_json", is_flag=True, help="Answer in JSON.")(run)
        run = click.option(
            "--config",
            "config_path",
            type=click.Path(path_type=Path),
            help="The settings file, runner.toml.",
        )(run)
        result: click.Command = click.command(name, **named)(run)  # type: ignore[no-untyped-call]
        return result

    return decorate


@contextmanager
def _report_failures(session: Session) -> Iterator[None]:
    try:
        yield
    except CommandFailed as failure:
        _exit_with_failure(session, failure)
    except BrokenPipeError:
        # The reader of the pipe has gone; click ends the command silently.
        raise
    except OSError as error:
        message = f"the operating system reported: {error}"
        _exit_with_failure(session, CommandFailed(Exit.FAILED, message, "gcr doctor"))


def plain(text: str) -> str:
    """Escape the control characters of a text, except line feeds and tabs."""
    text = text.replace("\r\n", "\n")
    return _CONTROL_CHARACTERS.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Format rows as aligned columns with a header on a terminal, and as
    tab-separated lines without one when piped.
    """
    lines = list(map(_plain_cells, rows))
    if not sys.stdout.isatty():
        return ["\t".join(cells) for cells in lines]
    return _aligned_table(headers, lines)


def _aligned_table(headers: Sequence[str], lines: Sequence[list[str]]) -> list[str]:
    columns = zip(headers, *lines, strict=True)
    widths = [max(map(len, column)) for column in columns]
    header = click.style(_aligned(headers, widths), bold=True)
    return [header, *(_aligned(cells, widths) for cells in lines)]


def _plain_cells(row: Sequence[object]) -> list[str]:
    return [plain(str(cell)) for cell in row]


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = map(str.ljust, cells, widths)
    return "  ".join(padded).rstrip()


def _exit_with_failure(session: Session, failure: CommandFailed) -> NoReturn:
    if session.as_json:
        error = {
            "message": failure.message,
            "next_command": failure.next_command,
            **failure.facts,
        }
        click.echo(json.dumps({"schema": SCHEMA, "error": error}, ensure_ascii=False))
    else:
        click.echo(f"{click.style('failed', fg='red')}: {plain(failure.message)}", err=True)
        click.echo(f"next: {failure.next_command}", err=True)
    raise SystemExit(int(failure.code))
