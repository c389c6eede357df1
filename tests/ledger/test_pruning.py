"""The history stays bounded, and rows that are still needed are kept."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from sqlalchemy import event, insert, select

from gpt_cursor_runner.ledger.alerts import FLIPS_KEPT, HistoryBatch
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.schema import flips, incidents, observations, outbox
from tests.building import make_admission, make_ledger
from tests.ledger.health_builders import DAY, NOW, make_alert, make_flip, make_incident, trouble

LONG_AGO = NOW - 91 * DAY


def keys(ledger: Ledger) -> set[str]:
    with ledger.database.write() as connection:
        return set(connection.execute(select(outbox.c.key)).scalars())


def test_old_flips_are_deleted_except_the_last_of_each_subject(ledger: Ledger) -> None:
    ages = (("web", 95), ("web", 91), ("queue", 92), ("web", 89), ("web", 1))
    ledger.alerts.record(
        HistoryBatch(flips=tuple(make_flip(name, at=NOW - age * DAY) for name, age in ages))
    )
    before = ledger.alerts.last_states()
    assert ledger.alerts.prune(NOW) == 2
    assert [flip.seq for flip in ledger.alerts.flips()] == [5, 4, 3]
    assert ledger.alerts.last_states() == before


def test_flips_beyond_the_limit_are_deleted_at_any_age(ledger: Ledger) -> None:
    assert FLIPS_KEPT == 50_000
    steady = make_flip("queue")
    ledger.alerts.record(HistoryBatch(flips=(steady, *[make_flip("web")] * 1300)))
    assert ledger.alerts.prune(NOW, flips_kept=100) == 1200
    assert [flip.seq for flip in ledger.alerts.flips(limit=500)] == [*range(1301, 1201, -1), 1]
    assert ledger.alerts.prune(NOW, flips_kept=100) == 0


def test_minutes_are_deleted_after_a_week_and_hours_after_ninety_days(ledger: Ledger) -> None:
    def make_row(length: int, age: float) -> dict[str, object]:
        return {
            "length": length,
            "start": int(NOW - age * DAY),
            "seconds": {"web": [60.0, 0.0, 0.0, 0.0]},
        }

    kept = [make_row(60, 6.9), make_row(60, 7), make_row(3600, 8), make_row(3600, 89)]
    with ledger.database.write() as connection:
        connection.execute(insert(observations), [*kept, make_row(60, 7.1), make_row(3600, 90.1)])
    before = ledger.uptime.uptime(NOW)
    assert ledger.uptime.prune(NOW) == 2
    left = {
        (observation.length, observation.start)
        for length in (60, 3600)
        for observation in ledger.uptime.observations(length, 0)
    }
    assert left == {(row["length"], row["start"]) for row in kept}
    assert ledger.uptime.uptime(NOW) == before


def test_ended_alerts_are_deleted_after_a_month_and_pending_ones_never(ledger: Ledger) -> None:
    sinks = ("sent", "given-up", "fresh", "owed")
    ledger.alerts.record(trouble("i1", sinks=sinks, at=LONG_AGO))
    for sink, at in (
        ("sent", NOW - 31 * DAY),
        ("given-up", NOW - 31 * DAY),
        ("fresh", NOW - 29 * DAY),
    ):
        alert = ledger.alerts.next_due(sink, NOW)
        assert alert is not None
        if sink == "given-up":
            assert ledger.alerts.give_up(alert, at, "refused")
        else:
            assert ledger.alerts.delivered(alert, at)
    ledger.alerts.record(HistoryBatch(closed=("i1",), closed_at=LONG_AGO + 1))
    ledger.alerts.prune(NOW)
    assert keys(ledger) == {"i1-fresh", "i1-owed"}


def test_an_incident_is_deleted_long_after_its_end_unless_alerts_are_pending(
    ledger: Ledger,
) -> None:
    for name, closed_at in (
        ("over", LONG_AGO),
        ("lately", NOW - 89 * DAY),
        ("owed", LONG_AGO),
        ("open", None),
    ):
        ledger.alerts.record(HistoryBatch(opened=(make_incident(name, name, LONG_AGO - DAY),)))
        if closed_at is not None:
            ledger.alerts.record(HistoryBatch(closed=(name,), closed_at=closed_at))
    ledger.alerts.record(HistoryBatch(alerts=(make_alert("alert", incident_id="owed"),)))
    ledger.alerts.prune(NOW)
    with ledger.database.write() as connection:
        assert set(connection.execute(select(incidents.c.id)).scalars()) == {
            "lately",
            "owed",
            "open",
        }
    [alert] = [ledger.alerts.next_due("ops", NOW)]
    assert alert is not None
    ledger.alerts.delivered(alert, NOW - 31 * DAY)
    assert ledger.alerts.prune(NOW) == 2  # the alert, and then its incident


def test_the_triggers_of_an_open_incident_are_kept(ledger: Ledger) -> None:
    ledger.alerts.record(trouble("i1", at=LONG_AGO))
    ledger.alerts.record(HistoryBatch(alerts=(make_alert("again", kind="reminder"),)))
    while alert := ledger.alerts.next_due("ops", NOW):
        ledger.alerts.delivered(alert, LONG_AGO)
    ledger.alerts.prune(NOW)
    assert keys(ledger) == {"i1-ops"}


def test_the_write_lock_is_free_between_two_deletes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = make_ledger(tmp_path, busy_seconds=0.0)
    old = {"at": LONG_AGO, "subject": "web", "status": "ok", "code": "well", "instance_id": "i"}
    with ledger.database.write() as connection:
        connection.execute(insert(flips), [old] * 1800)
    deleted: list[int] = []
    event.listen(
        ledger.database.engine,
        "after_cursor_execute",
        lambda _, cursor, statement, *__: (
            deleted.append(cursor.rowcount) if statement.startswith("DELETE FROM flips") else None
        ),
    )
    pauses: list[float] = []

    def accept(seconds: float) -> None:
        """Fails at once when the lock is not free: this ledger does not wait."""
        pauses.append(seconds)
        ledger.intake.accept([make_admission()])

    monkeypatch.setattr(time, "sleep", accept)
    ledger.alerts.prune(NOW)
    assert deleted == [500, 500, 500, 299]
    assert pauses == [0.02] * 3
    assert len(ledger.alerts.flips()) == 1
    ledger.close()
