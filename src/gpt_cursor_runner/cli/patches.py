"""`gcr patches`: the list, the latest first."""

from __future__ import annotations

import click

from gpt_cursor_runner.cli.output import Session, command, table
from gpt_cursor_runner.patch.status import Status
from gpt_cursor_runner.system.clock import format_local


@command("patches")
@click.option(
    "--status", type=click.Choice([one.value for one in Status]), help="Only those in this state."
)
@click.option("--repository", help="Only those of this repository.")
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True)
def patches(session: Session, status: str | None, repository: str | None, limit: int) -> None:
    """List patches, the latest first."""
    with session.ledger() as ledger:
        found = ledger.queries.page(Status(status) if status else None, repository, limit)
    rows = [
        (one.status, one.id, one.repository, format_local(one.accepted_at), one.title)
        for one in found
    ]
    lines = table(("STATUS", "ID", "REPOSITORY", "ACCEPTED", "TITLE"), rows)
    empty = "No patches yet. Send one: gcr send FILE --wait"
    session.say({"patches": [one.to_json() for one in found]}, lines if found else empty)
