"""Accepting patches: kept once, on the disk, before anybody is told so."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from gpt_cursor_runner.ledger import events
from gpt_cursor_runner.ledger.database import Database
from gpt_cursor_runner.ledger.schema import deliveries, patches
from gpt_cursor_runner.patch.model import Patch
from gpt_cursor_runner.patch.status import Status


@dataclass(frozen=True)
class Delivery:
    """One HTTP arrival: what came in, byte for byte, and with whose key."""

    request_id: str
    at: float
    submitted_by: str
    content_type: str
    body: bytes
    key_id: str | None = None


@dataclass(frozen=True)
class AdmittedPatch:
    """A patch that may be recorded, with its target branch and the request it
    came in. `observed` goes into its first event.
    """

    patch: Patch
    repository: str
    branch: str
    delivery: Delivery
    warnings: tuple[str, ...] = ()
    observed: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Receipt:
    """The ledger's answer to an admission. `replayed`: the same id and patch
    had been accepted before.
    """

    status: Status
    digest: str
    replayed: bool
    warnings: tuple[str, ...] = ()


class IdTaken(Exception):
    """The id stands in the ledger with another patch under it."""


class Intake:
    """The one way into the ledger."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(self, admissions: Sequence[AdmittedPatch]) -> list[Receipt | IdTaken]:
        """Keep all of these in one transaction, on the disk when this returns.
        Repeats are recognised one by one.
        """
        with self._database.write() as connection:
            return [self._accept_one(connection, one) for one in admissions]

    def _accept_one(self, connection: Connection, wish: AdmittedPatch) -> Receipt | IdTaken:
        patch, delivery = wish.patch, wish.delivery
        digest = patch.digest()
        known = connection.execute(
            select(patches.c.digest, patches.c.status).where(patches.c.id == patch.id)
        ).first()
        if known is not None:
            return (
                Receipt(Status(known.status), digest, True)
                if known.digest == digest
                else IdTaken(patch.id)
            )
        warnings = (*wish.warnings, *_collisions(connection, patch))
        connection.execute(patches.insert().values(_patch_row(wish, digest)))
        received = _delivery_row(wish)
        connection.execute(deliveries.insert().values(received))
        facts = {
            "request_id": delivery.request_id,
            "digest": digest,
            "body_sha256": received["body_sha256"],
        }
        facts |= wish.observed | ({"warnings": list(warnings)} if warnings else {})
        events.append(connection, patch.id, "accepted", delivery.submitted_by, delivery.at, facts)
        return Receipt(Status.QUEUED, digest, False, warnings)


def _patch_row(wish: AdmittedPatch, digest: str) -> dict[str, Any]:
    patch, delivery = wish.patch, wish.delivery
    return {
        "id": patch.id,
        "digest": digest,
        "repository": wish.repository,
        "branch": wish.branch,
        "title": patch.title,
        "version": patch.identity.version,
        "phase": patch.identity.phase,
        "priority": patch.priority,
        "body": patch.to_json(),
        "status": Status.QUEUED,
        "submitted_by": delivery.submitted_by,
        "accepted_at": delivery.at,
        "updated_at": delivery.at,
    }


def _delivery_row(wish: AdmittedPatch) -> dict[str, Any]:
    delivery = wish.delivery
    return {
        "request_id": delivery.request_id,
        "patch_id": wish.patch.id,
        "at": delivery.at,
        "key_id": delivery.key_id,
        "content_type": delivery.content_type,
        "body": delivery.body,
        "body_sha256": hashlib.sha256(delivery.body).hexdigest(),
    }


def _collisions(connection: Connection, patch: Patch) -> list[str]:
    """Versions and phases are names people use; a second patch under one is
    allowed and said aloud.
    """
    found = []
    for name in ("version", "phase"):
        value = getattr(patch.identity, name)
        if value is None:
            continue
        other = connection.execute(
            select(patches.c.id).where(patches.c[name] == value).limit(1)
        ).scalar()
        if other is not None:
            found.append(f"{name} {value} is already carried by {other}")
    return found
