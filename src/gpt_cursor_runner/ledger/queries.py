"""Reads of patches, their events, and the state of the queue."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal, select

from gpt_cursor_runner.ledger import events
from gpt_cursor_runner.ledger.database import Database
from gpt_cursor_runner.ledger.patches import StoredPatch, find, stored_patch
from gpt_cursor_runner.ledger.schema import deliveries, patches
from gpt_cursor_runner.ledger.schema import events as events_table
from gpt_cursor_runner.patch.events import EventKind
from gpt_cursor_runner.patch.status import FINAL, Status

_DAY_SECONDS = 86_400
# The other states are left out: nearly all patches are in one of them, and
# SQLite counts rows by walking through them.
_COUNTED = (Status.QUEUED, Status.RUNNING, Status.HELD, Status.FAILED)


@dataclass(frozen=True)
class QueueFacts:
    """Counts of patches by state; times in epoch seconds, and arrival numbers
    (`seq`). None stands for no such patch.

    A *claimable* patch is queued and due, no patch runs on its branch, and its
    repository is not blocked.
    `oldest_running_at` is the claim of the attempt that has run longest,
    `last_seq` the number of the last arrival (0 when there was none),
    `failed_lately` the count of patches that failed within 24 hours.
    """

    queued: int
    running: int
    held: int
    failed: int
    oldest_queued_at: float | None
    last_landed_at: float | None
    oldest_queued_seq: int | None = None
    last_seq: int = 0
    oldest_claimable_seq: int | None = None
    oldest_running_at: float | None = None
    failed_lately: int = 0


class Queries:
    """Reads, each in a transaction that never waits for a writer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, patch_id: str) -> StoredPatch:
        """The patch of that id; raise UnknownPatch when there is none."""
        with self._database.read() as connection:
            return find(connection, patch_id)

    def page(
        self,
        status: Status | None = None,
        repository: str | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> list[StoredPatch]:
        """Patches, the latest arrival first. `before` is the lowest `seq` of the
        previous page.
        """
        query = select(patches).order_by(patches.c.seq.desc()).limit(limit)
        if status is not None:
            query = query.where(patches.c.status == status)
        if repository is not None:
            query = query.where(patches.c.repository == repository)
        if before is not None:
            query = query.where(patches.c.seq < before)
        with self._database.read() as connection:
            return [stored_patch(row) for row in connection.execute(query)]

    def events(self, patch_id: str) -> list[events.Event]:
        """The events of a patch, the oldest first; raise UnknownPatch when
        there is none of that id.
        """
        with self._database.read() as connection:
            find(connection, patch_id)
            return events.read(connection, patch_id)

    def request(self, patch_id: str) -> bytes | None:
        """The body of the first request that carried the patch, byte for byte;
        None when it was deleted.
        """
        query = (
            select(deliveries.c.body)
            .where(deliveries.c.patch_id == patch_id)
            .order_by(deliveries.c.at)
            .limit(1)
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar()

    def active_on(self, repository: str, branch: str) -> int:
        """The number of patches that are queued or running for a branch."""
        query = select(func.count()).where(
            patches.c.status.in_([Status.QUEUED, Status.RUNNING]),
            patches.c.repository == repository,
            patches.c.branch == branch,
        )
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def rejections(
        self, sender: str, repository: str, since: float, limit: int = 50
    ) -> list[dict[str, Any]]:
        """The outcomes of a sender's patches that were rejected at `since` or
        later, the latest first.
        """
        query = (
            select(patches.c.outcome)
            .where(
                patches.c.submitted_by == sender,
                patches.c.repository == repository,
                patches.c.status == Status.REJECTED,
                patches.c.updated_at >= since,
            )
            .order_by(patches.c.updated_at.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [outcome for outcome in connection.execute(query).scalars() if outcome]

    def unreported(self, limit: int, but_not: Collection[str] = ()) -> list[StoredPatch]:
        """Patches that ended or are held and have no report yet, the earliest
        arrival first.
        """
        query = (
            select(patches)
            .where(
                patches.c.status.in_([*FINAL, Status.HELD]),
                patches.c.reported_at.is_(None),
                patches.c.id.not_in(but_not),
            )
            .order_by(patches.c.seq)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [stored_patch(row) for row in connection.execute(query)]

    def queue_facts(self, now: float, blocked: Collection[str] = ()) -> QueueFacts:
        """The state of the queue at `now`, read in one transaction. Patches for
        the `blocked` repositories are not claimable.
        """
        with self._database.read() as connection:
            return _read_queue(connection, now, blocked)


def _read_queue(connection: Connection, now: float, blocked: Collection[str]) -> QueueFacts:
    counts = _count_by_status(connection)
    oldest = connection.execute(_queued(patches.c.seq, patches.c.accepted_at).limit(1)).first()
    landed = select(func.max(patches.c.updated_at)).where(patches.c.status == Status.LANDED)
    failed_lately = select(func.count()).where(
        patches.c.status == Status.FAILED, patches.c.updated_at >= now - _DAY_SECONDS
    )
    return QueueFacts(
        queued=counts.get(Status.QUEUED, 0),
        running=counts.get(Status.RUNNING, 0),
        held=counts.get(Status.HELD, 0),
        failed=counts.get(Status.FAILED, 0),
        oldest_queued_at=oldest.accepted_at if oldest else None,
        last_landed_at=connection.execute(landed).scalar(),
        oldest_queued_seq=oldest.seq if oldest else None,
        last_seq=connection.execute(select(func.max(patches.c.seq))).scalar() or 0,
        oldest_claimable_seq=_oldest_claimable(connection, now, blocked),
        oldest_running_at=_oldest_running(connection),
        failed_lately=connection.execute(failed_lately).scalar_one(),
    )


def _count_by_status(connection: Connection) -> dict[str, int]:
    query = (
        select(patches.c.status, func.count())
        .where(patches.c.status.in_(_COUNTED))
        .group_by(patches.c.status)
    )
    counts: dict[str, int] = dict(connection.execute(query).all())
    return counts


def _queued(*columns: ColumnElement[Any]) -> Select[Any]:
    """Queued patches in the order of arrival."""
    # The state is a literal, not a bound parameter: only then can the planner
    # prove that the partial index `ix_patches_waiting` is enough.
    return (
        select(*columns)
        .where(patches.c.status == literal("queued", literal_execute=True))
        .order_by(patches.c.seq)
    )


def _oldest_claimable(connection: Connection, now: float, blocked: Collection[str]) -> int | None:
    # The busy branches are read first and then named in the query: they are
    # few, and a subquery would run for each of many waiting patches.
    running = select(patches.c.repository, patches.c.branch).where(
        patches.c.status == Status.RUNNING
    )
    not_busy = [
        ~and_(patches.c.repository == busy.repository, patches.c.branch == busy.branch)
        for busy in connection.execute(running)
    ]
    claimable = _queued(patches.c.seq).where(patches.c.not_before <= now, *not_busy)
    if blocked:
        claimable = claimable.where(patches.c.repository.not_in(blocked))
    return connection.execute(claimable.limit(1)).scalar()


def _oldest_running(connection: Connection) -> float | None:
    is_claim = (events_table.c.patch_id == patches.c.id) & (
        events_table.c.kind == EventKind.CLAIMED
    )
    claimed_at = select(func.max(events_table.c.at)).where(is_claim).scalar_subquery()
    query = select(claimed_at).where(patches.c.status == Status.RUNNING)
    return min((at for at in connection.execute(query).scalars() if at is not None), default=None)
