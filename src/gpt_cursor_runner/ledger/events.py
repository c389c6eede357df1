"""Events: append-only, each with a digest over itself and the digest of the one
before it, so that a later change of any event is detected.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from gpt_cursor_runner.ledger.database import from_row
from gpt_cursor_runner.ledger.schema import events
from gpt_cursor_runner.patch.events import EventKind, EventPayload

GENESIS = "0" * 64


@dataclass(frozen=True)
class Event:
    """One event of a patch. `at` is epoch seconds; `seq` numbers the events of
    all patches together.
    """

    seq: int
    patch_id: str
    at: float
    kind: str
    actor: str
    data: dict[str, Any]
    previous: str
    digest: str

    def to_json(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "at": self.at,
            "kind": self.kind,
            "actor": self.actor,
            "data": self.data,
        }


def append(
    connection: Connection, patch_id: str, payload: EventPayload, actor: str, at: float
) -> None:
    """Add an event to the chain, inside the caller's transaction."""
    # The caller holds the write lock, so no other writer reads the same last
    # event. If one ever did, the unique index on `previous` would reject it.
    last_digest = select(events.c.digest).order_by(events.c.seq.desc()).limit(1)
    previous = connection.execute(last_digest).scalar() or GENESIS
    kind, data = payload.kind, payload.to_json()
    row = {
        "patch_id": patch_id,
        "at": at,
        "kind": kind,
        "actor": actor,
        "data": data,
        "previous": previous,
        "digest": chain_digest(previous, patch_id, at, kind, actor, data),
    }
    connection.execute(events.insert().values(row))


def chain_digest(
    previous: str, patch_id: str, at: float, kind: str, actor: str, data: dict[str, Any]
) -> str:
    """SHA-256 over the event and the digest of the event before it."""
    members = [previous, patch_id, at, kind, actor, data]
    text = json.dumps(members, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def read(connection: Connection, patch_id: str) -> list[Event]:
    """The events of one patch, oldest first."""
    query = select(events).where(events.c.patch_id == patch_id).order_by(events.c.seq)
    return [from_row(Event, row) for row in connection.execute(query)]


def has_kind(connection: Connection, patch_id: str, kind: EventKind) -> bool:
    """Whether the patch has an event of this kind."""
    query = select(events.c.seq).where(events.c.patch_id == patch_id, events.c.kind == kind)
    return connection.execute(query.limit(1)).first() is not None


def first_broken_link(connection: Connection) -> Event | None:
    """Recompute the chain. Returns the first event that does not follow from
    the one before it, or None.
    """
    previous = GENESIS
    for row in connection.execute(select(events).order_by(events.c.seq)):
        event = from_row(Event, row)
        digest = chain_digest(
            previous, event.patch_id, event.at, event.kind, event.actor, event.data
        )
        if event.previous != previous or event.digest != digest:
            return event
        previous = event.digest
    return None
