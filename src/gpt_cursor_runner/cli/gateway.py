"""`gcr gateway`: runs the gateway alone, in the foreground."""

from __future__ import annotations

import os
import signal

import click

from gpt_cursor_runner.alerts.sink import InvalidSink
from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.config import Config, export, find_config
from gpt_cursor_runner.config.last_start import record_start
from gpt_cursor_runner.gateway.serve import PortTaken, serve
from gpt_cursor_runner.system.supervision import follow_parent
from gpt_cursor_runner.wiring.health import alert_sinks
from gpt_cursor_runner.wiring.logs import configure_logs

_TARGET = "gpt_cursor_runner.wsgi:application"


@command("gateway")
@click.option(
    "--insecure-no-auth", is_flag=True, help="Accept requests from this machine without a key."
)
@click.option("--parent", type=int, hidden=True, help="End when this process ends.")
def gateway(session: Session, insecure_no_auth: bool, parent: int | None) -> None:
    """Serve the webhook, health and the read API in the foreground."""
    path = find_config(session.config_path)
    export(path, insecure_no_auth)
    config = session.config()
    record_start(path, config)
    configure_logs(config.state, "granian")
    require_key(session)
    require_working_sinks(config)
    if parent is not None:
        follow_parent(parent, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        serve(_TARGET, config.server.host, config.server.port)
    except PortTaken as taken:
        raise CommandFailed(Exit.FAILED, str(taken), "gcr doctor") from taken


def require_key(session: Session) -> None:
    """Raise CommandFailed when no key is live and requests need one."""
    if session.config().server.insecure_no_auth:
        return
    with session.ledger() as ledger:
        if ledger.keys.any_live(ledger.clock()):
            return
    message = "there is no key, so no request would be accepted"
    next_command = "gcr key create NAME --scope submit --scope read"
    raise CommandFailed(Exit.NOT_ALLOWED, message, next_command)


def require_working_sinks(config: Config) -> None:
    """Raise CommandFailed when an alert sink cannot work: missing alerts would
    look like good health.
    """
    try:
        alert_sinks(config)
    except InvalidSink as refused:
        raise CommandFailed(Exit.USAGE, str(refused), "gcr doctor") from refused
