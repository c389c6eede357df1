"""`gcr cancel`, `retry`, `approve`, `reject`: what a person decides of a patch."""

from __future__ import annotations

import getpass
import os
import shlex
from collections.abc import Callable

import click

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.ledger.moves import Decisions, IllegalMove
from gpt_cursor_runner.ledger.patches import UnknownPatch


@command("cancel")
@click.argument("patch_id", metavar="ID")
def cancel(session: Session, patch_id: str) -> None:
    """Cancel a patch that waits or runs."""
    _decide(session, patch_id, lambda decisions, actor, now: decisions.cancel(patch_id, actor, now))


@command("retry")
@click.argument("patch_id", metavar="ID")
def retry(session: Session, patch_id: str) -> None:
    """Queue a failed or held patch again."""
    _decide(session, patch_id, lambda decisions, actor, now: decisions.retry(patch_id, actor, now))


@command("approve")
@click.argument("patch_id", metavar="ID")
def approve(session: Session, patch_id: str) -> None:
    """Let a held patch go on."""
    _decide(
        session, patch_id, lambda decisions, actor, now: decisions.approve(patch_id, actor, now)
    )


@command("reject")
@click.argument("patch_id", metavar="ID")
@click.option("--reason", "-m", default="", help="Why; it goes into the report.")
def reject(session: Session, patch_id: str, reason: str) -> None:
    """Refuse a held patch for good."""
    _decide(
        session,
        patch_id,
        lambda decisions, actor, now: decisions.reject(patch_id, actor, now, reason),
    )


def _decide(
    session: Session, patch_id: str, act: Callable[[Decisions, str, float], object]
) -> None:
    with session.ledger() as ledger:
        try:
            act(ledger.decisions, f"{_user()} (local)", ledger.clock())
        except UnknownPatch:
            raise CommandFailed(
                Exit.FAILED, f"there is no patch {patch_id}", "gcr patches"
            ) from None
        except IllegalMove as illegal:
            raise CommandFailed(
                Exit.FAILED, str(illegal), f"gcr show {shlex.quote(patch_id)}"
            ) from illegal
        stored = ledger.queries.get(patch_id)
    session.say({"patch": stored.to_json()}, f"{patch_id}: {stored.status}")


def _user() -> str:
    try:
        return getpass.getuser()[:80]
    except (KeyError, OSError):  # a container may run under a number that has no name
        return f"user {os.getuid()}"
