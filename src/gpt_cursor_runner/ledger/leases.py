"""Working on patches: a lease with a fencing token, and writes that only the
holder of the token gets through.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, select, update

from gpt_cursor_runner.ledger import events
from gpt_cursor_runner.ledger.database import Database
from gpt_cursor_runner.ledger.decisions import IllegalMove
from gpt_cursor_runner.ledger.schema import patches
from gpt_cursor_runner.ledger.stored import Stored, stored_patch
from gpt_cursor_runner.patch.outcome import CancelAsked, LeaseLost
from gpt_cursor_runner.patch.status import Status, may_move


class Leases:
    """Claims and the moves of running patches. Every time is passed in, as
    epoch seconds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def claim(self, runner_id: str, now: float, lease_seconds: float) -> Stored | None:
        """Lease the next patch, by priority and then arrival, of a branch on
        which nothing runs.
        """
        busy = patches.alias("busy")
        same_branch = (busy.c.repository == patches.c.repository) & (
            busy.c.branch == patches.c.branch
        )
        nothing_runs = (
            ~select(busy.c.seq).where(busy.c.status == Status.RUNNING, same_branch).exists()
        )
        turn = (
            select(patches.c.seq)
            .where(patches.c.status == Status.QUEUED, patches.c.not_before <= now, nothing_runs)
            .order_by(patches.c.priority.desc(), patches.c.seq)
            .limit(1)
            .scalar_subquery()
        )
        lease = {"leased_by": runner_id, "leased_until": now + lease_seconds, "updated_at": now}
        statement = (
            update(patches)
            .where(patches.c.seq == turn, patches.c.status == Status.QUEUED)
            .values(
                status=Status.RUNNING,
                token=patches.c.token + 1,
                attempts=patches.c.attempts + 1,
                **lease,
            )
            .returning(patches)
        )
        with self._database.write() as connection:
            row = connection.execute(statement).first()
            if row is None:
                return None
            events.append(
                connection,
                row.id,
                "claimed",
                runner_id,
                now,
                {"attempt": row.attempts, "token": row.token},
            )
            return stored_patch(row)

    def something_waits(self, now: float) -> bool:
        """Whether a patch is queued and due; a read, so that an idle runner
        writes nothing.
        """
        with self._database.read() as connection:
            due = (
                select(patches.c.seq)
                .where(patches.c.status == Status.QUEUED, patches.c.not_before <= now)
                .limit(1)
            )
            return connection.execute(due).first() is not None

    def renew(self, claim: Stored, now: float, lease_seconds: float) -> None:
        """Prolong the lease; raise LeaseLost when it is not ours any more,
        CancelAsked when somebody wants a stop.
        """
        with self._database.write() as connection:
            values = {"leased_until": now + lease_seconds}
            renewed = (
                update(patches)
                .where(_is_ours(claim))
                .values(values)
                .returning(patches.c.cancel_asked_by)
            )
            row = connection.execute(renewed).first()
        if row is None:
            raise LeaseLost(claim.id)
        if row.cancel_asked_by:
            raise CancelAsked(row.cancel_asked_by)

    def record(self, claim: Stored, kind: str, now: float, data: dict[str, Any]) -> None:
        """Add an event to a patch we hold; raise LeaseLost when we do not, and
        CancelAsked when we should stop.
        """
        with self._database.write() as connection:
            touched = update(patches).where(_is_ours(claim)).values(updated_at=now)
            row = connection.execute(
                touched.returning(patches.c.cancel_asked_by, patches.c.leased_by)
            ).first()
            if row is None:
                raise LeaseLost(claim.id)
            events.append(connection, claim.id, kind, row.leased_by, now, data)
        if row.cancel_asked_by:
            raise CancelAsked(row.cancel_asked_by)

    def finish(
        self,
        claim: Stored,
        to: Status,
        now: float,
        outcome: dict[str, Any],
        not_before: float = 0.0,
        counted: bool = True,
    ) -> Status:
        """Give the patch up in state `to` with its outcome; raise LeaseLost
        when it is not ours any more.

        An attempt that is not `counted` (the runner was told to stop) does not
        bring the patch nearer to failing. A patch that would be held, though
        somebody asked to cancel it, is cancelled. The status it has now.
        """
        if not may_move(Status.RUNNING, to):
            raise IllegalMove(claim.id, Status.RUNNING, to)
        with self._database.write() as connection:
            asked_by = connection.execute(
                select(patches.c.cancel_asked_by).where(_is_ours(claim))
            ).scalar()
            if asked_by and to is Status.HELD:
                to, outcome = Status.CANCELLED, cancelled_by(asked_by)
            changes: dict[str, Any] = {
                "status": to,
                "outcome": outcome,
                "updated_at": now,
                "reported_at": None,
            }
            changes |= {
                "not_before": 0.0 if asked_by else not_before,
                "attempts": patches.c.attempts - (0 if counted else 1),
                **_FREE,
            }
            if (
                connection.execute(update(patches).where(_is_ours(claim)).values(changes)).rowcount
                != 1
            ):
                raise LeaseLost(claim.id)
            kind = "requeued" if to is Status.QUEUED else to.value
            events.append(connection, claim.id, kind, claim.leased_by or "runner", now, outcome)
        return to

    def reclaim(self, now: float, everything: bool = False) -> list[str]:
        """Queue again what lost runners held: leases that ran out, or all when
        no other runner can be alive.
        """
        lost = select(patches).where(patches.c.status == Status.RUNNING)
        if not everything:
            lost = lost.where(patches.c.leased_until < now)
        freed = []
        with self._database.write() as connection:
            for claim in [stored_patch(row) for row in connection.execute(lost)]:
                values = {"status": Status.QUEUED, "updated_at": now, "reported_at": None, **_FREE}
                if (
                    connection.execute(
                        update(patches).where(_is_ours(claim)).values(values)
                    ).rowcount
                    != 1
                ):
                    continue  # it ended, or was taken back by somebody else, since we looked
                facts = {"runner": claim.leased_by, "attempt": claim.attempts}
                events.append(connection, claim.id, "lease_lost", "engine", now, facts)
                freed.append(claim.id)
        return freed

    def mark_reported(self, stored: Stored, now: float, facts: dict[str, Any]) -> None:
        """Note that the report of this state was written; a patch that has
        moved on since stays owed.

        Status and token say which state that was: no patch comes back into an
        ended state without a new claim. Times would not do, since a clock that
        is set back makes a later move look earlier.
        """
        same = (
            (patches.c.id == stored.id)
            & (patches.c.status == stored.status)
            & (patches.c.token == stored.token)
        )
        owed = same & patches.c.reported_at.is_(None)
        with self._database.write() as connection:
            if (
                connection.execute(update(patches).where(owed).values(reported_at=now)).rowcount
                == 1
            ):
                events.append(connection, stored.id, "reported", "runner", now, facts)


_FREE: dict[str, Any] = {"leased_by": None, "leased_until": None}


def cancelled_by(actor: str) -> dict[str, Any]:
    """The outcome of a patch that somebody cancelled while it ran."""
    return {"code": "cancelled", "message": f"cancelled by {actor} while it ran"}


def _is_ours(claim: Stored) -> ColumnElement[bool]:
    """True of the patch only while it runs under the token of this claim."""
    return (
        (patches.c.id == claim.id)
        & (patches.c.token == claim.token)
        & (patches.c.status == Status.RUNNING)
    )
