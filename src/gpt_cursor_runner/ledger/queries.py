"""Reading patches and what happened to them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import ColumnElement, func, select

from gpt_cursor_runner.ledger import events
from gpt_cursor_runner.ledger.database import Database
from gpt_cursor_runner.ledger.schema import deliveries, patches
from gpt_cursor_runner.ledger.stored import Stored, find, stored_patch
from gpt_cursor_runner.patch.status import FINAL, Status


class Queries:
    """Reads, each in a transaction that never waits for a writer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, patch_id: str) -> Stored:
        """Raise UnknownPatch when there is none of that id."""
        with self._database.read() as connection:
            return find(connection, patch_id)

    def page(
        self,
        status: Status | None = None,
        repository: str | None = None,
        limit: int = 50,
        before: int | None = None,
    ) -> list[Stored]:
        """Patches, the latest arrival first; `before` is the `seq` at which the
        page before this one ended.
        """
        wanted: list[ColumnElement[bool]] = []
        wanted += [patches.c.status == status] if status else []
        wanted += [patches.c.repository == repository] if repository else []
        wanted += [patches.c.seq < before] if before is not None else []
        with self._database.read() as connection:
            rows = connection.execute(
                select(patches).where(*wanted).order_by(patches.c.seq.desc()).limit(limit)
            )
            return [stored_patch(row) for row in rows]

    def events(self, patch_id: str) -> list[events.Event]:
        """What happened to the patch, oldest first; raise UnknownPatch when
        there is none of that id.
        """
        with self._database.read() as connection:
            find(connection, patch_id)
            return events.read(connection, patch_id)

    def request(self, patch_id: str) -> bytes | None:
        """The body of the delivery that brought the patch, byte for byte; None
        when it is not kept any more.
        """
        with self._database.read() as connection:
            first = (
                select(deliveries.c.body)
                .where(deliveries.c.patch_id == patch_id)
                .order_by(deliveries.c.at)
            )
            return connection.execute(first.limit(1)).scalar()

    def active_on(self, repository: str, branch: str) -> int:
        """How many patches are queued or running for a branch."""
        active = patches.c.status.in_([Status.QUEUED, Status.RUNNING])
        here = (patches.c.repository == repository) & (patches.c.branch == branch)
        with self._database.read() as connection:
            return connection.execute(select(func.count()).where(active, here)).scalar_one()

    def rejections(
        self, sender: str, repository: str, since: float, limit: int = 50
    ) -> list[dict[str, Any]]:
        """Why a sender's patches were rejected lately, the latest first."""
        mine = (patches.c.submitted_by == sender) & (patches.c.repository == repository)
        late = (patches.c.status == Status.REJECTED) & (patches.c.updated_at >= since)
        wanted = (
            select(patches.c.outcome)
            .where(late, mine)
            .order_by(patches.c.updated_at.desc())
            .limit(limit)
        )
        with self._database.read() as connection:
            return [row.outcome for row in connection.execute(wanted) if row.outcome]

    def unreported(self, limit: int, but_not: Collection[str] = ()) -> list[Stored]:
        """Patches that ended, or are held, and whose report is still to be
        written, the earliest arrivals first.
        """
        owed = patches.c.status.in_([*FINAL, Status.HELD]) & patches.c.reported_at.is_(None)
        wanted = (
            select(patches)
            .where(owed, patches.c.id.not_in(but_not))
            .order_by(patches.c.seq)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [stored_patch(row) for row in connection.execute(wanted)]
