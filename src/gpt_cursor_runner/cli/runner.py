"""`gcr runner`: runs the ghost runner alone, in the foreground."""

from __future__ import annotations

import signal

import click

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.engine.runner_lock import RunnerAlreadyHere
from gpt_cursor_runner.system.supervision import event_at_signals, parent_is_gone
from gpt_cursor_runner.wiring.logs import configure_logs
from gpt_cursor_runner.wiring.runner import build_runner


@command("runner")
@click.option("--parent", type=int, hidden=True, help="End when this process ends.")
def runner(session: Session, parent: int | None) -> None:
    """Claim and land patches, in the foreground."""
    settings = session.settings()
    configure_logs(settings.config.state, "runner")
    stop_requested = event_at_signals(signal.SIGTERM, signal.SIGINT)

    def should_stop() -> bool:
        if parent is not None and parent_is_gone(parent):
            return True
        return stop_requested.is_set()

    try:
        build_runner(settings, should_stop).run()
    except RunnerAlreadyHere as error:
        raise CommandFailed(Exit.FAILED, str(error), "gcr status") from error
