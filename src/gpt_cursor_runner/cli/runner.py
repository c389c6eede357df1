"""`gcr runner`: the ghost alone, in the foreground."""

from __future__ import annotations

import signal
import threading

import click

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.engine.runner_lock import RunnerAlreadyHere
from gpt_cursor_runner.system.supervision import parent_is_gone
from gpt_cursor_runner.wiring.logs import configure_logs
from gpt_cursor_runner.wiring.runner import build_runner


@command("runner")
@click.option("--parent", type=int, hidden=True, help="End when this process ends.")
def runner(session: Session, parent: int | None) -> None:
    """Claim patches and work on them, in the foreground."""
    config = session.config()
    configure_logs(config.state, "runner")
    told_to_stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told_to_stop.set())

    def should_stop() -> bool:
        return told_to_stop.is_set() or (parent is not None and parent_is_gone(parent))

    try:
        build_runner(config, should_stop).run()
    except RunnerAlreadyHere as already:
        raise CommandFailed(Exit.FAILED, str(already), "gcr status") from already
