"""The outbox: alerts of a subject stay in order, none is lost, and a key is
stored once.
"""

from __future__ import annotations

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from gpt_cursor_runner.ledger.alerts import Alert, HistoryBatch
from gpt_cursor_runner.ledger.ledger import Ledger
from tests.ledger.health_builders import NOW, make_alert, make_incident


def add(ledger: Ledger, *alerts: Alert) -> None:
    opened = () if ledger.alerts.open_incidents() else (make_incident(),)
    ledger.alerts.record(HistoryBatch(opened=opened, alerts=alerts))


def due(ledger: Ledger, now: float = NOW, sink: str = "ops") -> Alert:
    alert = ledger.alerts.next_due(sink, now)
    assert alert is not None
    return alert


def test_a_new_outbox_is_empty(ledger: Ledger) -> None:
    assert ledger.alerts.next_due("ops", NOW) is None
    assert ledger.alerts.pending_count() == 0


def test_alerts_are_sent_in_the_order_in_which_they_were_written(ledger: Ledger) -> None:
    add(
        ledger,
        make_alert("a", "web"),
        make_alert("b", "queue"),
        make_alert("c", "web", kind="resolve"),
    )
    order = []
    while alert := ledger.alerts.next_due("ops", NOW):
        order.append(alert.key)
        assert ledger.alerts.delivered(alert, NOW)
    assert order == ["a", "b", "c"]


def test_an_alert_that_is_retried_delays_its_subject_and_no_other(ledger: Ledger) -> None:
    add(
        ledger,
        make_alert("a", "web"),
        make_alert("c", "web", kind="resolve"),
        make_alert("b", "queue"),
    )
    assert ledger.alerts.failed(due(ledger), NOW + 60, "refused")
    assert ledger.alerts.delivered(due(ledger), NOW)
    assert ledger.alerts.next_due("ops", NOW + 59) is None
    again = due(ledger, NOW + 60)
    assert (again.key, again.attempts) == ("a", 1)
    assert ledger.alerts.give_up(again, NOW + 60, "refused for good")
    assert due(ledger, NOW + 60).key == "c"


def test_an_alert_is_not_due_before_its_time(ledger: Ledger) -> None:
    add(ledger, make_alert("a", not_before=NOW + 10))
    assert ledger.alerts.next_due("ops", NOW + 9.9) is None
    assert due(ledger, NOW + 10).key == "a"


def test_each_sink_has_its_own_alerts(ledger: Ledger) -> None:
    add(ledger, make_alert("a"), make_alert("b", sink="boss", created_at=NOW - 5))
    counts = [ledger.alerts.pending_count(sink) for sink in (None, "ops", "other")]
    assert counts == [2, 1, 0]
    ledger.alerts.delivered(due(ledger, sink="boss"), NOW)
    assert due(ledger).key == "a"


def test_an_alert_that_is_written_twice_is_stored_once(ledger: Ledger) -> None:
    add(ledger, make_alert("a"), make_alert("a", body={"second": True}))
    add(ledger, make_alert("a"), make_alert("b"))
    assert ledger.alerts.pending_count() == 2
    assert due(ledger).body == {"key": "a"}


def test_an_alert_that_is_no_longer_pending_is_not_changed(ledger: Ledger) -> None:
    add(ledger, make_alert("a"))
    alert = due(ledger)
    assert ledger.alerts.begin(alert, NOW)
    assert ledger.alerts.delivered(alert, NOW)
    late = NOW + 1
    assert not ledger.alerts.begin(alert, late)
    assert not ledger.alerts.delivered(alert, late)
    assert not ledger.alerts.failed(alert, late, "late")
    assert not ledger.alerts.give_up(alert, late, "late")


def test_an_alert_withdrawn_after_reading_is_not_confused_with_the_next(
    ledger: Ledger,
) -> None:
    add(ledger, make_alert("a"))
    alert = due(ledger)
    ledger.alerts.record(HistoryBatch(muted={"i1": "tunnel"}))
    ledger.alerts.record(HistoryBatch(muted={"i1": None}, alerts=(make_alert("b"),)))
    assert due(ledger).seq == alert.seq  # SQLite reuses the number
    assert not ledger.alerts.begin(alert, NOW)
    assert not ledger.alerts.delivered(alert, NOW)
    assert due(ledger).key == "b"


def test_alerts_to_sinks_that_are_no_longer_configured_are_given_up(ledger: Ledger) -> None:
    add(ledger, make_alert("a"), make_alert("b", sink="old"), make_alert("c", sink="older"))
    assert ledger.alerts.give_up_other_sinks(["ops"], NOW) == 2
    assert (ledger.alerts.pending_count(), due(ledger).key) == (1, "a")
    assert ledger.alerts.give_up_other_sinks([], NOW) == 1


@pytest.mark.parametrize("wrong", [{"kind": "gossip"}, {"incident_id": "missing"}])
def test_the_database_rejects_an_unknown_kind_or_incident(
    ledger: Ledger, wrong: dict[str, str]
) -> None:
    with pytest.raises(IntegrityError):
        add(ledger, make_alert("a", **wrong))


def test_the_next_due_alert_is_found_through_the_index_of_pending_ones(ledger: Ledger) -> None:
    statements: list[tuple[str, object]] = []
    event.listen(
        ledger.database.engine,
        "before_cursor_execute",
        lambda _, __, statement, values, *___: statements.append((statement, values)),
    )
    ledger.alerts.next_due("ops", NOW)
    statement, values = statements[-1]
    with ledger.database.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN {statement}",
            values,  # type: ignore[arg-type]
        )
        plan = [row[-1] for row in rows]
    searches = [step for step in plan if step.startswith(("SEARCH", "SCAN"))]
    assert searches
    assert all("ix_outbox_owed" in step for step in searches), plan
