"""Events: append-only, each sealed with the digest of the one before it, so
that tampering shows.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from gpt_cursor_runner.ledger.database import from_row
from gpt_cursor_runner.ledger.schema import events
from gpt_cursor_runner.patch.events import EventKind, EventPayload

GENESIS = "0" * 64


@dataclass(frozen=True)
class Event:
    """One thing that happened to a patch. `at` is epoch seconds; `seq` counts
    over the whole ledger.
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
    last = connection.execute(
        select(events.c.digest).order_by(events.c.seq.desc()).limit(1)
    ).scalar()
    previous = last or GENESIS
    kind, data = payload.kind, payload.to_json()
    connection.execute(
        events.insert().values(
            patch_id=patch_id,
            at=at,
            kind=kind,
            actor=actor,
            data=data,
            previous=previous,
            digest=seal(previous, patch_id, at, kind, actor, data),
        )
    )


def seal(
    previous: str, patch_id: str, at: float, kind: str, actor: str, data: dict[str, Any]
) -> str:
    """SHA-256 over the event and the digest of the event before it."""
    text = json.dumps(
        [previous, patch_id, at, kind, actor, data], sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()


def read(connection: Connection, patch_id: str) -> list[Event]:
    """The events of one patch, oldest first."""
    rows = connection.execute(
        select(events).where(events.c.patch_id == patch_id).order_by(events.c.seq)
    )
    return [_event(row) for row in rows]


def has_kind(connection: Connection, patch_id: str, kind: EventKind) -> bool:
    """Whether such a thing ever happened to the patch."""
    one = select(events.c.seq).where(events.c.patch_id == patch_id, events.c.kind == kind).limit(1)
    return connection.execute(one).first() is not None


def first_broken_link(connection: Connection) -> Event | None:
    """Recompute the whole chain; the first event that does not follow from the
    one before it, or None.
    """
    previous = GENESIS
    for row in connection.execute(select(events).order_by(events.c.seq)):
        event = _event(row)
        resealed = seal(previous, event.patch_id, event.at, event.kind, event.actor, event.data)
        if event.previous != previous or event.digest != resealed:
            return event
        previous = event.digest
    return None


def _event(row: Row[Any]) -> Event:
    return from_row(Event, row)
