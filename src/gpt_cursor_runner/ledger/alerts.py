"""Flips, incidents and the outbox of alerts.

The recorder writes all three in one transaction, so that no flip is without its
alerts. The alert senders take alerts from the outbox. Every time is passed in,
as epoch seconds.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, func, or_, select, update

from gpt_cursor_runner.ledger.database import Database, delete_in_pieces, from_row
from gpt_cursor_runner.ledger.schema import flips, incidents, outbox

DAY = 86_400
FLIPS_KEPT = 50_000
_FLIPS_KEPT_SECONDS = 90 * DAY
_INCIDENTS_KEPT_SECONDS = 90 * DAY
_ALERTS_KEPT_SECONDS = 30 * DAY


class IncidentNotOpen(Exception):
    """There is no open incident with this id."""


@dataclass(frozen=True)
class Flip:
    """A change of a subject's state at `at`. The first flip of a subject has no
    state before it.
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
    """The time in which one subject is not ok. `severity` is warning or
    critical. `muted_by` is the cause that is alerted of instead.
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
class Alert:
    """One message about an incident to one sink. Repeats have the same `key`.

    `kind` is trigger, resolve, reminder or flapping. `attempts` counts the
    failed ones.
    """

    key: str
    sink: str
    incident_id: str
    subject: str
    kind: str
    body: Mapping[str, Any]
    created_at: float
    not_before: float
    attempts: int = 0
    seq: int = 0


@dataclass(frozen=True)
class HistoryBatch:
    """Everything that one tick of the recorder adds.

    `closed` holds ids of open incidents, and so do the keys of the mappings:
    `muted` has the muting cause (None: no longer muted), `reminded` the time of
    the last reminder, `escalated` the new severity.
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
        changes_incidents = (
            self.opened or self.closed or self.muted or self.reminded or self.escalated
        )
        return not (self.flips or changes_incidents or self.alerts)


class AlertStore:
    """Reads and writes flips, incidents and the outbox."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, batch: HistoryBatch) -> None:
        """Write the batch in one transaction; it is on the disk when this
        returns.

        To mute an incident also deletes its triggers that no sink was given.
        Raises IncidentNotOpen, or IntegrityError when a subject would have two
        open incidents; then nothing is written.
        """
        if batch.is_empty:
            return
        with self._database.write() as connection:
            # Incidents are closed before others open: a subject may have one
            # open incident only, which a partial unique index enforces.
            _update_incidents(connection, batch)
            if batch.opened:
                connection.execute(
                    incidents.insert(), [asdict(incident) for incident in batch.opened]
                )
            if batch.flips:
                connection.execute(flips.insert(), [_row_without_seq(flip) for flip in batch.flips])
            _insert_alerts(connection, batch.alerts)

    def last_states(self) -> dict[str, tuple[str, str]]:
        """Status and code of the last flip, by subject."""
        last_seqs = select(func.max(flips.c.seq)).group_by(flips.c.subject)
        query = select(flips.c.subject, flips.c.status, flips.c.code)
        query = query.where(flips.c.seq.in_(last_seqs))
        with self._database.read() as connection:
            return {row.subject: (row.status, row.code) for row in connection.execute(query)}

    def open_incidents(self) -> list[Incident]:
        """All open incidents, the oldest first."""
        query = select(incidents).where(incidents.c.closed_at.is_(None))
        query = query.order_by(incidents.c.opened_at)
        with self._database.read() as connection:
            return [from_row(Incident, row) for row in connection.execute(query)]

    def flips(
        self,
        subject: str | None = None,
        since: float | None = None,
        before: int | None = None,
        limit: int = 100,
    ) -> list[Flip]:
        """Flips, the newest first. `before` is the `seq` of the last flip of
        the previous page.
        """
        query = select(flips).order_by(flips.c.seq.desc()).limit(limit)
        if subject is not None:
            query = query.where(flips.c.subject == subject)
        if since is not None:
            query = query.where(flips.c.at >= since)
        if before is not None:
            query = query.where(flips.c.seq < before)
        with self._database.read() as connection:
            return [from_row(Flip, row) for row in connection.execute(query)]

    def next_due(self, sink: str, now: float) -> Alert | None:
        """The oldest alert of the sink that may be sent now.

        Only the first pending alert of each subject is considered, so that the
        alerts of a subject stay in order.
        """
        earlier = outbox.alias("earlier")
        earlier_pending = select(earlier.c.seq).where(
            earlier.c.sink == outbox.c.sink,
            earlier.c.subject == outbox.c.subject,
            earlier.c.seq < outbox.c.seq,
            _is_pending(earlier),
        )
        query = (
            select(outbox)
            .where(
                outbox.c.sink == sink,
                outbox.c.not_before <= now,
                _is_pending(),
                ~earlier_pending.exists(),
            )
            .order_by(outbox.c.seq)
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        return from_row(Alert, row)

    def begin(self, alert: Alert, now: float) -> bool:
        """Mark the alert as given to its sink, before it is sent; muting does
        not delete it from then on. False when it is no longer pending.
        """
        return self._update_pending(alert, begun_at=func.coalesce(outbox.c.begun_at, now))

    def delivered(self, alert: Alert, now: float) -> bool:
        """The sink accepted the alert. False when it was no longer pending."""
        return self._update_pending(alert, delivered_at=now, trouble=None)

    def failed(self, alert: Alert, not_before: float, trouble: str) -> bool:
        """The sink did not accept the alert, which is due again at
        `not_before`. False when it was no longer pending.
        """
        return self._update_pending(
            alert, attempts=outbox.c.attempts + 1, not_before=not_before, trouble=trouble
        )

    def give_up(self, alert: Alert, now: float, trouble: str) -> bool:
        """Stop sending the alert, which lets the next one of its subject be
        sent. False when it was no longer pending.
        """
        return self._update_pending(alert, given_up_at=now, trouble=trouble)

    def give_up_other_sinks(self, sinks: Collection[str], now: float) -> int:
        """Give up every alert to a sink that is not in `sinks`; returns their
        number.
        """
        orphans = update(outbox).where(_is_pending(), outbox.c.sink.not_in(sinks))
        orphans = orphans.values(given_up_at=now, trouble="this sink is no longer configured")
        with self._database.write() as connection:
            return connection.execute(orphans).rowcount

    def pending_count(self, sink: str | None = None) -> int:
        """The number of alerts that are not delivered and not given up."""
        query = select(func.count()).select_from(outbox).where(_is_pending())
        if sink is not None:
            query = query.where(outbox.c.sink == sink)
        with self._database.read() as connection:
            return connection.execute(query).scalar_one()

    def prune(self, now: float, flips_kept: int = FLIPS_KEPT) -> int:
        """Delete rows that are past their time, and flips beyond `flips_kept`,
        in short transactions; returns the number of deleted rows.
        """
        deleted = delete_in_pieces(self._database, flips, self._is_old_flip(now, flips_kept))
        # Alerts before incidents, which they reference.
        deleted += delete_in_pieces(self._database, outbox, _is_old_alert(now))
        deleted += delete_in_pieces(self._database, incidents, _is_old_incident(now))
        return deleted

    def _update_pending(self, alert: Alert, **values: object) -> bool:
        # Selected by key and not by `seq`: SQLite reuses the number of the last
        # row once that row is deleted.
        updated = update(outbox).where(outbox.c.key == alert.key, _is_pending()).values(**values)
        with self._database.write() as connection:
            return connection.execute(updated).rowcount == 1

    def _is_old_flip(self, now: float, flips_kept: int) -> ColumnElement[bool]:
        first_surplus = select(flips.c.seq).order_by(flips.c.seq.desc()).offset(flips_kept).limit(1)
        with self._database.read() as connection:
            surplus_seq = connection.execute(first_surplus).scalar() or 0
        # The last flip of a subject is always kept: it is the subject's state.
        later = flips.alias("later")
        later_flip = select(later.c.seq).where(
            later.c.subject == flips.c.subject, later.c.seq > flips.c.seq
        )
        is_old = or_(flips.c.at < now - _FLIPS_KEPT_SECONDS, flips.c.seq <= surplus_seq)
        return is_old & later_flip.exists()


def _update_incidents(connection: Connection, batch: HistoryBatch) -> None:
    for incident_id, cause in batch.muted.items():
        _update_open(connection, incident_id, muted_by=cause)
        if cause is not None:
            _delete_unsent_triggers(connection, incident_id)
    for incident_id, at in batch.reminded.items():
        _update_open(connection, incident_id, reminded_at=at)
    for incident_id, severity in batch.escalated.items():
        _update_open(connection, incident_id, severity=severity)
    for incident_id in batch.closed:
        _update_open(connection, incident_id, closed_at=batch.closed_at)


def _update_open(connection: Connection, incident_id: str, **values: object) -> None:
    is_open = (incidents.c.id == incident_id) & incidents.c.closed_at.is_(None)
    if connection.execute(update(incidents).where(is_open).values(**values)).rowcount != 1:
        raise IncidentNotOpen(incident_id)


def _delete_unsent_triggers(connection: Connection, incident_id: str) -> None:
    connection.execute(
        outbox.delete().where(
            outbox.c.incident_id == incident_id,
            outbox.c.kind == "trigger",
            outbox.c.begun_at.is_(None),
            outbox.c.attempts == 0,
            _is_pending(),
        )
    )


def _insert_alerts(connection: Connection, alerts: Sequence[Alert]) -> None:
    """Insert the alerts whose key is new; of two with one key, the first."""
    if not alerts:
        return
    new_alerts: dict[str, Alert] = {}
    for alert in alerts:
        new_alerts.setdefault(alert.key, alert)
    query = select(outbox.c.key).where(outbox.c.key.in_(list(new_alerts)))
    for existing_key in connection.execute(query).scalars().all():
        del new_alerts[existing_key]
    if new_alerts:
        rows = [_row_without_seq(alert) for alert in new_alerts.values()]
        connection.execute(outbox.insert(), rows)


def _row_without_seq(record: Flip | Alert) -> dict[str, Any]:
    row = asdict(record)
    del row["seq"]
    return row


def _is_pending(table: FromClause = outbox) -> ColumnElement[bool]:
    # Term for term the condition of the partial index `ix_outbox_owed`, which
    # SQLite uses for no other condition.
    return table.c.delivered_at.is_(None) & table.c.given_up_at.is_(None)


def _is_old_alert(now: float) -> ColumnElement[bool]:
    ended_at = func.coalesce(outbox.c.delivered_at, outbox.c.given_up_at)
    open_incident = select(incidents.c.id).where(
        incidents.c.id == outbox.c.incident_id, incidents.c.closed_at.is_(None)
    )
    # The triggers of an open incident record which sinks were alerted of it.
    is_needed = (outbox.c.kind == "trigger") & open_incident.exists()
    return (ended_at < now - _ALERTS_KEPT_SECONDS) & ~is_needed


def _is_old_incident(now: float) -> ColumnElement[bool]:
    alert = select(outbox.c.seq).where(outbox.c.incident_id == incidents.c.id)
    return (incidents.c.closed_at < now - _INCIDENTS_KEPT_SECONDS) & ~alert.exists()
