"""`gcr key`: makes, lists, revokes and rotates keys. The text of a key is shown
once and stored nowhere.
"""

from __future__ import annotations

import click

from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command, plain, table
from gpt_cursor_runner.ledger.keys import SCOPES, Key
from gpt_cursor_runner.ledger.ledger import Ledger

_DAY_SECONDS = 86_400.0
_HOUR_SECONDS = 3600.0


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
    help="Repeatable. Default: submit and read.",
)
@click.option(
    "--days",
    type=click.FloatRange(0, 36_500, min_open=True),
    help="Days until the key expires. Default: never.",
)
def create(session: Session, name: str, scopes: tuple[str, ...], days: float | None) -> None:
    """Make a key and show its text, once."""
    label = " ".join(name.split())[:100]
    if not label:
        raise CommandFailed(Exit.USAGE, "a key needs a name", "gcr key create NAME")
    with session.ledger() as ledger:
        now = ledger.clock()
        expires_at = None
        if days is not None:
            expires_at = now + days * _DAY_SECONDS
        created, text = ledger.keys.create(label, scopes or ("submit", "read"), now, expires_at)
    note = f"shown once; name {plain(label)}, scopes {_scopes(created)}"
    session.print({"key": text, **created.to_json()}, [text, note])


@command("list")
def list_keys(session: Session) -> None:
    """List the keys, without their texts."""
    with session.ledger() as ledger:
        keys, now = ledger.keys.list(), ledger.clock()
    rows = [(entry.id, entry.name, _scopes(entry), _state(entry, now)) for entry in keys]
    facts = {"keys": [entry.to_json() for entry in keys]}
    session.print(facts, table(("ID", "NAME", "SCOPES", "STATE"), rows))


@command("revoke")
@click.argument("key_id", metavar="ID")
def revoke(session: Session, key_id: str) -> None:
    """Revoke a key at once."""
    with session.ledger() as ledger:
        if not ledger.keys.revoke(key_id, ledger.clock()):
            raise _no_live_key(key_id)
    session.print({"id": key_id, "revoked": True}, f"Key {key_id} is revoked")


@command("rotate")
@click.argument("key_id", metavar="ID")
@click.option(
    "--grace-hours",
    type=click.FloatRange(0, 8760),
    default=24,
    show_default=True,
    help="How long the old key stays valid.",
)
def rotate(session: Session, key_id: str, grace_hours: float) -> None:
    """Replace the key ID by a new one; ID expires after a grace period."""
    with session.ledger() as ledger:
        now = ledger.clock()
        old = _live_key(ledger, key_id, now)
        created, text = ledger.keys.create(old.name, sorted(old.scopes), now, old.expires_at)
        ledger.keys.expire(key_id, now + grace_hours * _HOUR_SECONDS)
    facts = {"key": text, "replaces": key_id, **created.to_json()}
    session.print(facts, [text, f"shown once; {key_id} expires in {grace_hours:g} h"])


def _live_key(ledger: Ledger, key_id: str, now: float) -> Key:
    for entry in ledger.keys.list():
        if entry.id == key_id and entry.is_live(now):
            return entry
    raise _no_live_key(key_id)


def _no_live_key(key_id: str) -> CommandFailed:
    return CommandFailed(Exit.FAILED, f"there is no live key {key_id}", "gcr key list")


def _scopes(entry: Key) -> str:
    return ",".join(sorted(entry.scopes))


def _state(entry: Key, now: float) -> str:
    if entry.is_live(now):
        return "live"
    return "ended"


for subcommand in (create, list_keys, revoke, rotate):
    key.add_command(subcommand)
