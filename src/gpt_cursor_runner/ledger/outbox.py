"""The outbox: alerts about incidents, each kept until its sink took it or was
given up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, func, select, update

from gpt_cursor_runner.ledger.database import Database, from_row
from gpt_cursor_runner.ledger.schema import outbox


@dataclass(frozen=True)
class Alert:
    """One message to one sink. `key` is what the receiver knows repeats by;
    times are epoch seconds.

    `kind` is one of trigger, resolve, reminder, flapping. `attempts` counts
    those that failed.
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


class Outbox:
    """What is owed to the sinks. Every time is passed in, as epoch seconds.

    A alert that ended, or was held back, since it was read is left alone: the
    moves answer whether it was still owed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def next(self, sink: str, now: float) -> Alert | None:
        """The earliest alert that is due: of every subject only its first one
        counts, so that they stay in order.
        """
        earlier = outbox.alias("earlier")
        same = (earlier.c.sink == outbox.c.sink) & (earlier.c.subject == outbox.c.subject)
        before = same & (earlier.c.seq < outbox.c.seq) & _owed(earlier)
        due = (outbox.c.sink == sink) & (outbox.c.not_before <= now) & _owed()
        first = (
            select(outbox)
            .where(due, ~select(earlier.c.seq).where(before).exists())
            .order_by(outbox.c.seq)
        )
        with self._database.read() as connection:
            row = connection.execute(first.limit(1)).first()
        return None if row is None else from_row(Alert, row)

    def begin(self, alert: Alert, now: float) -> bool:
        """Note, before it is sent, that its sink may have it from now on, so
        that it is not held back any more.
        """
        return self._move(alert, begun_at=func.coalesce(outbox.c.begun_at, now))

    def delivered(self, alert: Alert, now: float) -> bool:
        """Its sink took it."""
        return self._move(alert, delivered_at=now, trouble=None)

    def failed(self, alert: Alert, now: float, not_before: float, trouble: str) -> bool:
        """Its sink did not take it; try again at `not_before`."""
        return self._move(
            alert, attempts=outbox.c.attempts + 1, not_before=not_before, trouble=trouble
        )

    def give_up(self, alert: Alert, now: float, trouble: str) -> bool:
        """Its sink will never take it; the next alert of its subject comes to
        its turn.
        """
        return self._move(alert, given_up_at=now, trouble=trouble)

    def give_up_all_but(self, sinks: Collection[str], now: float) -> int:
        """Give up what is owed to sinks that are not set any more, which nobody
        would ever send; how many they were.
        """
        orphaned = update(outbox).where(_owed(), outbox.c.sink.not_in(sinks))
        with self._database.write() as connection:
            return connection.execute(
                orphaned.values(given_up_at=now, trouble="this sink is not set any more")
            ).rowcount

    def owed(self, sink: str | None = None) -> int:
        """How many alerts wait."""
        with self._database.read() as connection:
            return connection.execute(select(func.count()).where(_owed(), *_to(sink))).scalar_one()

    def oldest_owed_at(self, sink: str | None = None) -> float | None:
        """When the alert that has waited longest was written; None when
        nothing is owed.
        """
        with self._database.read() as connection:
            oldest = select(func.min(outbox.c.created_at)).where(_owed(), *_to(sink))
            return connection.execute(oldest).scalar()

    def told(self, incident_id: str) -> frozenset[str]:
        """The sinks that were told of an incident, or will be; those that have
        to hear of its end.
        """
        triggers = (outbox.c.incident_id == incident_id) & (outbox.c.kind == "trigger")
        with self._database.read() as connection:
            return frozenset(connection.execute(select(outbox.c.sink).where(triggers)).scalars())

    def _move(self, alert: Alert, **values: object) -> bool:
        # By its key: SQLite gives the number of the last row, once that is
        # deleted, to the next one.
        moved = update(outbox).where(outbox.c.key == alert.key, _owed()).values(**values)
        with self._database.write() as connection:
            return connection.execute(moved).rowcount == 1


def post(connection: Connection, alerts: Sequence[Alert]) -> None:
    """Add alerts, inside the caller's transaction; one whose key is there
    already is the same alert, kept once.
    """
    if not alerts:
        return
    wanted = {alert.key: alert for alert in reversed(alerts)}
    known = set(connection.execute(select(outbox.c.key).where(outbox.c.key.in_(wanted))).scalars())
    rows = [_row(one) for one in alerts if wanted[one.key] is one and one.key not in known]
    if rows:
        connection.execute(outbox.insert(), rows)


def hold_back(connection: Connection, incident_id: str) -> None:
    """Take out the triggers of an incident that no sink was handed yet, inside
    the caller's transaction.
    """
    unsent = outbox.c.begun_at.is_(None) & (outbox.c.attempts == 0) & _owed()
    mine = (outbox.c.incident_id == incident_id) & (outbox.c.kind == "trigger")
    connection.execute(outbox.delete().where(mine, unsent))


def _to(sink: str | None) -> list[ColumnElement[bool]]:
    return [] if sink is None else [outbox.c.sink == sink]


def _owed(table: FromClause = outbox) -> ColumnElement[bool]:
    """The condition of the partial index, term for term: it is used for no
    other.
    """
    return table.c.delivered_at.is_(None) & table.c.given_up_at.is_(None)


def _row(alert: Alert) -> dict[str, Any]:
    fields = {name: getattr(alert, name) for name in Alert.__dataclass_fields__ if name != "seq"}
    return {**fields, "body": dict(alert.body)}
