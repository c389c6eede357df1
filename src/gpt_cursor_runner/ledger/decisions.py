"""What a person or a sender may decide of a patch: cancel, approve, reject,
retry.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, update

from gpt_cursor_runner.ledger import events
from gpt_cursor_runner.ledger.database import Database
from gpt_cursor_runner.ledger.schema import patches
from gpt_cursor_runner.ledger.stored import Stored, find
from gpt_cursor_runner.patch.status import Status, may_move

# What queueing a patch once more wipes out: neither its old attempts nor an old
# wish to cancel counts against it.
_AFRESH: dict[str, Any] = {"attempts": 0, "not_before": 0.0, "cancel_asked_by": None}

# The states from which a person may decide. The runner's own moves, though
# legal, are not theirs to make.
_FROM = {
    "cancelled": frozenset({Status.QUEUED}),
    "approved": frozenset({Status.HELD}),
    "rejected": frozenset({Status.HELD}),
    "retried": frozenset({Status.HELD, Status.FAILED}),
}


class IllegalMove(Exception):
    """The patch is not in a state from which this move is possible; `status` is
    the state it is in.
    """

    def __init__(self, patch_id: str, status: Status, wish: str) -> None:
        super().__init__(f"{patch_id} is {status}; it cannot be {wish}")
        self.status = status


class Decisions:
    """Moves that somebody asked for; `actor` is who. Each raises UnknownPatch
    or IllegalMove when it cannot be.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def cancel(self, patch_id: str, actor: str, now: float) -> Status:
        """Cancel a queued patch at once; ask the runner to stop one at work.
        The status it has afterwards.

        A queued patch that was once about to land is the runner's to cancel,
        too: its runner may have been lost after the branch had moved, and only
        a look at the branch can tell.
        """
        with self._database.write() as connection:
            stored = find(connection, patch_id)
            may_have_landed = stored.status is Status.QUEUED and events.has_kind(
                connection, patch_id, "landing"
            )
            if stored.status is Status.RUNNING or may_have_landed:
                _ask_to_stop(connection, stored, actor, now)
                return stored.status
            outcome = {"code": "cancelled", "message": f"cancelled by {actor} before it ran"}
            _decide(
                connection,
                stored,
                Status.CANCELLED,
                "cancelled",
                actor,
                now,
                outcome,
                outcome=outcome,
            )
            return Status.CANCELLED

    def approve(self, patch_id: str, actor: str, now: float) -> None:
        """Let a held patch go on; the approval covers the patch as it was sent,
        under its digest.
        """
        with self._database.write() as connection:
            stored = find(connection, patch_id)
            facts = {"digest": stored.digest}
            _decide(
                connection,
                stored,
                Status.QUEUED,
                "approved",
                actor,
                now,
                facts,
                approved_by=actor,
                **_AFRESH,
            )

    def reject(self, patch_id: str, actor: str, now: float, reason: str) -> None:
        """Refuse a held patch for good."""
        outcome = {"code": "rejected_by_owner", "message": reason or f"rejected by {actor}"}
        with self._database.write() as connection:
            stored = find(connection, patch_id)
            _decide(
                connection,
                stored,
                Status.REJECTED,
                "rejected",
                actor,
                now,
                outcome,
                outcome=outcome,
            )

    def retry(self, patch_id: str, actor: str, now: float) -> None:
        """Queue a failed or held patch again, with its attempts counted anew."""
        with self._database.write() as connection:
            stored = find(connection, patch_id)
            _decide(connection, stored, Status.QUEUED, "retried", actor, now, {}, **_AFRESH)


def _ask_to_stop(connection: Connection, stored: Stored, actor: str, now: float) -> None:
    """Asking twice is asking once: a client that repeats itself does not
    lengthen the chain.
    """
    if stored.cancel_asked_by is not None:
        return
    here = (patches.c.id == stored.id) & (patches.c.status == stored.status)
    asked = update(patches).where(here).values(cancel_asked_by=actor, not_before=0.0)
    if connection.execute(asked).rowcount != 1:
        raise IllegalMove(stored.id, stored.status, "cancelled")
    events.append(connection, stored.id, "cancel_asked", actor, now, {})


def _decide(
    connection: Connection,
    stored: Stored,
    to: Status,
    kind: str,
    actor: str,
    now: float,
    facts: dict[str, Any],
    **values: object,
) -> None:
    if stored.status not in _FROM[kind] or not may_move(stored.status, to):
        raise IllegalMove(stored.id, stored.status, kind)
    here = (patches.c.id == stored.id) & (patches.c.status == stored.status)
    moved = (
        update(patches).where(here).values(status=to, updated_at=now, reported_at=None, **values)
    )
    if connection.execute(moved).rowcount != 1:
        raise IllegalMove(stored.id, stored.status, kind)
    events.append(connection, stored.id, kind, actor, now, facts)
