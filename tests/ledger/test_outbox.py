"""Letters: in order for each subject, none of them lost, none of them twice
under one key.
"""

from __future__ import annotations

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from gpt_cursor_runner.ledger.history import HistoryBatch
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.outbox import Alert
from tests.ledger.health_builders import NOW, make_alert, make_incident


def post(ledger: Ledger, *alerts: Alert) -> None:
    opened = () if ledger.history.open_incidents() else (make_incident(),)
    ledger.history.record(HistoryBatch(opened=opened, alerts=alerts))


def due(ledger: Ledger, now: float = NOW, sink: str = "ops") -> Alert:
    found = ledger.outbox.next(sink, now)
    assert found is not None
    return found


def test_nothing_is_owed_at_first(ledger: Ledger) -> None:
    assert ledger.outbox.next("ops", NOW) is None
    assert (ledger.outbox.owed(), ledger.outbox.oldest_owed_at()) == (0, None)


def test_letters_go_out_in_the_order_in_which_they_were_written(ledger: Ledger) -> None:
    post(
        ledger,
        make_alert("a", "web"),
        make_alert("b", "queue"),
        make_alert("c", "web", kind="resolve"),
    )
    order = []
    while alert := ledger.outbox.next("ops", NOW):
        order.append(alert.key)
        assert ledger.outbox.delivered(alert, NOW)
    assert order == ["a", "b", "c"]


def test_a_letter_that_waits_holds_up_its_subject_and_no_other(ledger: Ledger) -> None:
    post(
        ledger,
        make_alert("a", "web"),
        make_alert("c", "web", kind="resolve"),
        make_alert("b", "queue"),
    )
    assert ledger.outbox.failed(due(ledger), NOW, NOW + 60, "refused")
    assert ledger.outbox.delivered(due(ledger), NOW)
    assert ledger.outbox.next("ops", NOW + 59) is None
    again = due(ledger, NOW + 60)
    assert (again.key, again.attempts) == ("a", 1)
    assert ledger.outbox.give_up(again, NOW + 60, "refused for good")
    assert due(ledger, NOW + 60).key == "c"


def test_a_letter_is_not_due_before_its_time(ledger: Ledger) -> None:
    post(ledger, make_alert("a", not_before=NOW + 10))
    assert ledger.outbox.next("ops", NOW + 9.9) is None
    assert due(ledger, NOW + 10).key == "a"


def test_each_sink_is_owed_its_own(ledger: Ledger) -> None:
    post(ledger, make_alert("a"), make_alert("b", sink="boss", created_at=NOW - 5))
    assert (ledger.outbox.owed(), ledger.outbox.owed("ops"), ledger.outbox.owed("nobody")) == (
        2,
        1,
        0,
    )
    assert (ledger.outbox.oldest_owed_at(), ledger.outbox.oldest_owed_at("ops")) == (NOW - 5, NOW)
    ledger.outbox.delivered(due(ledger, sink="boss"), NOW)
    assert due(ledger).key == "a"


def test_a_letter_written_twice_is_kept_once(ledger: Ledger) -> None:
    post(ledger, make_alert("a"), make_alert("a", body={"second": True}))
    post(ledger, make_alert("a"), make_alert("b"))
    assert ledger.outbox.owed() == 2
    assert due(ledger).body == {"key": "a"}


def test_what_ended_meanwhile_is_left_alone(ledger: Ledger) -> None:
    post(ledger, make_alert("a"))
    alert = due(ledger)
    assert ledger.outbox.begin(alert, NOW)
    assert ledger.outbox.delivered(alert, NOW)
    late = NOW + 1
    assert not ledger.outbox.begin(alert, late)
    assert not ledger.outbox.delivered(alert, late)
    assert not ledger.outbox.failed(alert, late, late, "late")
    assert not ledger.outbox.give_up(alert, late, "late")


def test_a_letter_held_back_while_it_was_in_hand_is_told_apart_from_the_next(
    ledger: Ledger,
) -> None:
    post(ledger, make_alert("a"))
    alert = due(ledger)
    ledger.history.record(HistoryBatch(muted={"i1": "tunnel"}))
    ledger.history.record(HistoryBatch(muted={"i1": None}, alerts=(make_alert("b"),)))
    assert due(ledger).seq == alert.seq  # the database numbers it anew
    assert not ledger.outbox.begin(alert, NOW)
    assert not ledger.outbox.delivered(alert, NOW)
    assert due(ledger).key == "b"


def test_letters_to_sinks_that_are_not_set_any_more_are_given_up(ledger: Ledger) -> None:
    post(ledger, make_alert("a"), make_alert("b", sink="old"), make_alert("c", sink="older"))
    assert ledger.outbox.give_up_all_but(["ops"], NOW) == 2
    assert (ledger.outbox.owed(), due(ledger).key) == (1, "a")
    assert ledger.outbox.give_up_all_but([], NOW) == 1


def test_those_who_were_told_are_known_after_they_were(ledger: Ledger) -> None:
    post(
        ledger,
        make_alert("a"),
        make_alert("b", sink="boss"),
        make_alert("c", sink="other", kind="flapping"),
    )
    ledger.outbox.delivered(due(ledger), NOW)
    assert ledger.outbox.told("i1") == {"ops", "boss"}
    assert ledger.outbox.told("i2") == frozenset()


@pytest.mark.parametrize("wrong", [{"kind": "gossip"}, {"incident_id": "nobody's"}])
def test_a_letter_of_no_kind_or_incident_is_refused_by_the_database(
    ledger: Ledger, wrong: dict[str, str]
) -> None:
    with pytest.raises(IntegrityError):
        post(ledger, make_alert("a", **wrong))


def test_asking_what_is_due_reads_only_what_is_owed(ledger: Ledger) -> None:
    asked: list[tuple[str, object]] = []
    event.listen(
        ledger.database.engine,
        "before_cursor_execute",
        lambda _, __, said, values, *___: asked.append((said, values)),
    )
    ledger.outbox.next("ops", NOW)
    statement, values = asked[-1]
    with ledger.database.engine.connect() as connection:
        rows = connection.exec_driver_sql(
            f"EXPLAIN QUERY PLAN {statement}",
            values,  # type: ignore[arg-type]
        )
        plan = [row[-1] for row in rows]
    searches = [step for step in plan if step.startswith(("SEARCH", "SCAN"))]
    assert searches
    assert all("ix_outbox_owed" in step for step in searches), plan
