"""The embedded engine: woken by the database, alone in its directory, heir to
whoever was lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gpt_cursor_runner.engine.embedded import EmbeddedEngine
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.patch.outcome import CancelAsked, LeaseLost
from tests.building import make_admission, make_ledger


@pytest.fixture
def engine(ledger: Ledger) -> EmbeddedEngine:
    made = EmbeddedEngine(ledger, "one")
    made.wait(0)  # the first glance always finds something new
    return made


@pytest.fixture
def gateway(tmp_path: Path, ledger: Ledger) -> Iterator[Ledger]:
    """The same ledger as another process has it open."""
    other = make_ledger(tmp_path / "state")
    yield other
    other.close()


def test_a_patch_that_arrives_wakes_the_runner_at_once(
    engine: EmbeddedEngine, gateway: Ledger
) -> None:
    accepted = threading.Event()
    naps_after: list[float] = []

    def nap(seconds: float) -> None:
        if accepted.is_set():
            naps_after.append(seconds)
        time.sleep(seconds)

    def accept() -> None:
        gateway.intake.accept([make_admission()])
        accepted.set()

    engine.sleep = nap
    later = threading.Timer(0.1, accept)
    later.start()
    engine.wait(60)
    # The nap under way when the patch arrives may be counted too.
    assert len(naps_after) <= 1
    assert engine.claim() is not None
    later.join()


def test_waiting_ends_in_time_when_nothing_happens(engine: EmbeddedEngine) -> None:
    naps: list[float] = []
    engine.sleep = naps.append
    engine.wait(0.3)
    assert sum(naps) == pytest.approx(0.3)


def test_what_arrived_before_the_wait_is_not_slept_through(
    engine: EmbeddedEngine, gateway: Ledger
) -> None:
    assert engine.claim() is None
    gateway.intake.accept([make_admission()])
    naps: list[float] = []
    engine.sleep = naps.append
    engine.wait(5)
    assert naps == []


def test_an_idle_runner_writes_nothing(engine: EmbeddedEngine, gateway: Ledger) -> None:
    watcher = EmbeddedEngine(gateway, "watcher")
    watcher.wait(0)
    for _ in range(10):
        assert engine.claim() is None
    naps: list[float] = []
    watcher.sleep = naps.append
    watcher.wait(0.1)
    assert len(naps) == 5


def test_recovery_takes_back_everything_whoever_held_it(
    engine: EmbeddedEngine, ledger: Ledger
) -> None:
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
    naps: list[float] = []
    engine.sleep = naps.append
    engine.wait(5)
    assert naps == []
    assert engine.claim() is not None
