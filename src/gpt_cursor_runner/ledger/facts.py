"""What the ledger tells about the queue, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, func, literal, select

from gpt_cursor_runner.ledger.schema import events, patches
from gpt_cursor_runner.patch.status import Status

_LATELY_SECONDS = 86_400
# Not the ended ones: they are nearly all there is, and to count them is to walk
# through them.
_COUNTED = (Status.QUEUED, Status.RUNNING, Status.HELD, Status.FAILED)


@dataclass(frozen=True)
class QueueFacts:
    """Counts of patches by state; moments in epoch seconds, and numbers of
    arrival (None when there is no such patch).

    A *claimable* patch is queued, due, and nothing runs on its branch.
    `oldest_running_at` is when the attempt that has run longest was claimed,
    `last_seq` the number of the last arrival (0 when there was none),
    `failed_lately` the patches that failed within 24 hours.
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


def read_queue(connection: Connection, now: float) -> QueueFacts:
    """How the queue stands at `now`, in one transaction of the caller's."""

    counted = select(patches.c.status, func.count()).where(patches.c.status.in_(_COUNTED))
    counts: dict[str, int] = dict(connection.execute(counted.group_by(patches.c.status)).all())
    first = connection.execute(_waiting(patches.c.seq, patches.c.accepted_at).limit(1)).first()
    landed = select(func.max(patches.c.updated_at)).where(patches.c.status == Status.LANDED)
    lately = (patches.c.status == Status.FAILED) & (patches.c.updated_at >= now - _LATELY_SECONDS)
    return QueueFacts(
        queued=counts.get(Status.QUEUED, 0),
        running=counts.get(Status.RUNNING, 0),
        held=counts.get(Status.HELD, 0),
        failed=counts.get(Status.FAILED, 0),
        oldest_queued_at=first.accepted_at if first else None,
        last_landed_at=connection.execute(landed).scalar(),
        oldest_queued_seq=first.seq if first else None,
        last_seq=connection.execute(select(func.max(patches.c.seq))).scalar() or 0,
        oldest_claimable_seq=_oldest_claimable(connection, now),
        oldest_running_at=_oldest_running(connection),
        failed_lately=connection.execute(select(func.count()).where(lately)).scalar_one(),
    )


def _waiting(*columns: ColumnElement[Any]) -> Select[Any]:
    """Queued patches by arrival; the state is spelt out, so that any planner
    sees that the partial index is enough.
    """
    return (
        select(*columns)
        .where(patches.c.status == literal("queued", literal_execute=True))
        .order_by(patches.c.seq)
    )


def _oldest_claimable(connection: Connection, now: float) -> int | None:
    # The busy branches first, and then by name: they are few, and a subquery
    # for each waiting patch is not.
    running = select(patches.c.repository, patches.c.branch).where(
        patches.c.status == Status.RUNNING
    )
    free = [
        ~and_(patches.c.repository == busy.repository, patches.c.branch == busy.branch)
        for busy in connection.execute(running)
    ]
    claimable = _waiting(patches.c.seq).where(patches.c.not_before <= now, *free)
    return connection.execute(claimable.limit(1)).scalar()


def _oldest_running(connection: Connection) -> float | None:
    claimed = (events.c.patch_id == patches.c.id) & (events.c.kind == "claimed")
    claimed_at = select(func.max(events.c.at)).where(claimed).scalar_subquery()
    running = select(claimed_at).where(patches.c.status == Status.RUNNING)
    return min((at for at in connection.execute(running).scalars() if at is not None), default=None)
