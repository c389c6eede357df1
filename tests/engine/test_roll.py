from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass

from structlog.testing import capture_logs

from gpt_cursor_runner.engine.roll import Roll, host_name
from gpt_cursor_runner.engine.runner_lock import RunnerLock, boot_id
from gpt_cursor_runner.ledger.database import LEDGER_NAME
from tests.building import make_ledger


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_beat_is_entered_every_five_seconds_and_the_end_at_once(ledger, tmp_path):
    clock, own = Clock(1_800_000_000.0), Clock()
    roll = Roll(ledger.runners, "one", clock, own)
    with RunnerLock(tmp_path, "one", roll.note) as presence:
        (row,) = ledger.runners.all(0)
        assert (row.id, row.host, row.pid, row.boot_id) == (
            "one",
            host_name(),
            os.getpid(),
            boot_id(),
        )
        assert (row.sequence, row.activity, row.beat_at, row.stopped_at) == (
            1,
            "starting",
            clock.now,
            None,
        )
        own.now += 4.9
        presence.beat("idle")
        assert ledger.runners.all(0) == [row]
        own.now += 0.1
        clock.now += 5
        presence.beat("working", "patch-1")
        (later,) = ledger.runners.all(0)
        assert (later.sequence, later.activity, later.patch_id) == (3, "working", "patch-1")
        assert (later.beat_at, later.started_at) == (clock.now, row.started_at)
    assert ledger.runners.all(0)[0].stopped_at == clock.now


def test_a_ledger_that_refuses_the_beat_ends_nothing_and_is_told_once(tmp_path):
    ledger, own = make_ledger(tmp_path / "state", busy_seconds=0.05), Clock()
    roll = Roll(ledger.runners, "one", Clock(), own)
    with (
        sqlite3.connect(tmp_path / "state" / LEDGER_NAME, isolation_level=None) as other,
        capture_logs() as logs,
    ):
        other.execute("BEGIN IMMEDIATE")
        for sequence in range(3):
            roll.note(sequence, "idle", None)
            own.now += 5
        other.execute("ROLLBACK")
        assert [entry["event"] for entry in logs] == ["runner_not_entered"]
    other.close()
    assert ledger.runners.all(0) == []
    roll.note(4, "idle", None)  # it enters itself as soon as it can
    assert [row.sequence for row in ledger.runners.all(0)] == [4]
    ledger.close()
