from __future__ import annotations

import itertools
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from structlog.testing import capture_logs

from gpt_cursor_runner.alerts.incidents import AlertPolicy
from gpt_cursor_runner.alerts.recorder import Recorder
from gpt_cursor_runner.health.monitor.damping import settle
from gpt_cursor_runner.health.monitor.model import CheckState, CheckStatus, Reading, Snapshot
from gpt_cursor_runner.ledger.alerts import Flip, HistoryBatch, Incident
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.system.clock import SteadyClock, boottime
from tests.building import make_ledger
from tests.health.builders import check, make_spec, snapshot, until

OK, FAIL = CheckStatus.OK, CheckStatus.FAIL
WALL = 1_800_000_000.0
ROOT = Path(__file__).parents[2]
POLICY = AlertPolicy(("webhook",), "me")


@dataclass
class World:
    """A recorder on a real ledger, with clocks and checks that a test sets."""

    ledger: Ledger
    seconds: float = 0.0
    wall_ahead: float = 0.0
    checks: tuple[CheckState, ...] = (check(),)
    ids: Iterator[str] = field(
        default_factory=lambda: map("incident-{}".format, itertools.count(1))
    )
    pending_flips: int = 1000

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start a gateway, with nothing in its memory."""
        clock = SteadyClock(lambda: WALL + self.seconds + self.wall_ahead, lambda: self.seconds)
        self.recorder = Recorder(
            self.snapshot,
            self.ledger.alerts,
            self.ledger.uptime,
            POLICY,
            clock,
            lambda: self.seconds,
            lambda: next(self.ids),
            self.pending_flips,
        )

    def snapshot(self) -> Snapshot:
        fresh = tuple(
            replace(
                state,
                watched_since=self.seconds,
                finished_at=None if state.finished_at is None else self.seconds,
            )
            for state in self.checks
        )
        return replace(snapshot(*fresh, ticked_at=self.seconds), observed_wall=WALL + self.seconds)

    def run_for(self, seconds: float, *checks: CheckState) -> None:
        """Tick once a second."""
        self.checks = checks or self.checks
        for _ in range(round(seconds)):
            self.seconds += 1
            self.recorder.tick()

    def flips(self, subject: str = "part") -> list[tuple[str, str, float]]:
        """Status, code and seconds since the start of this world; the oldest
        first.
        """
        newest_first = self.ledger.alerts.flips(subject, limit=10_000)
        return [
            (flip.status, flip.code, round(flip.at - WALL, 3)) for flip in reversed(newest_first)
        ]

    def alerts(self) -> list[str]:
        return [f"{kind} {subject}" for kind, subject in _alerts(self.ledger)]


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    ledger = make_ledger(tmp_path / "state", busy_seconds=0.05)
    yield World(ledger)
    ledger.close()


@contextmanager
def locked(ledger: Ledger) -> Iterator[None]:
    """Another connection holds the write lock of the ledger."""
    with closing(
        sqlite3.connect(str(ledger.database.engine.url.database), isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def bad(**others: Any) -> CheckState:
    return check(status=FAIL, code="broken", **others)


def well() -> CheckState:
    return check(code="well")


def test_a_flip_its_incident_and_its_alerts_are_written_in_one_tick(world):
    world.run_for(5, well())
    world.run_for(1, bad())
    assert world.flips() == [("ok", "well", 1), ("fail", "broken", 6)]
    (incident,) = world.ledger.alerts.open_incidents()
    assert (incident.subject, incident.severity, incident.opened_at) == (
        "part",
        "critical",
        WALL + 6,
    )
    assert world.alerts() == ["trigger part"]
    world.run_for(20, bad())
    world.run_for(1, well())
    assert (world.ledger.alerts.open_incidents(), world.alerts()) == (
        [],
        ["trigger part", "resolve part"],
    )


def test_trouble_that_ends_within_the_hold_leaves_flips_and_no_alert(world):
    world.run_for(2, bad())
    world.run_for(2, well())
    assert ([status for status, _, _ in world.flips()], world.alerts()) == (["fail", "ok"], [])


def test_a_restart_is_a_flip_with_the_unobserved_time(world):
    world.run_for(125, well())
    world.recorder.finish()
    world.seconds += 3600
    world.start()
    world.run_for(1)
    flips = world.flips("gateway")
    assert flips[:2] == [("started", "first", 1), ("stopped", "asked", 125)]
    status, code, at = flips[2]
    assert (status, at) == ("started", 3726)
    assert 3540 <= float(code.removeprefix("unobserved_").removesuffix("_seconds")) <= 3601


def test_unobserved_time_is_neither_up_nor_down(world):
    world.run_for(600, well())
    world.recorder.finish()
    world.seconds += 1200
    world.start()
    world.run_for(600, bad())
    world.recorder.finish()
    hour = world.ledger.uptime.uptime(WALL + 3600)["part"]["1h"]
    assert hour.ok_seconds == pytest.approx(599, abs=2)
    assert hour.fail_seconds == pytest.approx(599, abs=2)
    assert hour.unobserved_seconds == pytest.approx(3600 - 1198, abs=4)
    assert hour.ratio == pytest.approx(0.5, abs=0.01)


def test_a_gap_between_two_ticks_is_unobserved(world):
    world.run_for(60, well())
    world.seconds += 300
    world.run_for(60)
    world.recorder.finish()
    hour = world.ledger.uptime.uptime(WALL + 3600)["overall"]["1h"]
    assert hour.ok_seconds == pytest.approx(118, abs=2)


@pytest.mark.parametrize("jump", [-3600.0, 86_400.0])
def test_a_wall_clock_that_jumps_moves_neither_flips_nor_uptime(world, jump):
    world.run_for(60, well())
    world.wall_ahead = jump
    world.run_for(60, bad())
    world.run_for(60, well())
    world.recorder.finish()
    assert world.flips() == [("ok", "well", 1), ("fail", "broken", 61), ("ok", "well", 121)]
    hour = world.ledger.uptime.uptime(WALL + 3600)["part"]["1h"]
    assert (hour.ok_seconds, hour.fail_seconds) == (
        pytest.approx(119, abs=2),
        pytest.approx(60, abs=2),
    )


def test_what_a_locked_ledger_rejects_is_written_later_with_its_own_times(world):
    world.run_for(5, well())
    with capture_logs() as logs, locked(world.ledger):
        world.run_for(3, bad())
        world.run_for(3, well())
        assert world.recorder.unwritten_flips() == 4  # of the part and of overall, twice each
    world.run_for(1)
    assert world.recorder.unwritten_flips() == 0
    assert world.flips() == [("ok", "well", 1), ("fail", "broken", 6), ("ok", "well", 9)]
    assert world.alerts() == ["trigger part", "resolve part"]
    assert [entry["event"] for entry in logs].count("history_not_written") == 1


def test_a_ledger_that_is_locked_at_the_start_delays_the_first_comparison(world):
    world.run_for(5, bad())
    world.start()
    with locked(world.ledger):
        world.run_for(3)
    world.run_for(1, well())
    assert world.flips() == [("fail", "broken", 1), ("ok", "well", 9)]


def test_a_very_long_lock_keeps_the_latest_flips_and_logs_the_lost_ones(world):
    world.pending_flips = 20
    world.start()
    world.run_for(1, well())
    with capture_logs() as logs, locked(world.ledger):
        for _ in range(10):
            world.run_for(1, bad())
            world.run_for(1, well())
        assert world.recorder.unwritten_flips() == 20
        world.run_for(1, bad())
    world.run_for(2)
    assert sum(entry["flips"] for entry in logs if entry["event"] == "history_lost") == 22
    assert world.flips() == [("ok", "well", 1), *_alternating(13, 22)]
    assert [incident.subject for incident in world.ledger.alerts.open_incidents()] == ["part"]
    world.run_for(30)
    world.run_for(1, well())
    assert world.alerts() == ["trigger part", "resolve part"]


def _alternating(first: int, last: int) -> list[tuple[str, str, int]]:
    return [
        ("ok", "well", at) if at % 2 else ("fail", "broken", at) for at in range(first, last + 1)
    ]


def test_each_tick_waits_for_a_locked_ledger_once_only(world):
    world.run_for(59, well())
    transactions: list[str] = []
    event.listen(
        world.ledger.database.engine,
        "before_cursor_execute",
        lambda _, __, statement, *___: transactions.append(statement),
    )
    with locked(world.ledger):
        world.run_for(3, bad())  # a batch and a minute are due
    assert transactions == ["BEGIN IMMEDIATE"] * 3


def test_an_alert_that_may_have_been_sent_while_the_ledger_was_locked_is_resolved(world):
    world.run_for(5, well())
    world.run_for(1, bad())
    with locked(world.ledger):
        world.run_for(2, well())  # early enough to withdraw the alert, were the ledger not locked
    world.run_for(1)
    assert world.alerts() == ["trigger part", "resolve part"]


def test_of_a_batch_that_contradicts_the_ledger_the_flips_are_written(world):
    world.run_for(2, well())
    foreign = Incident("not-ours", "part", "critical", "broken", WALL, WALL)
    world.ledger.alerts.record(HistoryBatch(opened=(foreign,)))
    world.run_for(3, bad())
    assert world.flips()[-1] == ("fail", "broken", 3)
    assert [incident.id for incident in world.ledger.alerts.open_incidents()] == ["not-ours"]
    world.run_for(30, bad())
    world.run_for(1, well())
    assert world.ledger.alerts.open_incidents() == []


def test_after_a_restart_ended_trouble_is_resolved_and_other_trouble_not_repeated(world):
    a, b = make_spec("a"), make_spec("b")
    world.run_for(10, bad(spec=a), bad(spec=b))
    world.seconds += 600
    world.start()
    world.run_for(10, check(spec=a), bad(spec=b))
    assert world.alerts() == ["trigger a", "trigger b", "resolve a"]


def test_reminders_are_sent_every_four_hours_also_over_a_restart(world):
    world.run_for(1, bad())
    for _ in range(3):
        world.seconds += 3 * 3600
        world.start()
        world.run_for(1)
    assert world.alerts() == ["trigger part", "reminder part"]


def test_old_history_is_pruned(world):
    world.ledger.alerts.record(
        HistoryBatch(flips=(Flip("old", "ok", "well", None, None, WALL - 100 * 86_400, "me"),))
    )
    world.run_for(1, well())
    assert [flip.code for flip in world.ledger.alerts.flips("old")] == ["removed"]


def test_an_alternating_check_is_one_flapping_alert_and_noise_is_none(world):
    run_check(world, *[OK] * 5, FAIL, *[OK] * 20)
    assert world.ledger.alerts.open_incidents() == []
    run_check(world, *[OK, FAIL] * 20)
    assert world.alerts() == ["flapping part"]
    assert world.checks[0].reading.status is FAIL
    run_check(world, *[OK] * 20)
    assert world.ledger.alerts.open_incidents() == []
    assert world.alerts() == ["flapping part", "resolve part"]
    assert [status for status, _, _ in world.flips()] == ["ok", "fail", "ok"]


def run_check(world: World, *results: CheckStatus) -> None:
    """Run the check once a second, with these results."""
    for result in results:
        state = replace(world.checks[0], running_since=world.seconds)
        world.run_for(1, settle(state, Reading(result, "seen"), world.seconds))


PROGRAM = """
import itertools, sys, time
from pathlib import Path
from typing import Any
from tests.building import make_ledger
from tests.health.builders import check
from tests.alerts.test_recorder import World, bad, well
ledger = make_ledger(Path(sys.argv[1]))
from uuid import uuid4
world = World(ledger, ids=iter(lambda: uuid4().hex, None), seconds=float(sys.argv[2]))
print("ready", flush=True)
while True:
    world.run_for(1, bad())
    world.run_for(7, bad())
    world.run_for(1, well())
"""


def test_kill_9_leaves_every_incident_with_its_flip_and_its_alerts(tmp_path):
    ledger = make_ledger(tmp_path / "state")
    for turn in range(4):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "state"), str(10_000 * turn)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stdout.readline() == "ready\n"
            count = len(ledger.alerts.flips(limit=10_000))
            assert until(partial(_has_more_flips, ledger, count + 6), 60)
            process.send_signal(signal.SIGKILL)
    with ledger.database.write() as connection:
        orphans = connection.exec_driver_sql(
            "SELECT COUNT(*) FROM incidents i WHERE NOT EXISTS (SELECT 1 FROM flips f WHERE"
            " f.incident_id = i.id) OR (SELECT COUNT(*) FROM outbox o WHERE o.incident_id = i.id)"
            " <> (CASE WHEN closed_at IS NULL THEN 1 ELSE 2 END)"
        ).scalar_one()
    assert orphans == 0
    statuses = [flip.status for flip in reversed(ledger.alerts.flips("part", limit=10_000))]
    assert all(before != after for before, after in itertools.pairwise(statuses))
    ledger.close()


def test_the_thread_ticks_and_writes_a_last_flip_when_stopped(ledger):
    recorder = Recorder(
        lambda: snapshot(check(age=0), ticked_at=boottime()),
        ledger.alerts,
        ledger.uptime,
        POLICY,
        SteadyClock(),
    )
    recorder.start()
    assert until(lambda: ledger.alerts.flips("gateway"), 30)
    recorder.stop()
    assert [flip.status for flip in ledger.alerts.flips("gateway")] == ["stopped", "started"]


def _has_more_flips(ledger: Ledger, than: int) -> bool:
    return len(ledger.alerts.flips(limit=10_000)) > than


def _alerts(ledger: Ledger) -> list[tuple[str, str]]:
    with ledger.database.write() as connection:
        rows = connection.exec_driver_sql("SELECT kind, subject FROM outbox ORDER BY seq")
        return [(row.kind, row.subject) for row in rows]
