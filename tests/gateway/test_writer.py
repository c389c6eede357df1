"""The one thread that writes: together where it can, one by one where it must,
never for who has gone.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError, OperationalError

from gpt_cursor_runner.gateway.writer import NotRecorded, OutcomeUnknown, Writer
from gpt_cursor_runner.ledger.patches import AdmittedPatch, IdTaken, Intake, Receipt
from tests.building import make_admission, make_ledger


class Gate:
    """Stands before a ledger's intake: holds every batch until it is opened,
    and counts.
    """

    def __init__(self, intake: Intake) -> None:
        self.intake = intake
        self.trouble: Exception | None = None
        self.open = threading.Event()
        self.batches: list[int] = []

    def accept(self, admissions: Sequence[AdmittedPatch]) -> list[Receipt | IdTaken]:
        assert self.open.wait(10)
        self.batches.append(len(admissions))
        if self.trouble and any(one.patch.id.startswith("bad") for one in admissions):
            raise self.trouble
        return self.intake.accept(admissions)


@pytest.fixture
def gate(ledger):
    return Gate(ledger.intake)


@pytest.fixture
def writer(gate):
    made = Writer(cast(Intake, gate))
    made.start()
    yield made
    gate.open.set()


def together(
    writer: Writer, gate: Gate, admissions: Sequence[AdmittedPatch], patience: float = 10.0
) -> list[Any]:
    """Send all of them while the gate is shut, then open it; what each was told."""

    def send(one: AdmittedPatch) -> object:
        try:
            return writer.record(one, patience)
        except Exception as trouble:  # noqa: BLE001  whatever it is, it is the answer
            return trouble

    with ThreadPoolExecutor(len(admissions)) as pool:
        answers = [pool.submit(send, one) for one in admissions]
        give_up_at = time.monotonic() + 5
        while writer._queue.qsize() < len(admissions) - 1 and time.monotonic() < give_up_at:
            time.sleep(0.005)
        gate.open.set()
        return [answer.result() for answer in answers]


def test_those_who_come_while_one_is_written_share_a_transaction(ledger, gate, writer):
    commits: list[object] = []
    event.listen(ledger.database.engine, "commit", commits.append)
    told = together(writer, gate, [make_admission() for _ in range(30)])
    assert sum(gate.batches) == 30 and len(gate.batches) <= 3
    assert len(commits) == len(gate.batches)
    assert {one.status for one in told} == {"queued"}


def test_one_bad_row_does_not_cost_the_others_their_place(ledger, gate, writer):
    gate.trouble = IntegrityError("INSERT", {}, Exception("constraint"))
    told = together(
        writer, gate, [make_admission(id=name) for name in ("good-1", "bad-1", "good-2")]
    )
    assert sum(isinstance(one, IntegrityError) for one in told) == 1
    assert sorted(one.id for one in ledger.queries.page()) == ["good-1", "good-2"]
    assert writer.is_alive()


def test_a_ledger_in_trouble_refuses_a_whole_batch_at_once(gate, writer):
    gate.trouble = OperationalError("BEGIN", {}, Exception("database is locked"))
    told = together(writer, gate, [make_admission(id=f"bad-{number}") for number in range(20)])
    assert all(isinstance(one, OperationalError) for one in told)
    assert len(gate.batches) <= 3


def test_two_with_one_id_in_one_batch_are_told_apart(ledger, gate, writer):
    told = together(writer, gate, [make_admission(id="a", title=title) for title in ("One", "Two")])
    assert sorted(type(one).__name__ for one in told) == [IdTaken.__name__, "Receipt"]


def test_who_gave_up_before_the_writer_came_is_never_written(ledger, gate, writer):
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(writer.record, make_admission(id="first"), 10)
        while writer._queue.qsize():
            time.sleep(0.005)
        time.sleep(0.05)  # the first is at the gate now
        with pytest.raises(NotRecorded):
            writer.record(make_admission(id="gone"), 0.05)
        gate.open.set()
        first.result()
        writer.record(make_admission(id="last"), 10)
    assert sorted(one.id for one in ledger.queries.page()) == ["first", "last"]


def test_who_gave_up_while_it_was_written_does_not_know(ledger, gate, writer):
    with pytest.raises(OutcomeUnknown):
        writer.record(make_admission(id="unknown"), 0.2)
    gate.open.set()
    writer.record(make_admission(id="next"), 10)
    assert len(ledger.queries.page()) == 2


def test_too_many_waiting_is_refused_at_once(ledger, monkeypatch):
    monkeypatch.setattr("gpt_cursor_runner.gateway.writer._MAX_QUEUED", 1)
    writer = Writer(ledger.intake)  # not started, so nothing leaves the queue
    with pytest.raises(NotRecorded, match="did not answer"):
        writer.record(make_admission(), 0.01)
    with pytest.raises(NotRecorded, match="too many"):
        writer.record(make_admission(), 10)


def test_a_locked_ledger_is_told_in_time(tmp_path):
    ledger, other = (
        make_ledger(tmp_path / "state", busy_seconds=0.3),
        make_ledger(tmp_path / "state"),
    )
    writer = Writer(ledger.intake)
    writer.start()
    with other.database.write() as holder:
        holder.exec_driver_sql("SELECT 1")
        began = time.monotonic()
        with pytest.raises((OperationalError, NotRecorded)):
            writer.record(make_admission(), 5)
        assert time.monotonic() - began < 4
    assert isinstance(writer.record(make_admission(), 5), Receipt)
