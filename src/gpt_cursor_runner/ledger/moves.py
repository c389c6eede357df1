"""Moves of patches from state to state, by a runner or by a person.

Each move is one transaction: an UPDATE that names the expected state (and, for
a runner, the token of its claim) and must change one row, and the event of the
move.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, ScalarSelect, select, update

from gpt_cursor_runner.ledger import events
from gpt_cursor_runner.ledger.database import Database
from gpt_cursor_runner.ledger.patches import StoredPatch, find, stored_patch
from gpt_cursor_runner.ledger.schema import patches
from gpt_cursor_runner.patch.events import (
    Approved,
    CancelRequested,
    Claimed,
    EventKind,
    EventPayload,
    LeaseReclaimed,
    Reported,
    Retried,
)
from gpt_cursor_runner.patch.faults import CancelAsked, LeaseLost
from gpt_cursor_runner.patch.outcome import (
    Blocked,
    Cancelled,
    Held,
    Interrupted,
    Outcome,
    RejectedByOwner,
)
from gpt_cursor_runner.patch.status import Status, may_move

_NO_LEASE: dict[str, Any] = {"leased_by": None}
# A patch that a person queues again starts like a new one: neither its earlier
# attempts nor an earlier request to cancel count.
_FRESH_START: dict[str, Any] = {"attempts": 0, "not_before": 0.0, "cancel_asked_by": None}


class IllegalMove(Exception):
    """The patch is in `status`, from which this move is not allowed."""

    def __init__(self, patch_id: str, status: Status, move: str) -> None:
        super().__init__(f"{patch_id} is {status}; it cannot be {move}")
        self.status = status


class Leases:
    """Claims patches for runners, and makes the moves of claimed patches. Times
    are epoch seconds.

    A claim is valid while the patch runs under the claim's token. Every write
    under a claim that is no longer valid raises LeaseLost and changes nothing.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def next_repository(self, now: float, without: Collection[str] = ()) -> str | None:
        """The repository of the patch that `claim` would claim, or None. A read,
        because a claim takes the write lock even when it finds nothing.
        """
        query = select(patches.c.repository).where(patches.c.seq == _next_claimable(now, without))
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def claim(
        self, runner_id: str, now: float, without: Collection[str] = ()
    ) -> StoredPatch | None:
        """Claim the next due patch, by priority and then by arrival, among the
        branches on which no patch runs, and not for the repositories `without`.
        None when there is none.
        """
        statement = (
            update(patches)
            .where(
                patches.c.seq == _next_claimable(now, without), patches.c.status == Status.QUEUED
            )
            .values(
                status=Status.RUNNING,
                token=patches.c.token + 1,
                attempts=patches.c.attempts + 1,
                leased_by=runner_id,
                updated_at=now,
            )
            .returning(patches)
        )
        with self._database.write() as connection:
            row = connection.execute(statement).first()
            if row is None:
                return None
            events.append(connection, row.id, Claimed(row.attempts, row.token), runner_id, now)
            return stored_patch(row)

    def confirm(self, claim: StoredPatch) -> None:
        """Check, by a read, that the work may go on; raise LeaseLost when the
        claim is not valid, CancelAsked when the patch is to be cancelled.
        """
        query = select(patches.c.cancel_asked_by).where(_is_valid(claim))
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise LeaseLost(claim.id)
        if row.cancel_asked_by:
            raise CancelAsked(row.cancel_asked_by)

    def record(self, claim: StoredPatch, payload: EventPayload, now: float) -> None:
        """Add an event to a claimed patch. Raises LeaseLost, or, after the event
        is written, CancelAsked when the patch is to be cancelled.
        """
        touch = (
            update(patches)
            .where(_is_valid(claim))
            .values(updated_at=now)
            .returning(patches.c.cancel_asked_by, patches.c.leased_by)
        )
        with self._database.write() as connection:
            row = connection.execute(touch).first()
            if row is None:
                raise LeaseLost(claim.id)
            events.append(connection, claim.id, payload, row.leased_by, now)
        if row.cancel_asked_by:
            raise CancelAsked(row.cancel_asked_by)

    def finish(
        self, claim: StoredPatch, outcome: Outcome, now: float, not_before: float = 0.0
    ) -> Status:
        """End a claim with its outcome. A patch that is queued again is not due
        until `not_before`. Returns the state the patch is in now.

        A patch that would be held is cancelled when a cancel was requested. An
        attempt that was interrupted or blocked does not bring the patch nearer
        to failing.
        """
        if not may_move(Status.RUNNING, outcome.status):
            raise IllegalMove(claim.id, Status.RUNNING, outcome.status)
        with self._database.write() as connection:
            canceller = connection.execute(
                select(patches.c.cancel_asked_by).where(_is_valid(claim))
            ).scalar()
            if canceller:
                not_before = 0.0
                if isinstance(outcome, Held):
                    outcome = Cancelled.while_running(canceller)
            values: dict[str, Any] = {
                "outcome": outcome.to_json(),
                "not_before": not_before,
                **_NO_LEASE,
            }
            if isinstance(outcome, Interrupted | Blocked):
                values["attempts"] = patches.c.attempts - 1
            if not _move(connection, _is_valid(claim), outcome.status, now, values):
                raise LeaseLost(claim.id)
            events.append(connection, claim.id, outcome, claim.leased_by or "runner", now)
        return outcome.status

    def reclaim(self, now: float, at_work: Collection[str] = ()) -> list[str]:
        """Queue every running patch again, except those at work; their ids. Only
        for the holder of the runner lock, which proves that no other runner is
        alive.
        """
        running = select(patches).where(
            patches.c.status == Status.RUNNING, patches.c.id.not_in(at_work)
        )
        reclaimed = []
        with self._database.write() as connection:
            for claim in [stored_patch(row) for row in connection.execute(running)]:
                if not _move(connection, _is_valid(claim), Status.QUEUED, now, _NO_LEASE):
                    continue
                payload = LeaseReclaimed(claim.leased_by, claim.attempts)
                events.append(connection, claim.id, payload, "engine", now)
                reclaimed.append(claim.id)
        return reclaimed

    def mark_reported(self, stored: StoredPatch, report: Reported, now: float) -> None:
        """Record that the report of this state was written. A patch that has
        moved on since still needs its report.
        """
        # Status and token identify the state: no patch returns to an ended state
        # without a new claim. A time would not do, since a clock that is set
        # back makes a later move look earlier.
        unreported = (
            (patches.c.id == stored.id)
            & (patches.c.status == stored.status)
            & (patches.c.token == stored.token)
            & patches.c.reported_at.is_(None)
        )
        statement = update(patches).where(unreported).values(reported_at=now)
        with self._database.write() as connection:
            if connection.execute(statement).rowcount == 1:
                events.append(connection, stored.id, report, "runner", now)


@dataclass(frozen=True)
class _Decision:
    """A move that a person makes: the states it may start from, and the state
    it ends in.
    """

    starts: frozenset[Status]
    end: Status


# Narrower than `may_move`, which also allows the moves of a runner.
_CANCEL = _Decision(frozenset({Status.QUEUED}), Status.CANCELLED)
_APPROVE = _Decision(frozenset({Status.HELD}), Status.QUEUED)
_REJECT = _Decision(frozenset({Status.HELD}), Status.REJECTED)
_RETRY = _Decision(frozenset({Status.HELD, Status.FAILED}), Status.QUEUED)


class Decisions:
    """Makes the moves that a person or a sender asks for, in the name of
    `actor`. Each raises UnknownPatch, or IllegalMove in any other state.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def cancel(self, patch_id: str, actor: str, now: float) -> Status:
        """Cancel a queued patch, or ask the runner to stop a running one.
        Returns the state the patch is in now.
        """
        with self._database.write() as connection:
            stored = find(connection, patch_id)
            # The runner of a queued patch may have been lost after it moved the
            # branch. Only the next runner can compare the branch, so it cancels.
            may_have_landed = stored.status is Status.QUEUED and events.has_kind(
                connection, patch_id, EventKind.LANDING
            )
            if stored.status is Status.RUNNING or may_have_landed:
                _request_cancel(connection, stored, actor, now)
                return stored.status
            outcome = Cancelled.before_running(actor)
            values = {"outcome": outcome.to_json()}
            _decide(connection, stored, _CANCEL, outcome, actor, now, values)
            return Status.CANCELLED

    def approve(self, patch_id: str, actor: str, now: float) -> None:
        """Queue a held patch with the owner's approval, which covers the digest
        of the patch as it was sent.
        """
        with self._database.write() as connection:
            stored = find(connection, patch_id)
            values = {"approved_by": actor, **_FRESH_START}
            _decide(connection, stored, _APPROVE, Approved(stored.digest), actor, now, values)

    def reject(self, patch_id: str, actor: str, now: float, reason: str) -> None:
        """End a held patch as rejected."""
        outcome = RejectedByOwner(reason or f"rejected by {actor}")
        values = {"outcome": outcome.to_json()}
        with self._database.write() as connection:
            stored = find(connection, patch_id)
            _decide(connection, stored, _REJECT, outcome, actor, now, values)

    def retry(self, patch_id: str, actor: str, now: float) -> None:
        """Queue a failed or held patch again, with its attempts at zero."""
        with self._database.write() as connection:
            stored = find(connection, patch_id)
            _decide(connection, stored, _RETRY, Retried(), actor, now, _FRESH_START)


def _next_claimable(now: float, without: Collection[str]) -> ScalarSelect[Any]:
    running = patches.alias("busy")
    same_branch = (running.c.repository == patches.c.repository) & (
        running.c.branch == patches.c.branch
    )
    branch_is_busy = (
        select(running.c.seq).where(running.c.status == Status.RUNNING, same_branch).exists()
    )
    return (
        select(patches.c.seq)
        .where(
            patches.c.status == Status.QUEUED,
            patches.c.not_before <= now,
            patches.c.repository.not_in(without),
            ~branch_is_busy,
        )
        .order_by(patches.c.priority.desc(), patches.c.seq)
        .limit(1)
        .scalar_subquery()
    )


def _is_valid(claim: StoredPatch) -> ColumnElement[bool]:
    return (
        (patches.c.id == claim.id)
        & (patches.c.token == claim.token)
        & (patches.c.status == Status.RUNNING)
    )


def _is_unmoved(stored: StoredPatch) -> ColumnElement[bool]:
    return (patches.c.id == stored.id) & (patches.c.status == stored.status)


def _move(
    connection: Connection,
    expected: ColumnElement[bool],
    to: Status,
    now: float,
    values: dict[str, Any],
) -> bool:
    """Move the patch if it is as `expected`; whether it was."""
    # `reported_at` is cleared because every new state needs a report of its own.
    statement = (
        update(patches)
        .where(expected)
        .values(status=to, updated_at=now, reported_at=None, **values)
    )
    return connection.execute(statement).rowcount == 1


def _decide(
    connection: Connection,
    stored: StoredPatch,
    decision: _Decision,
    payload: EventPayload,
    actor: str,
    now: float,
    values: dict[str, Any],
) -> None:
    is_legal = stored.status in decision.starts and may_move(stored.status, decision.end)
    if not is_legal or not _move(connection, _is_unmoved(stored), decision.end, now, values):
        raise IllegalMove(stored.id, stored.status, payload.kind)
    events.append(connection, stored.id, payload, actor, now)


def _request_cancel(connection: Connection, stored: StoredPatch, actor: str, now: float) -> None:
    # A repeated request adds no event: a client that retries must not lengthen
    # the chain.
    if stored.cancel_asked_by is not None:
        return
    statement = (
        update(patches).where(_is_unmoved(stored)).values(cancel_asked_by=actor, not_before=0.0)
    )
    if connection.execute(statement).rowcount != 1:
        raise IllegalMove(stored.id, stored.status, EventKind.CANCELLED)
    events.append(connection, stored.id, CancelRequested(), actor, now)
