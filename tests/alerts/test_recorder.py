from __future__ import annotations

import itertools
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from gpt_cursor_runner.alerts.incidents import Policy
from gpt_cursor_runner.alerts.recorder import Recorder
from gpt_cursor_runner.health.monitor.model import CheckState, Reading, Snapshot, Status
from gpt_cursor_runner.health.monitor.monitor import Monitor
from gpt_cursor_runner.health.monitor.sampler import Sampler
from gpt_cursor_runner.ledger.history import Flip, HistoryBatch, Incident
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.system.clock import SteadyClock, boottime
from tests.building import make_ledger
from tests.health.builders import FixedProbe, check, make_spec, snapshot, until

WALL = 1_800_000_000.0
ROOT = Path(__file__).parents[2]
POLICY = Policy(("webhook",), "me")


@dataclass
class World:
    """A recorder over a real ledger, whose clocks and checks a test moves by
    hand.
    """

    ledger: Ledger
    seconds: float = 0.0
    wall_ahead: float = 0.0
    checks: tuple[CheckState, ...] = (check(),)
    ids: Iterator[str] = field(
        default_factory=lambda: map("incident-{}".format, itertools.count(1))
    )
    flips_kept: int = 1000

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """A gateway begins, with nothing in its memory."""
        clock = SteadyClock(lambda: WALL + self.seconds + self.wall_ahead, lambda: self.seconds)
        self.recorder = Recorder(
            self.snapshot,
            self.ledger.history,
            POLICY,
            clock,
            lambda: self.seconds,
            lambda: next(self.ids),
            self.flips_kept,
        )

    def snapshot(self) -> Snapshot:
        fresh = tuple(
            replace(
                one,
                watched_since=self.seconds,
                finished_at=None if one.finished_at is None else self.seconds,
            )
            for one in self.checks
        )
        return replace(snapshot(*fresh, ticked_at=self.seconds), observed_wall=WALL + self.seconds)

    def live(self, seconds: float, *checks: CheckState) -> None:
        """Look every second for so long."""
        self.checks = checks or self.checks
        for _ in range(round(seconds)):
            self.seconds += 1
            self.recorder.look()

    def flips(self, subject: str = "part") -> list[tuple[str, str, float]]:
        """The oldest first, with seconds since this world began."""
        found = self.ledger.history.flips(subject, limit=10_000)
        return [(one.status, one.code, round(one.at - WALL, 3)) for one in reversed(found)]

    def alerts(self) -> list[str]:
        return [f"{kind} {subject}" for kind, subject in _alerts(self.ledger)]


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    ledger = make_ledger(tmp_path / "state", busy_seconds=0.05)
    yield World(ledger)
    ledger.close()


@contextmanager
def locked(ledger: Ledger) -> Iterator[None]:
    """Another process has the ledger and does not let go of it."""
    with closing(
        sqlite3.connect(str(ledger.database.engine.url.database), isolation_level=None)
    ) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def bad(**others: Any) -> CheckState:
    return check(status=Status.FAIL, code="broken", **others)


def well() -> CheckState:
    return check(code="well")


def test_a_flip_its_incident_and_its_letters_are_written_within_a_second(world):
    world.live(5, well())
    world.live(1, bad())
    assert world.flips() == [("ok", "well", 1), ("fail", "broken", 6)]
    (incident,) = world.ledger.history.open_incidents()
    assert (incident.subject, incident.severity, incident.opened_at) == (
        "part",
        "critical",
        WALL + 6,
    )
    assert world.alerts() == ["trigger part"]
    world.live(20, bad())
    world.live(1, well())
    assert (world.ledger.history.open_incidents(), world.alerts()) == (
        [],
        ["trigger part", "resolve part"],
    )


def test_what_is_over_before_it_was_told_leaves_flips_and_no_alert(world):
    world.live(2, bad())
    world.live(2, well())
    assert ([status for status, _, _ in world.flips()], world.alerts()) == (["fail", "ok"], [])


def test_a_restart_is_an_event_and_says_how_long_nobody_looked(world):
    world.live(125, well())
    world.recorder.finish()
    world.seconds += 3600
    world.start()
    world.live(1)
    told = world.flips("gateway")
    assert told[:2] == [("started", "first", 1), ("stopped", "asked", 125)]
    status, code, at = told[2]
    assert (status, at) == ("started", 3726)
    assert 3540 <= float(code.removeprefix("unobserved_").removesuffix("_seconds")) <= 3601


def test_time_in_which_nobody_looked_is_neither_up_nor_down(world):
    world.live(600, well())
    world.recorder.finish()
    world.seconds += 1200
    world.start()
    world.live(600, bad())
    world.recorder.finish()
    hour = world.ledger.history.uptime(WALL + 3600)["part"]["1h"]
    assert hour.ok_seconds == pytest.approx(599, abs=2)
    assert hour.fail_seconds == pytest.approx(599, abs=2)
    assert hour.unobserved_seconds == pytest.approx(3600 - 1198, abs=4)
    assert hour.ratio == pytest.approx(0.5, abs=0.01)


def test_a_gap_between_two_looks_is_not_credited_to_anybody(world):
    world.live(60, well())
    world.seconds += 300
    world.live(60)
    world.recorder.finish()
    hour = world.ledger.history.uptime(WALL + 3600)["overall"]["1h"]
    assert hour.ok_seconds == pytest.approx(118, abs=2)


@pytest.mark.parametrize("jump", [-3600.0, 86_400.0])
def test_a_wall_clock_that_jumps_moves_neither_flips_nor_uptime(world, jump):
    world.live(60, well())
    world.wall_ahead = jump
    world.live(60, bad())
    world.live(60, well())
    world.recorder.finish()
    assert world.flips() == [("ok", "well", 1), ("fail", "broken", 61), ("ok", "well", 121)]
    hour = world.ledger.history.uptime(WALL + 3600)["part"]["1h"]
    assert (hour.ok_seconds, hour.fail_seconds) == (
        pytest.approx(119, abs=2),
        pytest.approx(60, abs=2),
    )


def test_what_a_locked_ledger_cannot_take_is_written_later_with_its_own_times(world):
    world.live(5, well())
    with capture_logs() as logs, locked(world.ledger):
        world.live(3, bad())
        world.live(3, well())
        assert world.recorder.behind() == 4  # of the part and of the whole, there and back
    world.live(1)
    assert world.recorder.behind() == 0
    assert world.flips() == [("ok", "well", 1), ("fail", "broken", 6), ("ok", "well", 9)]
    assert world.alerts() == ["trigger part", "resolve part"]
    assert [one["event"] for one in logs].count("history_not_written") == 1


def test_a_ledger_that_is_locked_at_the_start_delays_the_beginning_and_loses_nothing_known(world):
    world.live(5, bad())
    world.start()
    with locked(world.ledger):
        world.live(3)
    world.live(1, well())
    assert world.flips() == [("fail", "broken", 1), ("ok", "well", 9)]


def test_of_a_very_long_refusal_the_latest_flips_are_kept_and_the_rest_is_owned_up_to(world):
    world.flips_kept = 20
    world.start()
    world.live(1, well())
    with capture_logs() as logs, locked(world.ledger):
        for _ in range(10):
            world.live(1, bad())
            world.live(1, well())
        assert world.recorder.behind() == 20
        world.live(1, bad())
    world.live(2)
    assert sum(one["flips"] for one in logs if one["event"] == "history_lost") == 22
    assert world.flips() == [("ok", "well", 1), *_alternating(13, 22)]
    assert [one.subject for one in world.ledger.history.open_incidents()] == ["part"]
    world.live(30)
    world.live(1, well())
    assert world.alerts() == ["trigger part", "resolve part"]


def _alternating(first: int, last: int) -> list[tuple[str, str, int]]:
    return [
        ("ok", "well", at) if at % 2 else ("fail", "broken", at) for at in range(first, last + 1)
    ]


def test_while_the_ledger_is_locked_the_looks_go_on(tmp_path):
    slow = World(make_ledger(tmp_path / "state", busy_seconds=0.5))
    slow.live(59, well())
    with locked(slow.ledger):
        began = time.monotonic()
        slow.live(
            3, bad()
        )  # a page and a minute are due: the ledger's patience is asked for once in each look
        assert time.monotonic() - began < 2.5
    slow.ledger.close()


def test_an_alert_that_may_have_been_sent_while_the_ledger_was_locked_is_resolved(world):
    world.live(5, well())
    world.live(1, bad())
    with locked(world.ledger):
        world.live(2, well())  # in time to hold the alert back, had the ledger taken it
    world.live(1)
    assert world.alerts() == ["trigger part", "resolve part"]


def test_a_page_that_does_not_fit_the_ledger_leaves_its_flips_and_does_not_stop_the_rest(world):
    world.live(2, well())
    stranger = Incident("not-ours", "part", "critical", "broken", WALL, WALL)
    world.ledger.history.record(HistoryBatch(opened=(stranger,)))
    world.live(3, bad())
    assert world.flips()[-1] == ("fail", "broken", 3)
    assert [one.id for one in world.ledger.history.open_incidents()] == ["not-ours"]
    world.live(30, bad())
    world.live(1, well())
    assert world.ledger.history.open_incidents() == []


def test_after_a_restart_what_ended_meanwhile_is_resolved_and_what_goes_on_is_not_told_again(world):
    a, b = make_spec("a"), make_spec("b")
    world.live(10, bad(spec=a), bad(spec=b))
    world.seconds += 600
    world.start()
    world.live(10, check(spec=a), bad(spec=b))
    assert world.alerts() == ["trigger a", "trigger b", "resolve a"]


def test_reminders_come_every_four_hours_also_over_a_restart(world):
    world.live(1, bad())
    for _ in range(3):
        world.seconds += 3 * 3600
        world.start()
        world.live(1)
    assert world.alerts() == ["trigger part", "reminder part"]


def test_old_history_is_pruned_by_the_hour(world):
    world.ledger.history.record(
        HistoryBatch(flips=(Flip("old", "ok", "well", None, None, WALL - 100 * 86_400, "me"),))
    )
    world.live(1, well())
    assert [one.code for one in world.ledger.history.flips("old")] == ["removed"]


def test_a_check_that_alternates_is_one_flapping_alert_and_three_runs_of_noise_are_none(tmp_path):
    ledger = make_ledger(tmp_path / "state")
    said, runs = [Status.OK], itertools.count()
    probe = FixedProbe(lambda: Reading(said[next(runs) % len(said)], "seen"))
    monitor = Monitor([probe], Sampler())
    recorder = Recorder(monitor.snapshot, ledger.history, POLICY, SteadyClock())
    monitor.start()
    try:
        assert until(lambda: monitor.snapshot().checks[0].last_ok_at)
        recorder.look()
        said[:] = [Status.OK, Status.FAIL, Status.OK, Status.OK, Status.FAIL, *[Status.OK] * 20]
        _look_for(recorder, probe, 25)
        assert not ledger.history.open_incidents()
        said[:] = [Status.OK, Status.FAIL]
        assert until(lambda: monitor.snapshot().checks[0].flapping)
        _look_for(recorder, probe, 30)
        assert [kind for kind, _ in _alerts(ledger)] == ["flapping"]
        shown = monitor.snapshot().checks[0].reading
        assert shown and shown.status is Status.FAIL
        said[:] = [Status.OK]
        assert until(lambda: not monitor.snapshot().checks[0].flapping)
        _look_for(recorder, probe, 2)
        assert not ledger.history.open_incidents()
        assert [kind for kind, _ in _alerts(ledger)] == ["flapping", "resolve"]
        assert [one.subject for one in ledger.history.flips("part")] == ["part"] * 3
    finally:
        monitor.stop()
        ledger.close()


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
    world.live(1, bad())
    world.live(7, bad())
    world.live(1, well())
"""


def test_kill_9_leaves_every_incident_with_its_flip_and_its_alerts(tmp_path):
    ledger = make_ledger(tmp_path / "state")
    for turn in range(4):
        command = [sys.executable, "-c", PROGRAM, str(tmp_path / "state"), str(10_000 * turn)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout and process.stdout.readline() == "ready\n"
            seen = len(ledger.history.flips(limit=10_000))
            assert until(partial(_has_more_flips, ledger, seen + 6), 20)
            process.send_signal(signal.SIGKILL)
    with ledger.database.write() as connection:
        orphans = connection.exec_driver_sql(
            "SELECT COUNT(*) FROM incidents i WHERE NOT EXISTS (SELECT 1 FROM flips f WHERE"
            " f.incident_id = i.id) OR (SELECT COUNT(*) FROM outbox o WHERE o.incident_id = i.id)"
            " <> (CASE WHEN closed_at IS NULL THEN 1 ELSE 2 END)"
        ).scalar_one()
    assert orphans == 0
    statuses = [one.status for one in reversed(ledger.history.flips("part", limit=10_000))]
    assert [a for a, b in itertools.pairwise(statuses) if a == b] == []
    ledger.close()


def test_the_thread_looks_by_itself_and_writes_the_end_when_stopped(ledger):
    ticked = [boottime()]
    recorder = Recorder(
        lambda: snapshot(check(age=0), ticked_at=ticked[0]), ledger.history, POLICY, SteadyClock()
    )
    recorder.start()
    assert until(lambda: ledger.history.flips("gateway"))
    recorder.stop()
    assert [one.status for one in ledger.history.flips("gateway")] == ["stopped", "started"]


def _has_more_flips(ledger: Ledger, than: int) -> bool:
    return len(ledger.history.flips(limit=10_000)) > than


def _look_for(recorder: Recorder, probe: FixedProbe, runs: int) -> None:
    """Look while the check runs that often."""
    began = probe.runs
    while probe.runs < began + runs:
        recorder.look()
        time.sleep(0.01)


def _alerts(ledger: Ledger) -> list[tuple[str, str]]:
    with ledger.database.write() as connection:
        rows = connection.exec_driver_sql("SELECT kind, subject FROM outbox ORDER BY seq")
        return [(row.kind, row.subject) for row in rows]
