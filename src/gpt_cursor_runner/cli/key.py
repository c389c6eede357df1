"""`gcr key`: who may do what. Texts of keys are shown once and kept nowhere."""

from __future__ import annotations

import click

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command, plain, table
from gpt_cursor_runner.ledger.keys import SCOPES, Key

_DAY_SECONDS = 86_400.0


@click.group("key")
def key() -> None:
    """Make, list, revoke and rotate keys."""


@command("create")
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="Repeatable; submit and read unless said.",
)
@click.option(
    "--days",
    type=click.FloatRange(0, 36_500, min_open=True),
    help="After how many days it ends; never unless said.",
)
def create(session: Session, name: str, scopes: tuple[str, ...], days: float | None) -> None:
    """Make a key and show its text, once."""
    label = " ".join(name.split())[:100]
    if not label:
        raise CommandFailed(Exit.USAGE, "a key needs a name", "gcr key create NAME")
    with session.ledger() as ledger:
        now = ledger.clock()
        ends_at = now + days * _DAY_SECONDS if days is not None else None
        made, text = ledger.keys.create(label, scopes or ("submit", "read"), now, ends_at)
    session.say(
        {"key": text, **made.to_json()},
        [text, f"shown once; name {plain(label)}, scopes {_scopes(made)}"],
    )


@command("list")
def list_keys(session: Session) -> None:
    """List the keys, without their texts."""
    with session.ledger() as ledger:
        found, now = ledger.keys.list(), ledger.clock()
    rows = [
        (one.id, one.name, _scopes(one), "live" if one.is_live(now) else "ended") for one in found
    ]
    session.say(
        {"keys": [one.to_json() for one in found]}, table(("ID", "NAME", "SCOPES", "STATE"), rows)
    )


@command("revoke")
@click.argument("key_id", metavar="ID")
def revoke(session: Session, key_id: str) -> None:
    """End a key at once."""
    with session.ledger() as ledger:
        if not ledger.keys.revoke(key_id, ledger.clock()):
            raise CommandFailed(Exit.FAILED, f"there is no live key {key_id}", "gcr key list")
    session.say({"id": key_id, "revoked": True}, f"{key_id} opens nothing any more")


@command("rotate")
@click.argument("key_id", metavar="ID")
@click.option(
    "--grace-hours",
    type=click.FloatRange(0, 8760),
    default=24,
    show_default=True,
    help="How long the old key opens.",
)
def rotate(session: Session, key_id: str, grace_hours: float) -> None:
    """Make a key like ID, and let ID end after a grace."""
    with session.ledger() as ledger:
        now = ledger.clock()
        old = next(
            (one for one in ledger.keys.list() if one.id == key_id and one.is_live(now)), None
        )
        if old is None:
            raise CommandFailed(Exit.FAILED, f"there is no live key {key_id}", "gcr key list")
        made, text = ledger.keys.create(old.name, sorted(old.scopes), now, old.expires_at)
        ledger.keys.expire(key_id, now + grace_hours * 3600)
    facts = {"key": text, "replaces": key_id, **made.to_json()}
    session.say(facts, [text, f"shown once; {key_id} ends in {grace_hours:g} h"])


def _scopes(one: Key) -> str:
    return ",".join(sorted(one.scopes))


for subcommand in (create, list_keys, revoke, rotate):
    key.add_command(subcommand)
