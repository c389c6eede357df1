"""The embedded engine: it notices changes of the database, and recovers the
patches of lost runners.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt_cursor_runner.engine.embedded import EmbeddedEngine
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.patch.faults import CancelAsked, LeaseLost
from tests.building import make_admission, make_ledger


@pytest.fixture
def engine(ledger: Ledger) -> EmbeddedEngine:
    engine = EmbeddedEngine(ledger, "one")
    engine.wait(0)  # the first poll always reports a change
    return engine


@pytest.fixture
def gateway(tmp_path: Path, ledger: Ledger) -> Iterator[Ledger]:
    """The same ledger, opened as by another process."""
    other = make_ledger(tmp_path / "state")
    yield other
    other.close()


def test_an_arriving_patch_ends_the_wait_at_the_next_poll(
    engine: EmbeddedEngine, gateway: Ledger
) -> None:
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            gateway.intake.accept([make_admission()])

    engine.sleep = sleep
    engine.wait(5)
    assert len(pauses) == 3
    assert engine.claim() is not None


def test_a_wait_without_a_change_lasts_as_long_as_asked(engine: EmbeddedEngine) -> None:
    pauses: list[float] = []
    engine.sleep = pauses.append
    engine.wait(0.3)
    assert sum(pauses) == pytest.approx(0.3)
    assert max(pauses) <= 0.05, "a new patch is to be noticed within 50 ms"


def test_a_patch_that_arrived_before_the_wait_ends_it_at_once(
    engine: EmbeddedEngine, gateway: Ledger
) -> None:
    assert engine.claim() is None
    gateway.intake.accept([make_admission()])
    pauses: list[float] = []
    engine.sleep = pauses.append
    engine.wait(5)
    assert pauses == []


def test_a_claim_that_finds_nothing_writes_nothing(engine: EmbeddedEngine, gateway: Ledger) -> None:
    watcher = EmbeddedEngine(gateway, "watcher")
    watcher.wait(0)
    for _ in range(10):
        assert engine.claim() is None
    pauses: list[float] = []
    watcher.sleep = pauses.append
    watcher.wait(0.1)
    assert len(pauses) == 5


def test_recovery_queues_every_running_patch_again(engine: EmbeddedEngine, ledger: Ledger) -> None:
    ledger.intake.accept(
        [make_admission(id="a"), make_admission(id="b", branch="develop"), make_admission(id="c")]
    )
    far_ahead = time.time() + 10_000
    assert ledger.leases.claim("lost", far_ahead)
    assert ledger.leases.claim("lost", far_ahead)
    assert sorted(engine.recover()) == ["a", "b"]
    assert engine.recover() == []
    assert ledger.queue_facts().running == 0


def test_a_confirmation_raises_on_a_cancel_and_on_a_lost_lease(
    engine: EmbeddedEngine, ledger: Ledger
) -> None:
    ledger.intake.accept([make_admission(id="a")])
    claim = engine.claim()
    assert claim is not None
    engine.confirm(claim)
    ledger.decisions.cancel("a", "the sender", time.time())
    with pytest.raises(CancelAsked):
        engine.confirm(claim)
    engine.recover()
    with pytest.raises(LeaseLost):
        engine.confirm(claim)


def test_a_broken_poll_connection_is_replaced(engine: EmbeddedEngine, gateway: Ledger) -> None:
    assert engine._poll_connection is not None
    engine._poll_connection.driver_connection.close()  # type: ignore[union-attr]
    engine.wait(0.2)
    engine.wait(0)
    gateway.intake.accept([make_admission()])
    pauses: list[float] = []
    engine.sleep = pauses.append
    engine.wait(5)
    assert pauses == []
    assert engine.claim() is not None


def test_a_claim_that_finds_nothing_needs_no_write_lock(
    engine: EmbeddedEngine, gateway: Ledger
) -> None:
    with gateway.database.write():
        assert engine.claim() is None
