"""What health wrote down stays bounded, and what is still needed stays."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from sqlalchemy import event, insert, select

from gpt_cursor_runner.ledger.history import HistoryBatch
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.schema import flips, incidents, observations, outbox
from tests.building import make_admission, make_ledger
from tests.ledger.health_builders import DAY, NOW, make_alert, make_flip, make_incident, trouble

LONG_AGO = NOW - 91 * DAY


def keys(ledger: Ledger) -> set[str]:
    with ledger.database.write() as connection:
        return set(connection.execute(select(outbox.c.key)).scalars())


def test_old_flips_go_but_the_last_of_each_subject(ledger: Ledger) -> None:
    ages = (("web", 95), ("web", 91), ("queue", 92), ("web", 89), ("web", 1))
    ledger.history.record(
        HistoryBatch(flips=tuple(make_flip(name, at=NOW - age * DAY) for name, age in ages))
    )
    before = ledger.history.last_states()
    assert ledger.history.prune(NOW) == 2
    assert [flip.seq for flip in ledger.history.flips()] == [5, 4, 3]
    assert ledger.history.last_states() == before


def test_no_more_flips_are_kept_than_may_be_however_fresh(ledger: Ledger) -> None:
    steady = make_flip("queue")
    ledger.history.record(HistoryBatch(flips=(steady, *[make_flip("web")] * 1300)))
    assert ledger.history.prune(NOW, flips_kept=100) == 1200
    assert [flip.seq for flip in ledger.history.flips(limit=500)] == [*range(1301, 1201, -1), 1]
    assert ledger.history.prune(NOW, flips_kept=100) == 0


def test_minutes_go_after_a_week_and_hours_after_ninety_days(ledger: Ledger) -> None:
    def row(length: int, age: float) -> dict[str, object]:
        return {
            "length": length,
            "start": int(NOW - age * DAY),
            "seconds": {"web": [60.0, 0.0, 0.0, 0.0]},
        }

    kept = [row(60, 6.9), row(60, 7), row(3600, 8), row(3600, 89)]
    with ledger.database.write() as connection:
        connection.execute(insert(observations), [*kept, row(60, 7.1), row(3600, 90.1)])
    before = ledger.history.uptime(NOW)
    assert ledger.history.prune(NOW) == 2
    left = {
        (one.length, one.start)
        for length in (60, 3600)
        for one in ledger.history.observations(length, 0)
    }
    assert left == {(one["length"], one["start"]) for one in kept}
    assert ledger.history.uptime(NOW) == before


def test_letters_that_ended_go_after_a_month_and_owed_ones_never(ledger: Ledger) -> None:
    sinks = ("sent", "given-up", "fresh", "owed")
    ledger.history.record(trouble("i1", sinks=sinks, at=LONG_AGO))
    for sink, at in (
        ("sent", NOW - 31 * DAY),
        ("given-up", NOW - 31 * DAY),
        ("fresh", NOW - 29 * DAY),
    ):
        alert = ledger.outbox.next(sink, NOW)
        assert alert is not None
        assert (
            ledger.outbox.give_up(alert, at, "no")
            if sink == "given-up"
            else ledger.outbox.delivered(alert, at)
        )
    ledger.history.record(HistoryBatch(closed=("i1",), closed_at=LONG_AGO + 1))
    ledger.history.prune(NOW)
    assert keys(ledger) == {"i1-fresh", "i1-owed"}


def test_an_incident_goes_when_it_is_long_over_and_nothing_is_owed_of_it(ledger: Ledger) -> None:
    for name, closed_at in (
        ("over", LONG_AGO),
        ("lately", NOW - 89 * DAY),
        ("owed", LONG_AGO),
        ("open", None),
    ):
        ledger.history.record(HistoryBatch(opened=(make_incident(name, name, LONG_AGO - DAY),)))
        if closed_at is not None:
            ledger.history.record(HistoryBatch(closed=(name,), closed_at=closed_at))
    ledger.history.record(HistoryBatch(alerts=(make_alert("alert", incident_id="owed"),)))
    ledger.history.prune(NOW)
    with ledger.database.write() as connection:
        assert set(connection.execute(select(incidents.c.id)).scalars()) == {
            "lately",
            "owed",
            "open",
        }
    [alert] = [ledger.outbox.next("ops", NOW)]
    assert alert is not None
    ledger.outbox.delivered(alert, NOW - 31 * DAY)
    assert ledger.history.prune(NOW) == 2  # the alert, and then its incident


def test_who_was_told_of_a_trouble_is_known_as_long_as_it_lasts(ledger: Ledger) -> None:
    ledger.history.record(trouble("i1", at=LONG_AGO))
    ledger.history.record(HistoryBatch(alerts=(make_alert("again", kind="reminder"),)))
    while alert := ledger.outbox.next("ops", NOW):
        ledger.outbox.delivered(alert, LONG_AGO)
    ledger.history.prune(NOW)
    assert keys(ledger) == {"i1-ops"}
    assert ledger.outbox.told("i1") == {"ops"}


def test_patches_are_accepted_while_much_is_pruned(tmp_path: Path) -> None:
    ledger = make_ledger(tmp_path, busy_seconds=1.0)
    old = {"at": LONG_AGO, "subject": "web", "status": "ok", "code": "well", "instance_id": "i"}
    with ledger.database.write() as connection:
        connection.execute(insert(flips), [old] * 8000)
    deleted: list[int] = []
    event.listen(
        ledger.database.engine,
        "after_cursor_execute",
        lambda _, cursor, *__: deleted.append(cursor.rowcount),
    )
    pruning = threading.Thread(target=ledger.history.prune, args=(NOW,))
    pruning.start()
    accepted = 0
    while pruning.is_alive():
        ledger.intake.accept([make_admission()])
        accepted += 1
        time.sleep(0.01)
    pruning.join()
    assert accepted > 1
    assert max(deleted) == 500
    assert len(ledger.history.flips()) == 1
    ledger.close()
