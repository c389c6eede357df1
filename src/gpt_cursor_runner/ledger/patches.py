"""Patches as the ledger stores them, and their acceptance: stored once, on the
disk, before the sender gets an answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Row, select

from gpt_cursor_runner.ledger import events
from gpt_cursor_runner.ledger.database import Database, from_row
from gpt_cursor_runner.ledger.schema import deliveries, patches
from gpt_cursor_runner.patch.events import Accepted
from gpt_cursor_runner.patch.model import Patch
from gpt_cursor_runner.patch.status import Status


class UnknownPatch(KeyError):
    """The ledger has no patch of this id."""


class IdTaken(Exception):
    """The ledger has a different patch under this id."""


@dataclass(frozen=True)
class StoredPatch:
    """A patch as the ledger holds it. Times are epoch seconds; `seq` is the
    number of its arrival, `token` the fencing token of its last claim.
    """

    seq: int
    id: str
    digest: str
    repository: str
    branch: str
    title: str
    priority: int
    body: dict[str, Any]
    status: Status
    submitted_by: str
    accepted_at: float
    updated_at: float
    token: int
    attempts: int
    leased_by: str | None
    approved_by: str | None
    cancel_asked_by: str | None
    outcome: dict[str, Any] | None
    reported_at: float | None

    @cached_property
    def patch(self) -> Patch:
        """The body as a patch, validated at the first access only."""
        return Patch.model_validate(self.body, strict=False)

    def to_json(self) -> dict[str, Any]:
        """The patch as the API returns it. The body is left out: it is in the
        evidence.
        """
        return {
            "patch_id": self.id,
            "title": self.title,
            "status": self.status,
            "repository": self.repository,
            "branch": self.branch,
            "digest": self.digest,
            "priority": self.priority,
            "submitted_by": self.submitted_by,
            "accepted_at": self.accepted_at,
            "updated_at": self.updated_at,
            "attempts": self.attempts,
            "outcome": self.outcome,
        }


@dataclass(frozen=True)
class Delivery:
    """One HTTP request that carried a patch: its body, byte for byte, and the
    key it was sent with.
    """

    request_id: str
    at: float
    submitted_by: str
    content_type: str
    body: bytes
    key_id: str | None = None


@dataclass(frozen=True)
class AdmittedPatch:
    """A valid patch for a branch of a repository, ready to be recorded.
    `health` is the overall status of /health at that moment.
    """

    patch: Patch
    repository: str
    branch: str
    delivery: Delivery
    warnings: tuple[str, ...] = ()
    health: str | None = None


@dataclass(frozen=True)
class Receipt:
    """The answer to an accepted patch. `replayed`: the ledger had the same
    patch under the same id before.
    """

    status: Status
    digest: str
    replayed: bool
    warnings: tuple[str, ...] = ()


class Intake:
    """Adds patches to the ledger; nothing else does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accept(self, admissions: Sequence[AdmittedPatch]) -> list[Receipt | IdTaken]:
        """Store all of these in one transaction, which is on the disk when this
        returns. The answers are in the order of the admissions.
        """
        with self._database.write() as connection:
            return [_accept(connection, admitted) for admitted in admissions]


def find(connection: Connection, patch_id: str) -> StoredPatch:
    """The patch of that id; raise UnknownPatch when there is none."""
    row = connection.execute(select(patches).where(patches.c.id == patch_id)).first()
    if row is None:
        raise UnknownPatch(patch_id)
    return stored_patch(row)


def stored_patch(row: Row[Any]) -> StoredPatch:
    return from_row(StoredPatch, row, status=Status(row.status))


def _accept(connection: Connection, admitted: AdmittedPatch) -> Receipt | IdTaken:
    patch, delivery = admitted.patch, admitted.delivery
    digest = patch.digest()
    existing = connection.execute(
        select(patches.c.digest, patches.c.status).where(patches.c.id == patch.id)
    ).first()
    if existing is not None:
        if existing.digest != digest:
            return IdTaken(patch.id)
        return Receipt(Status(existing.status), digest, replayed=True)
    warnings = (*admitted.warnings, *_reused_names(connection, patch))
    body_sha256 = hashlib.sha256(delivery.body).hexdigest()
    connection.execute(patches.insert().values(_patch_row(admitted, digest)))
    connection.execute(deliveries.insert().values(_delivery_row(admitted, body_sha256)))
    accepted = Accepted(delivery.request_id, digest, body_sha256, admitted.health, warnings)
    events.append(connection, patch.id, accepted, delivery.submitted_by, delivery.at)
    return Receipt(Status.QUEUED, digest, replayed=False, warnings=warnings)


def _patch_row(admitted: AdmittedPatch, digest: str) -> dict[str, Any]:
    patch, delivery = admitted.patch, admitted.delivery
    return {
        "id": patch.id,
        "digest": digest,
        "repository": admitted.repository,
        "branch": admitted.branch,
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


def _delivery_row(admitted: AdmittedPatch, body_sha256: str) -> dict[str, Any]:
    delivery = admitted.delivery
    return {
        "request_id": delivery.request_id,
        "patch_id": admitted.patch.id,
        "at": delivery.at,
        "key_id": delivery.key_id,
        "content_type": delivery.content_type,
        "body": delivery.body,
        "body_sha256": body_sha256,
    }


def _reused_names(connection: Connection, patch: Patch) -> list[str]:
    """Warnings for a version or phase that an earlier patch has too. Both are
    names that people choose, so they are not required to be unique.
    """
    warnings = []
    for name in ("version", "phase"):
        value = getattr(patch.identity, name)
        if value is None:
            continue
        earlier_id = connection.execute(
            select(patches.c.id).where(patches.c[name] == value).limit(1)
        ).scalar()
        if earlier_id is not None:
            warnings.append(f"{name} {value} is already used by {earlier_id}")
    return warnings
