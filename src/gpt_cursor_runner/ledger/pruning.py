"""Keeping the history bounded, in pieces that hold the write lock only briefly."""

from __future__ import annotations

import time

from sqlalchemy import ColumnElement, Table, func, or_, select, tuple_

from gpt_cursor_runner.ledger.database import Database
from gpt_cursor_runner.ledger.observations import HOUR, MINUTE, MINUTES_KEPT_SECONDS
from gpt_cursor_runner.ledger.schema import flips, incidents, observations, outbox

DAY = 86_400
FLIPS_KEPT = 50_000
_FLIPS_KEPT_SECONDS = 90 * DAY
_HOURS_KEPT_SECONDS = 90 * DAY
_INCIDENTS_KEPT_SECONDS = 90 * DAY
_LETTERS_KEPT_SECONDS = 30 * DAY
_PIECE = 500
# Between two pieces others come to the write lock, for which SQLite has no queue.
_PAUSE_SECONDS = 0.02


def prune(database: Database, now: float, flips_kept: int = FLIPS_KEPT) -> int:
    """Delete what is older than it is kept, or too much; how many rows that
    were.
    """
    # Letters before incidents, which they refer to.
    return (
        _delete(database, flips, _old_flips(database, now, flips_kept))
        + _delete(database, observations, _old_observations(now))
        + _delete(database, outbox, _old_alerts(now))
        + _delete(database, incidents, _old_incidents(now))
    )


def _delete(database: Database, table: Table, old: ColumnElement[bool]) -> int:
    key = tuple_(*table.primary_key.columns)
    piece = table.delete().where(
        key.in_(select(*table.primary_key.columns).where(old).limit(_PIECE))
    )
    deleted = 0
    while True:
        with database.write() as connection:
            count = connection.execute(piece).rowcount
        deleted += count
        if count < _PIECE:
            return deleted
        time.sleep(_PAUSE_SECONDS)


def _old_flips(database: Database, now: float, flips_kept: int) -> ColumnElement[bool]:
    """All but the last flip of each subject, which tells how that stands."""
    beyond = select(flips.c.seq).order_by(flips.c.seq.desc()).offset(flips_kept).limit(1)
    with database.read() as connection:
        too_many = connection.execute(beyond).scalar() or 0
    later = flips.alias("later")
    followed = (
        select(later.c.seq)
        .where(later.c.subject == flips.c.subject, later.c.seq > flips.c.seq)
        .exists()
    )
    return or_(flips.c.at < now - _FLIPS_KEPT_SECONDS, flips.c.seq <= too_many) & followed


def _old_observations(now: float) -> ColumnElement[bool]:
    """An hour more of the minutes, since the longest window made of them begins
    within an hour.
    """
    minutes = (observations.c.length == MINUTE) & (
        observations.c.start < now - MINUTES_KEPT_SECONDS - HOUR
    )
    hours = (observations.c.length == HOUR) & (observations.c.start < now - _HOURS_KEPT_SECONDS)
    return or_(minutes, hours)


def _old_alerts(now: float) -> ColumnElement[bool]:
    """Of an open incident the triggers are kept: they say who has to hear of
    its end.
    """
    ended_at = func.coalesce(outbox.c.delivered_at, outbox.c.given_up_at)
    still_open = (incidents.c.id == outbox.c.incident_id) & incidents.c.closed_at.is_(None)
    needed = (outbox.c.kind == "trigger") & select(incidents.c.id).where(still_open).exists()
    return (ended_at < now - _LETTERS_KEPT_SECONDS) & ~needed


def _old_incidents(now: float) -> ColumnElement[bool]:
    """Those of which a alert is still kept wait for it."""
    alert = select(outbox.c.seq).where(outbox.c.incident_id == incidents.c.id).exists()
    return (incidents.c.closed_at < now - _INCIDENTS_KEPT_SECONDS) & ~alert
