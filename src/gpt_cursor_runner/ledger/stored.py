"""A patch as it stands in the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from gpt_cursor_runner.ledger.database import from_row
from gpt_cursor_runner.ledger.schema import patches
from gpt_cursor_runner.patch.model import Patch
from gpt_cursor_runner.patch.status import Status


class UnknownPatch(KeyError):
    """No patch of that id."""


@dataclass(frozen=True)
class Stored:
    """A patch as the ledger holds it."""

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
    leased_until: float | None
    approved_by: str | None
    cancel_asked_by: str | None
    outcome: dict[str, Any] | None
    reported_at: float | None

    @property
    def patch(self) -> Patch:
        return Patch.model_validate(self.body, strict=False)

    def to_json(self) -> dict[str, Any]:
        """The patch as clients read it; the body is in `…/log` and in the
        evidence, not here.
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


def find(connection: Connection, patch_id: str) -> Stored:
    """The patch of that id; raise UnknownPatch when there is none."""
    row = connection.execute(select(patches).where(patches.c.id == patch_id)).first()
    if row is None:
        raise UnknownPatch(patch_id)
    return stored_patch(row)


def stored_patch(row: Row[Any]) -> Stored:
    return from_row(Stored, row, status=Status(row.status))
