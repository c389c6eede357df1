"""Claims, fencing and the moves of running patches."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError, OperationalError

from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.moves import IllegalMove
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.events import Planned, Reported, Sealed
from gpt_cursor_runner.patch.faults import CancelAsked, LeaseLost
from gpt_cursor_runner.patch.outcome import Interrupted
from gpt_cursor_runner.patch.status import MOVES, Status
from tests.building import an_outcome, make_admission


def accept(ledger: Ledger, patch_id: str, **members: object) -> None:
    ledger.intake.accept([make_admission(id=patch_id, at=100.0, **members)])  # type: ignore[arg-type]


def claim(ledger: Ledger, now: float = 200.0, runner: str = "one") -> StoredPatch | None:
    return ledger.leases.claim(runner, now)


def claimed(ledger: Ledger, patch_id: str = "a") -> StoredPatch:
    accept(ledger, patch_id)
    stored = claim(ledger)
    assert stored is not None
    return stored


def test_claims_go_by_priority_and_then_by_arrival(ledger: Ledger) -> None:
    for patch_id, priority in (("late", 0), ("later", 0), ("urgent", 5), ("idle", -5)):
        accept(ledger, patch_id, priority=priority)
    order = []
    while running := claim(ledger):
        order.append(running.id)
        ledger.leases.finish(running, an_outcome(Status.PREVIEWED), 201.0)
    assert order == ["urgent", "late", "later", "idle"]


def test_a_claim_names_its_runner_and_counts_the_attempt(ledger: Ledger) -> None:
    running = claimed(ledger)
    assert (running.status, running.leased_by) == (Status.RUNNING, "one")
    assert (running.token, running.attempts) == (1, 1)
    assert ledger.queries.events("a")[-1].data == {"attempt": 1, "token": 1}


def test_a_claim_skips_a_busy_branch(ledger: Ledger) -> None:
    accept(ledger, "a")
    accept(ledger, "same")
    accept(ledger, "other-branch", branch="develop")
    accept(ledger, "other-repository", repository="site")
    claims = [claim(ledger) for _ in range(3)]
    assert [stored and stored.id for stored in claims] == ["a", "other-branch", "other-repository"]
    assert claim(ledger) is None


def test_the_database_itself_allows_one_running_patch_on_a_branch(ledger: Ledger) -> None:
    claimed(ledger)
    accept(ledger, "b")
    second = text("UPDATE patches SET status = 'running', leased_by = 'thief' WHERE id = 'b'")
    with (
        pytest.raises(IntegrityError, match=r"patches\.repository, patches\.branch"),
        ledger.database.write() as connection,
    ):
        connection.execute(second)


@pytest.mark.parametrize(
    "change",
    ["status = 'running'", "leased_by = 'a runner'", "status = 'done'"],
)
def test_the_database_itself_rejects_an_impossible_state(ledger: Ledger, change: str) -> None:
    accept(ledger, "a")
    with pytest.raises(IntegrityError, match="CHECK"), ledger.database.write() as connection:
        connection.execute(text(f"UPDATE patches SET {change}"))  # noqa: S608  the cases stand above


def test_a_patch_is_not_claimed_before_its_time(ledger: Ledger) -> None:
    running = claimed(ledger)
    ledger.leases.finish(running, an_outcome(Status.QUEUED), 210.0, not_before=250.0)
    assert claim(ledger, now=249.9) is None
    assert ledger.leases.next_repository(249.9) is None
    assert ledger.leases.next_repository(250.0) == "app"
    assert claim(ledger, now=250.0) is not None


def test_an_interrupted_attempt_is_not_counted(ledger: Ledger) -> None:
    running = claimed(ledger)
    ledger.leases.finish(running, Interrupted(), 210.0)
    assert ledger.queries.get("a").attempts == 0


def test_a_stale_token_can_neither_record_nor_confirm_nor_finish(ledger: Ledger) -> None:
    stale = claimed(ledger)
    ledger.leases.reclaim(300.0)
    fresh = claim(ledger, 301.0, "two")
    assert fresh is not None
    before = [event.kind for event in ledger.queries.events("a")]
    with pytest.raises(LeaseLost):
        ledger.leases.record(stale, Sealed(), 302.0)
    with pytest.raises(LeaseLost):
        ledger.leases.confirm(stale)
    with pytest.raises(LeaseLost):
        ledger.leases.finish(stale, an_outcome(Status.LANDED), 302.0)
    assert [event.kind for event in ledger.queries.events("a")] == before
    ledger.leases.confirm(fresh)


def test_a_patch_ends_once(ledger: Ledger) -> None:
    running = claimed(ledger)
    ledger.leases.finish(running, an_outcome(Status.LANDED), 210.0)
    with pytest.raises(LeaseLost):
        ledger.leases.finish(running, an_outcome(Status.FAILED), 211.0)
    assert ledger.queries.get("a").status is Status.LANDED


@pytest.mark.parametrize("to", sorted(MOVES[Status.RUNNING]))
def test_a_running_patch_ends_in_each_state_of_the_table_of_moves(
    ledger: Ledger, to: Status
) -> None:
    running = claimed(ledger)
    assert ledger.leases.finish(running, an_outcome(to), 210.0) is to
    assert ledger.queries.get("a").status is to
    assert ledger.queries.get("a").leased_by is None


class StillRunning(Interrupted):
    status = Status.RUNNING


def test_a_running_patch_ends_in_no_other_state(ledger: Ledger) -> None:
    running = claimed(ledger)
    with pytest.raises(IllegalMove):
        ledger.leases.finish(running, StillRunning(), 210.0)
    assert ledger.queries.get("a").status is Status.RUNNING


def test_every_running_patch_is_reclaimed_and_no_other(ledger: Ledger) -> None:
    claimed(ledger)
    accept(ledger, "b", branch="develop")
    assert claim(ledger, 220.0) is not None
    ledger.leases.finish(ledger.queries.get("b"), an_outcome(Status.HELD), 225.0)
    accept(ledger, "c", branch="other")
    assert ledger.leases.reclaim(231.0) == ["a"]
    assert ledger.leases.reclaim(232.0) == []
    statuses = {stored.id: stored.status for stored in ledger.queries.page()}
    assert statuses == {"a": Status.QUEUED, "b": Status.HELD, "c": Status.QUEUED}
    lost = ledger.queries.events("a")[-1]
    assert (lost.kind, lost.data) == ("lease_lost", {"runner": "one", "attempt": 1})


def test_a_requested_cancel_stops_the_next_confirmation_and_the_next_record(ledger: Ledger) -> None:
    running = claimed(ledger)
    ledger.decisions.cancel("a", "the sender", 205.0)
    with pytest.raises(CancelAsked, match="the sender"):
        ledger.leases.confirm(running)
    with pytest.raises(CancelAsked, match="the sender"):
        ledger.leases.record(running, Sealed(), 206.0)


def test_a_patch_with_a_requested_cancel_is_cancelled_instead_of_held(ledger: Ledger) -> None:
    running = claimed(ledger)
    ledger.decisions.cancel("a", "the sender", 205.0)
    assert ledger.leases.finish(running, an_outcome(Status.HELD), 206.0) is Status.CANCELLED
    stored = ledger.queries.get("a")
    assert stored.outcome == {
        "code": "cancelled",
        "message": "cancelled by the sender while it ran",
    }
    assert ledger.queries.events("a")[-1].kind == "cancelled"


def test_a_late_cancel_does_not_undo_a_landing(ledger: Ledger) -> None:
    running = claimed(ledger)
    ledger.decisions.cancel("a", "the sender", 205.0)
    assert ledger.leases.finish(running, an_outcome(Status.LANDED), 206.0) is Status.LANDED


def test_a_cancelled_patch_does_not_wait_for_its_retry(ledger: Ledger) -> None:
    running = claimed(ledger)
    ledger.decisions.cancel("a", "the sender", 205.0)
    ledger.leases.finish(running, an_outcome(Status.QUEUED), 206.0, not_before=1e9)
    again = claim(ledger, 207.0)
    assert again is not None
    with pytest.raises(CancelAsked):
        ledger.leases.record(again, Planned(), 208.0)


@pytest.mark.parametrize("step", ["claim", "record", "finish", "reclaim", "mark_reported"])
def test_a_move_whose_event_cannot_be_written_is_rolled_back(ledger: Ledger, step: str) -> None:
    accept(ledger, "a")
    running = None if step == "claim" else claim(ledger)
    if running is not None and step == "mark_reported":
        ledger.leases.finish(running, an_outcome(Status.LANDED), 210.0)
    before = ledger.queries.get("a")
    with ledger.database.write() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO away"))
    with pytest.raises(OperationalError, match="no such table"):
        if running is None:
            claim(ledger)
        elif step == "record":
            ledger.leases.record(running, Sealed(), 220.0)
        elif step == "finish":
            ledger.leases.finish(running, an_outcome(Status.LANDED), 220.0)
        elif step == "reclaim":
            ledger.leases.reclaim(999.0)
        else:
            ledger.leases.mark_reported(before, Reported(), 220.0)
    assert ledger.queries.get("a") == before


def test_every_end_and_every_hold_needs_a_report(ledger: Ledger) -> None:
    running = claimed(ledger)
    assert ledger.queries.unreported(10) == []
    ledger.leases.finish(running, an_outcome(Status.HELD), 210.0)
    [held] = ledger.queries.unreported(10)
    ledger.leases.mark_reported(held, Reported(), 211.0)
    assert ledger.queries.unreported(10) == []
    ledger.decisions.reject("a", "the owner", 5.0, "")  # by a clock that was set back
    assert [stored.status for stored in ledger.queries.unreported(10)] == [Status.REJECTED]


def test_a_report_of_an_earlier_state_does_not_count_for_the_present_one(ledger: Ledger) -> None:
    running = claimed(ledger)
    ledger.leases.finish(running, an_outcome(Status.HELD), 210.0)
    [held] = ledger.queries.unreported(10)
    ledger.decisions.approve("a", "the owner", 210.0)
    again = claim(ledger, 210.0)
    assert again is not None
    ledger.leases.finish(again, an_outcome(Status.HELD), 210.0)  # all at the same moment
    ledger.leases.mark_reported(held, Reported(), 211.0)
    assert [stored.token for stored in ledger.queries.unreported(10)] == [2]


def test_a_report_is_marked_once(ledger: Ledger) -> None:
    ledger.leases.finish(claimed(ledger), an_outcome(Status.LANDED), 210.0)
    [ended] = ledger.queries.unreported(10)
    ledger.leases.mark_reported(ended, Reported(), 211.0)
    ledger.leases.mark_reported(replace(ended), Reported(), 212.0)
    assert [event.kind for event in ledger.queries.events("a")].count("reported") == 1


def test_unreported_patches_are_limited_in_number_and_can_be_excluded(ledger: Ledger) -> None:
    for number in range(5):
        accept(ledger, f"p{number}")
        ledger.decisions.cancel(f"p{number}", "the sender", 200.0)
    assert [stored.id for stored in ledger.queries.unreported(2)] == ["p0", "p1"]
    assert [stored.id for stored in ledger.queries.unreported(2, but_not={"p0", "p2"})] == [
        "p1",
        "p3",
    ]


def test_unreported_patches_and_the_last_landing_are_read_from_indexes(ledger: Ledger) -> None:
    """The idle runner and the health probe run these queries, which must not get
    slower with the number of patches that have ended.
    """
    steps: list[str] = []
    with ledger.database.write() as connection:
        for query in (
            (
                "SELECT * FROM patches WHERE status IN ('landed', 'held') AND reported_at IS NULL"
                " ORDER BY seq LIMIT 20"
            ),
            "SELECT max(updated_at) FROM patches WHERE status = 'landed'",
            "SELECT status, count(*) FROM patches GROUP BY status",
        ):
            steps += [row.detail for row in connection.execute(text(f"EXPLAIN QUERY PLAN {query}"))]
    assert any("ix_patches_unreported" in detail for detail in steps)
    assert any("ix_patches_updated" in detail for detail in steps)
    assert not any(detail == "SCAN patches" for detail in steps)


def test_a_report_of_a_held_patch_does_not_count_for_its_rejection(ledger: Ledger) -> None:
    ledger.leases.finish(claimed(ledger), an_outcome(Status.HELD), 210.0)
    held = ledger.queries.get("a")
    ledger.decisions.reject("a", "the owner", 211.0, "")
    ledger.leases.mark_reported(held, Reported(), 212.0)
    assert [stored.status for stored in ledger.queries.unreported(10)] == [Status.REJECTED]
