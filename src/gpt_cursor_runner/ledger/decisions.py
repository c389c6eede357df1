"""What a person or a sender may decide of a patch: cancel, approve, reject, retry."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, update

from gpt_cursor_runner.ledger import events
from gpt_cursor_runner.ledger.schema import patches
from gpt_cursor_runner.ledger.stored import Stored, find
from gpt_cursor_runner.patch.status import Status, may_move


class IllegalMove(Exception):
    """The patch is not in a state from which this move is possible; `status` is the state it is in."""

    def __init__(self, patch_id: str, status: Status, wish: str) -> None:
        super().__init__(f"{patch_id} is {status}; it cannot be {wish}")
        self.status = status


class Decisions:
    """Moves that somebody asked for; `actor` is who. Each raises UnknownPatch or IllegalMove when it cannot be."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def cancel(self, patch_id: str, actor: str, now: float) -> Status:
        """Cancel a queued patch at once; ask the runner to stop a running one. The status it has afterwards."""
        with self._engine.begin() as connection:
            stored = find(connection, patch_id)
            if stored.status is Status.RUNNING:
                connection.execute(update(patches).where(patches.c.id == patch_id).values(cancel_asked_by=actor))
                events.append(connection, patch_id, "cancel_asked", actor, now, {})
                return Status.RUNNING
            outcome = {"code": "cancelled", "message": f"cancelled by {actor} before it ran"}
            _decide(connection, stored, Status.CANCELLED, "cancelled", actor, now, outcome=outcome)
            return Status.CANCELLED

    def approve(self, patch_id: str, actor: str, now: float) -> None:
        """Let a held patch go on; the approval covers the patch as it was sent, under its digest."""
        with self._engine.begin() as connection:
            stored = find(connection, patch_id)
            _decide(connection, stored, Status.QUEUED, "approved", actor, now, approved_by=actor)

    def reject(self, patch_id: str, actor: str, now: float, reason: str) -> None:
        """Refuse a held patch for good."""
        with self._engine.begin() as connection:
            outcome = {"code": "rejected_by_owner", "message": reason or f"rejected by {actor}"}
            stored = find(connection, patch_id)
            _decide(connection, stored, Status.REJECTED, "rejected", actor, now, outcome=outcome)

    def retry(self, patch_id: str, actor: str, now: float) -> None:
        """Queue a failed or held patch again, with its attempts counted anew."""
        with self._engine.begin() as connection:
            stored = find(connection, patch_id)
            again = {"attempts": 0, "reported_at": None, "not_before": 0.0}
            _decide(connection, stored, Status.QUEUED, "retried", actor, now, **again)


def _decide(
    connection: Connection, stored: Stored, to: Status, kind: str, actor: str, now: float, **values: object
) -> None:
    if not may_move(stored.status, to):
        raise IllegalMove(stored.id, stored.status, kind)
    here = (patches.c.id == stored.id) & (patches.c.status == stored.status)
    moved = connection.execute(update(patches).where(here).values(status=to, updated_at=now, **values))
    if moved.rowcount != 1:
        raise IllegalMove(stored.id, stored.status, kind)
    outcome = values.get("outcome")
    events.append(connection, stored.id, kind, actor, now, outcome if isinstance(outcome, dict) else {})
