"""The facts of the queue: which patch waits longest, and which could be claimed."""

from __future__ import annotations

from sqlalchemy import event

from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.events import Planned
from gpt_cursor_runner.patch.status import Status
from tests.building import an_outcome, make_admission

NOW = 1_000_000.0
DAY = 86_400


def accept(ledger: Ledger, *ids: str, branch: str = "main", repository: str = "app") -> None:
    for id_ in ids:
        ledger.intake.accept([make_admission(repository, branch, at=NOW, id=id_)])


def claim(ledger: Ledger, now: float = NOW) -> StoredPatch:
    claimed = ledger.leases.claim("one", now)
    assert claimed is not None
    return claimed


def test_a_patch_can_be_claimed_when_nothing_runs_on_its_branch(ledger: Ledger) -> None:
    accept(ledger, "a", "b")
    assert ledger.queue_facts(NOW).oldest_claimable_seq == 1
    running = claim(ledger)
    assert ledger.queue_facts(NOW).oldest_claimable_seq is None
    accept(ledger, "other-repository", repository="site")
    facts = ledger.queue_facts(NOW)
    assert (facts.oldest_queued_seq, facts.oldest_claimable_seq, facts.last_seq) == (2, 3, 3)
    claim(ledger)
    assert ledger.queue_facts(NOW).oldest_claimable_seq is None
    accept(ledger, "other-branch", branch="develop")
    assert ledger.queue_facts(NOW).oldest_claimable_seq == 4
    ledger.leases.finish(running, an_outcome(Status.LANDED), NOW)
    assert ledger.queue_facts(NOW).oldest_claimable_seq == 2


def test_a_patch_that_waits_for_its_retry_cannot_be_claimed_before(ledger: Ledger) -> None:
    accept(ledger, "a", "b")
    ledger.leases.finish(claim(ledger), an_outcome(Status.QUEUED), NOW, not_before=NOW + 60)
    assert ledger.queue_facts(NOW).oldest_queued_seq == 1
    assert ledger.queue_facts(NOW + 59).oldest_claimable_seq == 2
    assert ledger.queue_facts(NOW + 60).oldest_claimable_seq == 1


def test_a_run_is_as_old_as_its_last_claim_whatever_it_did_since(ledger: Ledger) -> None:
    accept(ledger, "a")
    accept(ledger, "b", branch="develop")
    ledger.leases.finish(claim(ledger, NOW), an_outcome(Status.QUEUED), NOW)
    again = claim(ledger, NOW + 10)
    claim(ledger, NOW + 20)
    ledger.leases.record(again, Planned(), NOW + 30)
    assert ledger.queue_facts(NOW).oldest_running_at == NOW + 10


def test_only_what_failed_within_a_day_failed_lately(ledger: Ledger) -> None:
    accept(ledger, "a", "b")
    for age in (DAY + 1, DAY - 1):
        ledger.leases.finish(claim(ledger), an_outcome(Status.FAILED), NOW - age)
    facts = ledger.queue_facts(NOW)
    assert (facts.failed, facts.failed_lately) == (2, 1)


def test_the_ledger_s_own_clock_says_what_is_due(ledger: Ledger) -> None:
    accept(ledger, "a")
    ledger.leases.finish(claim(ledger), an_outcome(Status.QUEUED), NOW, not_before=NOW + 60)
    told = Ledger(ledger.database, clock=lambda: NOW)
    assert told.queue_facts().oldest_claimable_seq is None
    told = Ledger(ledger.database, clock=lambda: NOW + 60)
    assert told.queue_facts().oldest_claimable_seq == 1


def test_the_facts_are_read_from_indexes_and_never_by_walking_all_patches(ledger: Ledger) -> None:
    asked: list[tuple[str, object]] = []
    event.listen(
        ledger.database.engine,
        "before_cursor_execute",
        lambda _, __, said, values, *___: asked.append((said, values)),
    )
    ledger.queue_facts()
    with ledger.database.engine.connect() as connection:
        plans = [
            row[-1]
            for statement, values in asked.copy()
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)  # type: ignore[arg-type]
        ]
    assert [step for step in plans if "SCAN" in step or "TEMP B-TREE" in step] == []
    assert sum("COVERING INDEX ix_patches_waiting" in step for step in plans) == 2
