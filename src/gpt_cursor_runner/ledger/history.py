"""The history of health: what changed, which trouble is open, and who has to be
told, kept together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, select, update

from gpt_cursor_runner.ledger import observations
from gpt_cursor_runner.ledger.database import Database, from_row
from gpt_cursor_runner.ledger.observations import UPTIME_WINDOWS, Observation, Seconds, Uptime
from gpt_cursor_runner.ledger.outbox import Alert, hold_back, post
from gpt_cursor_runner.ledger.pruning import FLIPS_KEPT, prune
from gpt_cursor_runner.ledger.schema import flips, incidents

__all__ = [
    "Flip",
    "History",
    "HistoryBatch",
    "Incident",
    "NotOpen",
    "Observation",
    "Seconds",
    "Uptime",
]


class NotOpen(Exception):
    """No incident of that id is open."""


@dataclass(frozen=True)
class Flip:
    """A change of a subject's state, at epoch seconds `at`; without a before,
    the first that was seen of it.
    """

    subject: str
    status: str
    code: str
    before_status: str | None
    before_code: str | None
    at: float
    instance_id: str
    incident_id: str | None = None
    seq: int = 0


@dataclass(frozen=True)
class Incident:
    """A trouble from its beginning to its end. `severity` is warning or
    critical; times are epoch seconds.
    """

    id: str
    subject: str
    severity: str
    code: str
    opened_at: float
    reminded_at: float
    closed_at: float | None = None
    muted_by: str | None = None


@dataclass(frozen=True)
class HistoryBatch:
    """All that one look adds. `closed`, and the keys of the mappings, are ids
    of open incidents.

    `muted` says which cause speaks for an incident (None: it speaks for itself
    again), `reminded` when it was last told of, `escalated` its severity from
    now on.
    """

    flips: tuple[Flip, ...] = ()
    opened: tuple[Incident, ...] = ()
    closed: tuple[str, ...] = ()
    closed_at: float = 0.0
    muted: Mapping[str, str | None] = field(default_factory=dict)
    reminded: Mapping[str, float] = field(default_factory=dict)
    escalated: Mapping[str, str] = field(default_factory=dict)
    alerts: tuple[Alert, ...] = ()

    @property
    def is_empty(self) -> bool:
        changed = self.closed or self.muted or self.reminded or self.escalated
        return not (self.flips or self.opened or changed or self.alerts)


class History:
    """What health wrote down. Every time is passed in, as epoch seconds."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, page: HistoryBatch) -> None:
        """Keep a page whole, on the disk when this returns, or nothing of it.

        Muting an incident takes out its triggers that no sink was handed yet.
        Raises NotOpen for an incident that is not, and IntegrityError when a
        subject would have two open ones.
        """
        if page.is_empty:
            return
        with self._database.write() as connection:
            _change_open(connection, page)
            if page.opened:
                connection.execute(incidents.insert(), [asdict(one) for one in page.opened])
            if page.flips:
                connection.execute(flips.insert(), [_flip_row(one) for one in page.flips])
            post(connection, page.alerts)

    def last_states(self) -> dict[str, tuple[str, str]]:
        """By subject the status and code of its last flip."""
        last = select(func.max(flips.c.seq)).group_by(flips.c.subject)
        wanted = select(flips.c.subject, flips.c.status, flips.c.code).where(flips.c.seq.in_(last))
        with self._database.read() as connection:
            return {row.subject: (row.status, row.code) for row in connection.execute(wanted)}

    def open_incidents(self) -> list[Incident]:
        """Every trouble that has not ended, the oldest first."""
        still_open = (
            select(incidents).where(incidents.c.closed_at.is_(None)).order_by(incidents.c.opened_at)
        )
        with self._database.read() as connection:
            rows = connection.execute(still_open)
            return [from_row(Incident, row) for row in rows]

    def flips(
        self,
        subject: str | None = None,
        since: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Flip]:
        """The newest first; `before` is the `seq` at which the page before this
        one ended.
        """
        wanted: list[ColumnElement[bool]] = []
        wanted += [flips.c.subject == subject] if subject is not None else []
        wanted += [flips.c.at >= since] if since is not None else []
        wanted += [flips.c.seq < before] if before is not None else []
        with self._database.read() as connection:
            rows = connection.execute(
                select(flips).where(*wanted).order_by(flips.c.seq.desc()).limit(limit)
            )
            return [from_row(Flip, row) for row in rows]

    def observe(self, minute_start: int, seconds: Mapping[str, Seconds]) -> None:
        """Add seconds of ok, warn, fail and unknown to a minute and to its hour."""
        with self._database.write() as connection:
            observations.add(connection, minute_start, seconds)

    def observations(self, length: int, since: float) -> list[Observation]:
        """The minutes (`length` 60) or hours (3600) that begin at `since` or
        later, the oldest first.
        """
        with self._database.read() as connection:
            return observations.read(connection, length, since)

    def uptime(
        self, now: float, windows: Mapping[str, int] = UPTIME_WINDOWS
    ) -> dict[str, dict[str, Uptime]]:
        """By subject, and by the label of each window (its length in seconds)
        that ends with the last whole minute.
        """
        with self._database.read() as connection:
            return observations.uptime(connection, now, windows)

    def prune(self, now: float, flips_kept: int = FLIPS_KEPT) -> int:
        """Delete what is older than it is kept, in short transactions; how many
        rows that were.
        """
        return prune(self._database, now, flips_kept)


def _change_open(connection: Connection, page: HistoryBatch) -> None:
    for incident_id, cause in page.muted.items():
        _change(connection, incident_id, muted_by=cause)
        if cause is not None:
            hold_back(connection, incident_id)
    for incident_id, at in page.reminded.items():
        _change(connection, incident_id, reminded_at=at)
    for incident_id, severity in page.escalated.items():
        _change(connection, incident_id, severity=severity)
    for incident_id in page.closed:
        _change(connection, incident_id, closed_at=page.closed_at)


def _change(connection: Connection, incident_id: str, **values: object) -> None:
    here = (incidents.c.id == incident_id) & incidents.c.closed_at.is_(None)
    if connection.execute(update(incidents).where(here).values(**values)).rowcount != 1:
        raise NotOpen(incident_id)


def _flip_row(flip: Flip) -> dict[str, Any]:
    return {name: value for name, value in asdict(flip).items() if name != "seq"}
