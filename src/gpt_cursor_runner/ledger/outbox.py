"""The outbox: letters about incidents, each kept until its sink took it or was
given up.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, FromClause, Row, func, select, update

from gpt_cursor_runner.ledger.database import READ_ONLY
from gpt_cursor_runner.ledger.schema import outbox


@dataclass(frozen=True)
class Letter:
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

    A letter that ended, or was held back, since it was read is left alone: the
    moves answer whether it was still owed.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._reading_engine = engine.execution_options(**{READ_ONLY: True})

    def next(self, sink: str, now: float) -> Letter | None:
        """The earliest letter that is due: of every subject only its first one
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
        with self._reading_engine.begin() as connection:
            row = connection.execute(first.limit(1)).first()
        return None if row is None else _letter(row)

    def begin(self, letter: Letter, now: float) -> bool:
        """Note, before it is sent, that its sink may have it from now on, so
        that it is not held back any more.
        """
        return self._move(letter, begun_at=func.coalesce(outbox.c.begun_at, now))

    def delivered(self, letter: Letter, now: float) -> bool:
        """Its sink took it."""
        return self._move(letter, delivered_at=now, trouble=None)

    def failed(self, letter: Letter, now: float, not_before: float, trouble: str) -> bool:
        """Its sink did not take it; try again at `not_before`."""
        return self._move(
            letter, attempts=outbox.c.attempts + 1, not_before=not_before, trouble=trouble
        )

    def give_up(self, letter: Letter, now: float, trouble: str) -> bool:
        """Its sink will never take it; the next letter of its subject comes to
        its turn.
        """
        return self._move(letter, given_up_at=now, trouble=trouble)

    def give_up_all_but(self, sinks: Collection[str], now: float) -> int:
        """Give up what is owed to sinks that are not set any more, which nobody
        would ever send; how many they were.
        """
        orphaned = update(outbox).where(_owed(), outbox.c.sink.not_in(sinks))
        with self._engine.begin() as connection:
            return connection.execute(
                orphaned.values(given_up_at=now, trouble="this sink is not set any more")
            ).rowcount

    def owed(self, sink: str | None = None) -> int:
        """How many letters wait."""
        with self._reading_engine.begin() as connection:
            return connection.execute(select(func.count()).where(_owed(), *_to(sink))).scalar_one()

    def oldest_owed_at(self, sink: str | None = None) -> float | None:
        """When the letter that has waited longest was written; None when
        nothing is owed.
        """
        with self._reading_engine.begin() as connection:
            oldest = select(func.min(outbox.c.created_at)).where(_owed(), *_to(sink))
            return connection.execute(oldest).scalar()

    def told(self, incident_id: str) -> frozenset[str]:
        """The sinks that were told of an incident, or will be; those that have
        to hear of its end.
        """
        triggers = (outbox.c.incident_id == incident_id) & (outbox.c.kind == "trigger")
        with self._reading_engine.begin() as connection:
            return frozenset(connection.execute(select(outbox.c.sink).where(triggers)).scalars())

    def _move(self, letter: Letter, **values: object) -> bool:
        # By its key: SQLite gives the number of the last row, once that is
        # deleted, to the next one.
        moved = update(outbox).where(outbox.c.key == letter.key, _owed()).values(**values)
        with self._engine.begin() as connection:
            return connection.execute(moved).rowcount == 1


def post(connection: Connection, letters: Sequence[Letter]) -> None:
    """Add letters, inside the caller's transaction; one whose key is there
    already is the same letter, kept once.
    """
    if not letters:
        return
    wanted = {letter.key: letter for letter in reversed(letters)}
    known = set(connection.execute(select(outbox.c.key).where(outbox.c.key.in_(wanted))).scalars())
    rows = [_row(one) for one in letters if wanted[one.key] is one and one.key not in known]
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


def _row(letter: Letter) -> dict[str, Any]:
    fields = {name: getattr(letter, name) for name in Letter.__dataclass_fields__ if name != "seq"}
    return {**fields, "body": dict(letter.body)}


def _letter(row: Row[Any]) -> Letter:
    return Letter(**{name: getattr(row, name) for name in Letter.__dataclass_fields__})
