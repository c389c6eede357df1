"""`gcr gateway`: the HTTP door alone, in the foreground."""

from __future__ import annotations

import os
import signal

import click

from gpt_cursor_runner.alerts.sink import InvalidSink
from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.config import Config, export, find_config
from gpt_cursor_runner.gateway.serve import PortTaken, serve
from gpt_cursor_runner.system.supervision import follow_parent
from gpt_cursor_runner.wiring.health import alert_sinks
from gpt_cursor_runner.wiring.logs import configure_logs

_TARGET = "gpt_cursor_runner.wsgi:application"


@command("gateway")
@click.option(
    "--insecure-no-auth", is_flag=True, help="Let everybody on this machine in without a key."
)
@click.option("--parent", type=int, hidden=True, help="End when this process ends.")
def gateway(session: Session, insecure_no_auth: bool, parent: int | None) -> None:
    """Serve the webhook, health and the read API in the foreground."""
    export(find_config(session.config_path), insecure_no_auth)
    config = session.config()
    configure_logs(config.state, "granian")
    refuse_without_a_key(session)
    refuse_useless_sinks(config)
    if parent is not None:
        follow_parent(parent, lambda: os.kill(os.getpid(), signal.SIGTERM))
    try:
        serve(_TARGET, config.server.host, config.server.port)
    except PortTaken as taken:
        raise CommandFailed(Exit.FAILED, str(taken), "gcr doctor") from taken


def refuse_without_a_key(session: Session) -> None:
    """End the command when no key is live, unless everybody on this machine was
    let in aloud.
    """
    with session.ledger() as ledger:
        if session.config().server.insecure_no_auth or ledger.keys.any_live(ledger.clock()):
            return
    message = "there is no key, so nobody could send a patch"
    raise CommandFailed(
        Exit.NOT_ALLOWED, message, "gcr key create NAME --scope submit --scope read"
    )


def refuse_useless_sinks(config: Config) -> None:
    """End the command when alerts are to go where they cannot: silence must not
    look like good health.
    """
    try:
        alert_sinks(config)
    except InvalidSink as refused:
        raise CommandFailed(Exit.USAGE, str(refused), "gcr doctor") from refused
