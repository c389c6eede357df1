"""The decisions of people, in every state of a patch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from sqlalchemy import text

from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.moves import IllegalMove
from gpt_cursor_runner.ledger.patches import UnknownPatch
from gpt_cursor_runner.patch.events import Landing
from gpt_cursor_runner.patch.status import Status
from tests.building import an_outcome, make_admission

Decision = Callable[[Ledger], object]

DECISIONS: dict[str, Decision] = {
    "cancel": lambda ledger: ledger.decisions.cancel("a", "the owner", 300.0),
    "approve": lambda ledger: ledger.decisions.approve("a", "the owner", 300.0),
    "reject": lambda ledger: ledger.decisions.reject("a", "the owner", 300.0, ""),
    "retry": lambda ledger: ledger.decisions.retry("a", "the owner", 300.0),
}
# Every other pair is rejected.
LEGAL = {
    ("cancel", Status.QUEUED): Status.CANCELLED,
    ("cancel", Status.RUNNING): Status.RUNNING,
    ("approve", Status.HELD): Status.QUEUED,
    ("reject", Status.HELD): Status.REJECTED,
    ("retry", Status.HELD): Status.QUEUED,
    ("retry", Status.FAILED): Status.QUEUED,
}


def bring_to(ledger: Ledger, status: Status) -> None:
    """A patch `a` in that state, by the moves that lead there."""
    ledger.intake.accept([make_admission(id="a", at=100.0)])
    if status is Status.QUEUED:
        return
    claim = ledger.leases.claim("one", 200.0)
    assert claim is not None
    if status is not Status.RUNNING:
        ledger.leases.finish(claim, an_outcome(status), 210.0)


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("decision", DECISIONS)
def test_a_decision_is_possible_in_its_states_and_in_no_other(
    ledger: Ledger, decision: str, status: Status
) -> None:
    bring_to(ledger, status)
    before = ledger.queries.get("a")
    to = LEGAL.get((decision, status))
    if to is None:
        with pytest.raises(IllegalMove, match=f"a is {status}"):
            DECISIONS[decision](ledger)
        assert ledger.queries.get("a") == before
    else:
        DECISIONS[decision](ledger)
        assert ledger.queries.get("a").status is to
    assert ledger.first_broken_link() is None


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_decision_on_an_unknown_patch_is_rejected(ledger: Ledger, decision: str) -> None:
    with pytest.raises(UnknownPatch):
        DECISIONS[decision](ledger)


@pytest.mark.parametrize("decision", DECISIONS)
def test_a_decision_whose_event_cannot_be_written_is_rolled_back(
    ledger: Ledger, decision: str
) -> None:
    bring_to(ledger, Status.QUEUED if decision == "cancel" else Status.HELD)
    before = ledger.queries.get("a")
    with ledger.database.write() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO away"))
    with pytest.raises(Exception, match="no such table"):
        DECISIONS[decision](ledger)
    assert ledger.queries.get("a") == before


def test_an_approval_records_the_actor_and_the_digest(ledger: Ledger) -> None:
    bring_to(ledger, Status.HELD)
    ledger.decisions.approve("a", "the owner", 300.0)
    stored = ledger.queries.get("a")
    assert stored.approved_by == "the owner"
    event = ledger.queries.events("a")[-1]
    assert (event.kind, event.actor, event.data) == (
        "approved",
        "the owner",
        {"digest": stored.digest},
    )


@pytest.mark.parametrize("decision", ["approve", "retry"])
def test_a_patch_that_is_queued_again_starts_without_attempts(
    ledger: Ledger, decision: str
) -> None:
    bring_to(ledger, Status.HELD)
    DECISIONS[decision](ledger)
    stored = ledger.queries.get("a")
    assert (stored.attempts, stored.cancel_asked_by, stored.reported_at) == (0, None, None)
    assert ledger.leases.next_repository(300.0) == "app"


def test_a_retry_does_not_approve(ledger: Ledger) -> None:
    bring_to(ledger, Status.HELD)
    ledger.decisions.retry("a", "the owner", 300.0)
    assert ledger.queries.get("a").approved_by is None


def test_a_repeated_cancel_request_adds_no_event(ledger: Ledger) -> None:
    bring_to(ledger, Status.RUNNING)
    ledger.decisions.cancel("a", "first", 300.0)
    ledger.decisions.cancel("a", "second", 301.0)
    assert ledger.queries.get("a").cancel_asked_by == "first"
    assert [event.kind for event in ledger.queries.events("a")].count("cancel_asked") == 1


def test_a_queued_patch_that_was_about_to_land_is_left_for_the_runner_to_cancel(
    ledger: Ledger,
) -> None:
    bring_to(ledger, Status.RUNNING)
    ledger.leases.record(ledger.queries.get("a"), Landing("c"), 250.0)
    ledger.leases.reclaim(260.0)
    assert ledger.decisions.cancel("a", "the sender", 300.0) is Status.QUEUED
    assert ledger.queries.get("a").cancel_asked_by == "the sender"


def test_a_rejection_keeps_its_reason(ledger: Ledger) -> None:
    bring_to(ledger, Status.HELD)
    ledger.decisions.reject("a", "the owner", 300.0, "Too large")
    assert ledger.queries.get("a").outcome == {"code": "rejected_by_owner", "message": "Too large"}


def test_a_retry_forgets_an_earlier_cancel_and_back_off(ledger: Ledger) -> None:
    bring_to(ledger, Status.RUNNING)
    claim = ledger.queries.get("a")
    ledger.leases.finish(claim, an_outcome(Status.FAILED), 250.0, not_before=1e9)
    with ledger.database.write() as connection:
        connection.execute(text("UPDATE patches SET cancel_asked_by = 'the sender'"))
    ledger.decisions.retry("a", "the owner", 300.0)
    assert ledger.leases.next_repository(300.0) == "app"
    assert ledger.queries.get("a").cancel_asked_by is None


def test_a_cancel_ends_the_back_off_of_a_patch_that_may_have_landed(ledger: Ledger) -> None:
    bring_to(ledger, Status.RUNNING)
    claim = ledger.queries.get("a")
    ledger.leases.record(claim, Landing("c"), 250.0)
    ledger.leases.finish(claim, an_outcome(Status.QUEUED), 260.0, not_before=1e9)
    assert ledger.leases.next_repository(300.0) is None
    ledger.decisions.cancel("a", "the sender", 300.0)
    assert ledger.leases.next_repository(300.0) == "app"
