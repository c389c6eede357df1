"""`gcr patches`: lists the patches, the latest first."""

from __future__ import annotations

import click

from gpt_cursor_runner.cli.output import Session, command, table
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.status import Status
from gpt_cursor_runner.system.clock import format_local

_STATUSES = [status.value for status in Status]
_HEADERS = ("STATUS", "ID", "REPOSITORY", "ACCEPTED", "TITLE")


@command("patches")
@click.option("--status", type=click.Choice(_STATUSES), help="Only patches in this state.")
@click.option("--repository", help="Only patches of this repository.")
@click.option("--limit", type=click.IntRange(1, 1000), default=30, show_default=True)
def patches(session: Session, status: str | None, repository: str | None, limit: int) -> None:
    """List patches, the latest first."""
    wanted_status = None
    if status:
        wanted_status = Status(status)
    with session.ledger() as ledger:
        page = ledger.queries.page(wanted_status, repository, limit)
    facts = {"patches": [patch.to_json() for patch in page]}
    if page:
        session.print(facts, table(_HEADERS, list(map(_row, page))))
    else:
        session.print(facts, "No patches yet. Send one: gcr send FILE --wait")


def _row(patch: StoredPatch) -> tuple[str, ...]:
    accepted_at = format_local(patch.accepted_at)
    return (patch.status, patch.id, patch.repository, accepted_at, patch.title)
