"""`gcr cancel`, `retry`, `approve`, `reject`: decisions of a person on a patch."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Callable
from functools import partial

import click

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.ledger.moves import Decisions, IllegalMove
from gpt_cursor_runner.ledger.patches import UnknownPatch

_Decision = Callable[[Decisions, str, str, float], object]


@command("cancel")
@click.argument("patch_id", metavar="ID")
def cancel(session: Session, patch_id: str) -> None:
    """Cancel a queued or running patch."""
    _decide(session, patch_id, Decisions.cancel)


@command("retry")
@click.argument("patch_id", metavar="ID")
def retry(session: Session, patch_id: str) -> None:
    """Queue a failed or held patch again."""
    _decide(session, patch_id, Decisions.retry)


@command("approve")
@click.argument("patch_id", metavar="ID")
def approve(session: Session, patch_id: str) -> None:
    """Approve a held patch and queue it."""
    _decide(session, patch_id, Decisions.approve)


@command("reject")
@click.argument("patch_id", metavar="ID")
@click.option("--reason", "-m", default="", help="The reason, shown in the report.")
def reject(session: Session, patch_id: str, reason: str) -> None:
    """Reject a held patch for good."""
    _decide(session, patch_id, partial(Decisions.reject, reason=reason))


def _decide(session: Session, patch_id: str, decide: _Decision) -> None:
    with session.ledger() as ledger:
        try:
            decide(ledger.decisions, patch_id, f"{_user_name()} (local)", ledger.clock())
        except UnknownPatch:
            message = f"there is no patch {patch_id}"
            raise CommandFailed(Exit.FAILED, message, "gcr patches") from None
        except IllegalMove as error:
            next_command = f"gcr show {shlex.quote(patch_id)}"
            raise CommandFailed(Exit.FAILED, str(error), next_command) from error
        stored = ledger.queries.get(patch_id)
    session.print({"patch": stored.to_json()}, f"{patch_id}: {stored.status}")


def _user_name() -> str:
    try:
        return getpass.getuser()[:80]
    except (KeyError, OSError):
        # A container may run under a user id that has no name.
        return f"user {os.getuid()}"
