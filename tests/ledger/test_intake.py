"""The acceptance of patches: once, completely, and on the disk."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import func, select, text
from sqlalchemy.exc import IntegrityError, OperationalError

from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.ledger.patches import AdmittedPatch, IdTaken, Receipt
from gpt_cursor_runner.ledger.schema import deliveries, events, patches
from gpt_cursor_runner.patch.model import Patch
from gpt_cursor_runner.patch.parsing import parse_patch, read_json
from gpt_cursor_runner.patch.status import Status
from tests.building import make_admission


def accept(ledger: Ledger, **members: object) -> Receipt | IdTaken:
    return ledger.intake.accept([make_admission(**members)])[0]  # type: ignore[arg-type]


def rows(ledger: Ledger) -> dict[str, int]:
    with ledger.database.engine.connect() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (patches, deliveries, events)
        }


def test_a_patch_is_kept_with_its_delivery_and_its_first_event(ledger: Ledger) -> None:
    receipt = accept(ledger, id="a", title="First", at=1000.5, submitted_by="ci")
    stored = ledger.queries.get("a")
    assert receipt == Receipt(Status.QUEUED, stored.digest, False)
    assert (stored.title, stored.accepted_at, stored.submitted_by) == ("First", 1000.5, "ci")
    assert ledger.queries.request("a") == b"{}"
    assert [(event.kind, event.actor, event.at) for event in ledger.queries.events("a")] == [
        ("accepted", "ci", 1000.5)
    ]
    assert rows(ledger) == {"patches": 1, "deliveries": 1, "events": 1}


def test_a_deleted_delivery_reads_as_none(ledger: Ledger) -> None:
    accept(ledger, id="a")
    with ledger.database.write() as connection:
        connection.execute(deliveries.delete())
    assert ledger.queries.request("a") is None


def test_the_same_patch_again_is_a_replay(ledger: Ledger) -> None:
    first = accept(ledger, id="a", title="Same")
    again = accept(ledger, id="a", title="Same")
    assert isinstance(first, Receipt)
    assert again == replace(first, replayed=True)
    assert rows(ledger)["patches"] == 1


def test_a_replay_returns_the_present_status(ledger: Ledger) -> None:
    accept(ledger, id="a", title="Same")
    ledger.decisions.cancel("a", "the sender", 1.0)
    again = accept(ledger, id="a", title="Same")
    assert isinstance(again, Receipt)
    assert (again.status, again.replayed) == (Status.CANCELLED, True)


def test_another_patch_under_a_used_id_is_rejected_and_changes_nothing(ledger: Ledger) -> None:
    accept(ledger, id="a", title="One")
    assert isinstance(accept(ledger, id="a", title="Two"), IdTaken)
    assert ledger.queries.get("a").title == "One"
    assert rows(ledger) == {"patches": 1, "deliveries": 1, "events": 1}


def test_fifty_threads_with_the_same_patch_make_one_row(ledger: Ledger) -> None:
    with ThreadPoolExecutor(50) as pool:
        receipts: list[Any] = list(
            pool.map(lambda _: accept(ledger, id="a", title="Same"), range(50))
        )
    assert all(isinstance(receipt, Receipt) for receipt in receipts)
    assert [receipt.replayed for receipt in receipts].count(False) == 1
    assert len({receipt.digest for receipt in receipts}) == 1
    assert rows(ledger) == {"patches": 1, "deliveries": 1, "events": 1}
    assert ledger.first_broken_link() is None


def test_many_patches_in_one_transaction_get_each_its_own_answer(ledger: Ledger) -> None:
    accept(ledger, id="taken", title="One")
    admissions = [make_admission(id=f"p{number}") for number in range(100)]
    admissions += [make_admission(id="taken", title="Two"), admissions[0]]
    answers = ledger.intake.accept(admissions)
    assert all(isinstance(answer, Receipt) and not answer.replayed for answer in answers[:100])
    assert isinstance(answers[100], IdTaken)
    assert isinstance(answers[101], Receipt)
    assert answers[101].replayed
    assert rows(ledger)["patches"] == 101
    assert ledger.first_broken_link() is None


def test_a_group_is_not_stored_when_one_of_it_cannot_be(ledger: Ledger) -> None:
    first = make_admission()
    same_request = make_admission()
    clash = replace(same_request, delivery=first.delivery)
    with pytest.raises(IntegrityError):
        ledger.intake.accept([first, clash])
    assert rows(ledger) == {"patches": 0, "deliveries": 0, "events": 0}


def test_a_patch_whose_event_cannot_be_written_is_not_stored(ledger: Ledger) -> None:
    with ledger.database.write() as connection:
        connection.execute(text("ALTER TABLE events RENAME TO away"))
    with pytest.raises(OperationalError):
        accept(ledger, id="a")
    with ledger.database.write() as connection:
        connection.execute(text("ALTER TABLE away RENAME TO events"))
    assert rows(ledger) == {"patches": 0, "deliveries": 0, "events": 0}


def test_a_version_or_phase_that_is_used_already_is_accepted_with_a_warning(
    ledger: Ledger,
) -> None:
    accept(ledger, id="patch-v1.0(P1)_one")
    receipt = accept(ledger, id="patch-v1.0(P1)_two")
    warnings = (
        "version 1.0 is already used by patch-v1.0(P1)_one",
        "phase P1 is already used by patch-v1.0(P1)_one",
    )
    assert isinstance(receipt, Receipt)
    assert receipt.warnings == warnings
    assert ledger.queries.events("patch-v1.0(P1)_two")[0].data["warnings"] == list(warnings)


def test_an_id_without_version_and_phase_causes_no_warning(ledger: Ledger) -> None:
    accept(ledger, id="one")
    receipt = accept(ledger, id="two")
    assert isinstance(receipt, Receipt)
    assert receipt.warnings == ()


def parsed(body: str) -> Patch:
    patch = parse_patch(read_json(body.encode())).patch
    assert patch is not None
    return patch


def test_the_digest_covers_the_content_and_not_its_spelling() -> None:
    body = {"id": "a", "title": "T", "changes": [{"type": "upsert", "path": "x", "contents": "y"}]}
    reordered = {
        "changes": [{"contents": "y", "path": "x", "type": "upsert"}],
        "title": " T ",
        "id": "a",
    }
    digests = {
        parsed(json.dumps(body)).digest(),
        parsed(json.dumps(body, indent=4)).digest(),
        parsed(json.dumps(reordered)).digest(),
    }
    assert len(digests) == 1
    other = body | {"priority": 1}
    assert parsed(json.dumps(other)).digest() not in digests


def test_the_patch_that_is_read_back_is_the_one_that_was_sent(ledger: Ledger) -> None:
    admitted: AdmittedPatch = make_admission(
        id="a", description="ünï\u202ecode", priority=-3, tolerance="merge"
    )
    ledger.intake.accept([admitted])
    stored = ledger.queries.get("a")
    assert stored.patch == admitted.patch
    assert stored.patch.digest() == stored.digest
