"""Reads of pages, of single patches and of the queue."""

from __future__ import annotations

import pytest

from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import UnknownPatch
from gpt_cursor_runner.ledger.queries import QueueFacts
from gpt_cursor_runner.patch.status import Status
from tests.building import an_outcome, make_admission


def accept(ledger: Ledger, *names: str, **members: object) -> None:
    ledger.intake.accept([make_admission(id=name, **members) for name in names])  # type: ignore[arg-type]


def test_pages_cover_every_patch_once_the_latest_first(ledger: Ledger) -> None:
    names = [f"p{number:02}" for number in range(25)]
    accept(ledger, *names)
    ids, before = [], None
    while page := ledger.queries.page(limit=10, before=before):
        ids += [stored.id for stored in page]
        before = page[-1].seq
    assert ids == names[::-1]


def test_a_page_is_not_shifted_by_patches_that_arrive_meanwhile(ledger: Ledger) -> None:
    accept(ledger, "a", "b", "c", "d")
    first = ledger.queries.page(limit=2)
    accept(ledger, "e", "f")
    assert [stored.id for stored in ledger.queries.page(limit=2, before=first[-1].seq)] == [
        "b",
        "a",
    ]


def test_a_page_can_be_of_one_state_or_one_repository(ledger: Ledger) -> None:
    accept(ledger, "a", "b")
    accept(ledger, "c", repository="site")
    ledger.decisions.cancel("a", "the sender", 1.0)
    assert [stored.id for stored in ledger.queries.page(status=Status.QUEUED)] == ["c", "b"]
    assert [stored.id for stored in ledger.queries.page(repository="app")] == ["b", "a"]
    assert [
        stored.id for stored in ledger.queries.page(status=Status.CANCELLED, repository="site")
    ] == []


def test_a_read_of_an_unknown_patch_raises(ledger: Ledger) -> None:
    for read in (ledger.queries.get, ledger.queries.events):
        with pytest.raises(UnknownPatch):
            read("unknown")


def test_active_patches_are_counted_by_branch(ledger: Ledger) -> None:
    accept(ledger, "a", "b")
    accept(ledger, "c", branch="develop")
    ledger.leases.claim("one", 1e12)
    assert ledger.queries.active_on("app", "main") == 2
    ledger.decisions.cancel("b", "the sender", 1.0)
    assert ledger.queries.active_on("app", "main") == 1


def test_an_empty_queue_has_no_times(ledger: Ledger) -> None:
    assert ledger.queue_facts() == QueueFacts(0, 0, 0, 0, None, None)


def test_the_facts_of_the_queue_count_its_patches(ledger: Ledger) -> None:
    for number, end in enumerate(
        (Status.LANDED, Status.LANDED, Status.HELD, Status.FAILED, Status.PREVIEWED)
    ):
        accept(ledger, f"p{number}", at=100.0 + number)
        claim = ledger.leases.claim("one", 200.0)
        assert claim is not None
        ledger.leases.finish(claim, an_outcome(end), 210.0 + number)
    accept(ledger, "running", "waiting", at=300.0)
    accept(ledger, "later", at=301.0)
    ledger.leases.claim("one", 302.0)
    assert ledger.queue_facts(now=302.0) == QueueFacts(
        queued=2,
        running=1,
        held=1,
        failed=1,
        oldest_queued_at=300.0,
        last_landed_at=211.0,
        oldest_queued_seq=7,
        last_seq=8,
        oldest_claimable_seq=None,
        oldest_running_at=302.0,
        failed_lately=1,
    )


def test_the_json_of_a_patch_has_no_body(ledger: Ledger) -> None:
    accept(ledger, "a", at=100.0, title="First")
    as_json = ledger.queries.get("a").to_json()
    assert as_json["patch_id"] == "a"
    assert as_json["status"] == "queued"
    assert "body" not in as_json


def test_a_stored_patch_is_validated_once(ledger: Ledger) -> None:
    accept(ledger, "a")
    stored = ledger.queries.get("a")
    assert stored.patch is stored.patch
