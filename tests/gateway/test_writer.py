"""The one thread that records patches: together where possible, one by one
where necessary, and never those whose sender has given up.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError

from gpt_cursor_runner.gateway.writer import NotRecorded, OutcomeUnknown, Writer
from gpt_cursor_runner.ledger.patches import AdmittedPatch, IdTaken, Intake, Receipt
from tests.building import make_admission, make_ledger
from tests.running import wait_until


class HeldIntake:
    """A ledger's intake that holds every batch until it is released, and counts
    the batches.
    """

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self.error: Exception | None = None
        self.arrived = threading.Event()
        self.arrived_count = 0
        self.released = threading.Event()
        self.batches: list[int] = []

    def accept(self, admissions: Sequence[AdmittedPatch]) -> list[Receipt | IdTaken]:
        self.arrived_count = len(admissions)
        self.arrived.set()
        assert self.released.wait(60)
        self.batches.append(len(admissions))
        if self.error and any(admitted.patch.id.startswith("bad") for admitted in admissions):
            raise self.error
        return self.intake.accept(admissions)


@pytest.fixture
def intake(ledger):
    return HeldIntake(ledger.intake)


@pytest.fixture
def writer(intake):
    started = Writer(cast(Intake, intake))
    started.start()
    yield started
    intake.released.set()


def record_together(
    writer: Writer, intake: HeldIntake, admissions: Sequence[AdmittedPatch]
) -> list[Any]:
    """Record all of these while the intake is held, then release it; the answer
    or the error of each.
    """

    def record(admitted: AdmittedPatch) -> object:
        try:
            return writer.record(admitted, timeout_seconds=60)
        except Exception as error:  # noqa: BLE001  an error is an answer here
            return error

    with ThreadPoolExecutor(len(admissions)) as pool:
        answers = [pool.submit(record, admitted) for admitted in admissions]
        assert intake.arrived.wait(60)
        held = intake.arrived_count
        wait_until(lambda: writer._queue.qsize() >= len(admissions) - held, "some are missing")
        intake.released.set()
        return [answer.result() for answer in answers]


def test_patches_that_arrive_during_a_transaction_share_the_next(ledger, intake, writer):
    commits: list[object] = []
    event.listen(ledger.database.engine, "commit", commits.append)
    answers = record_together(writer, intake, [make_admission() for _ in range(30)])
    assert sum(intake.batches) == 30 and len(intake.batches) <= 3
    assert len(commits) == len(intake.batches)
    assert {answer.status for answer in answers} == {"queued"}


def test_one_bad_row_does_not_fail_the_others(ledger, intake, writer):
    intake.error = IntegrityError("INSERT", {}, Exception("constraint"))
    answers = record_together(
        writer, intake, [make_admission(id=name) for name in ("good-1", "bad-1", "good-2")]
    )
    assert sum(isinstance(answer, IntegrityError) for answer in answers) == 1
    assert sorted(stored.id for stored in ledger.queries.page()) == ["good-1", "good-2"]
    assert writer.is_alive()


def test_a_locked_ledger_fails_a_batch_at_once(intake, writer):
    intake.error = OperationalError("BEGIN", {}, Exception("database is locked"))
    answers = record_together(
        writer, intake, [make_admission(id=f"bad-{number}") for number in range(20)]
    )
    assert all(isinstance(answer, OperationalError) for answer in answers)
    assert len(intake.batches) <= 3


def test_one_id_twice_in_a_batch_is_recorded_once(ledger, intake, writer):
    answers = record_together(
        writer, intake, [make_admission(id="a", title=title) for title in ("One", "Two")]
    )
    assert sorted(type(answer).__name__ for answer in answers) == [IdTaken.__name__, "Receipt"]


def test_a_request_that_timed_out_in_the_queue_is_never_recorded(ledger, intake, writer):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(writer.record, make_admission(id="first"), 60)
        assert intake.arrived.wait(60)
        with pytest.raises(NotRecorded):
            writer.record(make_admission(id="gone"), 0.05)
        intake.released.set()
        first.result()
        writer.record(make_admission(id="last"), 60)
    assert sorted(stored.id for stored in ledger.queries.page()) == ["first", "last"]


def test_a_request_that_timed_out_during_its_transaction_is_unknown(ledger, intake, writer):
    with pytest.raises(OutcomeUnknown):
        # Long enough for the thread to pick it up.
        writer.record(make_admission(id="unknown"), 1.0)
    intake.released.set()
    writer.record(make_admission(id="next"), 60)
    assert len(ledger.queries.page()) == 2


def test_too_many_waiting_is_refused_at_once(ledger, monkeypatch):
    monkeypatch.setattr("gpt_cursor_runner.gateway.writer._MAX_QUEUED", 1)
    writer = Writer(ledger.intake)  # not started, so nothing leaves the queue
    with pytest.raises(NotRecorded, match="did not answer"):
        writer.record(make_admission(), 0.01)
    with pytest.raises(NotRecorded, match="too many"):
        writer.record(make_admission(), 10)


def test_the_error_of_a_locked_ledger_reaches_the_sender(tmp_path):
    ledger, other = (
        make_ledger(tmp_path / "state", busy_seconds=0.3),
        make_ledger(tmp_path / "state"),
    )
    writer = Writer(ledger.intake)
    writer.start()
    with other.database.write() as holder:
        holder.exec_driver_sql("SELECT 1")
        with pytest.raises(OperationalError):
            writer.record(make_admission(), 60)
    assert isinstance(writer.record(make_admission(), 60), Receipt)
