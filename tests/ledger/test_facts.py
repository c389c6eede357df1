"""The facts of the queue: the oldest queued patch and the oldest claimable one."""

from __future__ import annotations

from typing import Any

from sqlalchemy import event

from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import StoredPatch
from gpt_cursor_runner.patch.events import Planned
from gpt_cursor_runner.patch.status import Status
from tests.building import an_outcome, make_admission

NOW = 1_000_000.0
DAY = 86_400


def accept(ledger: Ledger, *ids: str, branch: str = "main", repository: str = "app") -> None:
    for patch_id in ids:
        ledger.intake.accept([make_admission(repository, branch, at=NOW, id=patch_id)])


def claim(ledger: Ledger, now: float = NOW) -> StoredPatch:
    claimed = ledger.leases.claim("one", now)
    assert claimed is not None
    return claimed


def test_a_patch_is_claimable_when_none_runs_on_its_branch(ledger: Ledger) -> None:
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


def test_a_patch_that_waits_for_its_retry_is_not_claimable(ledger: Ledger) -> None:
    accept(ledger, "a", "b")
    ledger.leases.finish(claim(ledger), an_outcome(Status.QUEUED), NOW, not_before=NOW + 60)
    assert ledger.queue_facts(NOW).oldest_queued_seq == 1
    assert ledger.queue_facts(NOW + 59).oldest_claimable_seq == 2
    assert ledger.queue_facts(NOW + 60).oldest_claimable_seq == 1


def test_the_age_of_a_running_patch_is_that_of_its_last_claim(ledger: Ledger) -> None:
    accept(ledger, "a")
    accept(ledger, "b", branch="develop")
    ledger.leases.finish(claim(ledger, NOW), an_outcome(Status.QUEUED), NOW)
    again = claim(ledger, NOW + 10)
    claim(ledger, NOW + 20)
    ledger.leases.record(again, Planned(), NOW + 30)
    assert ledger.queue_facts(NOW).oldest_running_at == NOW + 10


def test_failed_lately_counts_one_day(ledger: Ledger) -> None:
    accept(ledger, "a", "b")
    for age in (DAY + 1, DAY - 1):
        ledger.leases.finish(claim(ledger), an_outcome(Status.FAILED), NOW - age)
    facts = ledger.queue_facts(NOW)
    assert (facts.failed, facts.failed_lately) == (2, 1)


def test_the_ledger_s_own_clock_decides_which_patch_is_due(ledger: Ledger) -> None:
    accept(ledger, "a")
    ledger.leases.finish(claim(ledger), an_outcome(Status.QUEUED), NOW, not_before=NOW + 60)
    early = Ledger(ledger.database, clock=lambda: NOW)
    assert early.queue_facts().oldest_claimable_seq is None
    late = Ledger(ledger.database, clock=lambda: NOW + 60)
    assert late.queue_facts().oldest_claimable_seq == 1


def test_the_facts_are_read_from_indexes_and_never_by_walking_all_patches(ledger: Ledger) -> None:
    queries: list[tuple[str, Any]] = []
    event.listen(
        ledger.database.engine,
        "before_cursor_execute",
        lambda _, __, statement, values, *___: queries.append((statement, values)),
    )
    ledger.queue_facts()
    steps: list[str] = []
    with ledger.database.engine.connect() as connection:
        for statement, values in queries.copy():
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            steps += [row.detail for row in plan]
    assert [step for step in steps if "SCAN" in step or "TEMP B-TREE" in step] == []
    assert sum("COVERING INDEX ix_patches_waiting" in step for step in steps) == 2
