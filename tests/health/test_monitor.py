from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from structlog.testing import capture_logs

from gpt_cursor_runner.gateway.health.view import detailed_body
from gpt_cursor_runner.health.monitor.judging import ProbeResult, Verdict, judge
from gpt_cursor_runner.health.monitor.model import Identity, Overall, Reading, Status
from gpt_cursor_runner.health.monitor.monitor import Lag, Monitor
from gpt_cursor_runner.health.monitor.probe import Probe
from gpt_cursor_runner.health.monitor.sampler import Sampler
from gpt_cursor_runner.system.clock import boottime
from tests.health.builders import NOW, Clock, FixedProbe, reading, until


@contextmanager
def watching(*probes: Probe) -> Iterator[Monitor]:
    monitor = Monitor(probes, Sampler())
    monitor.start()
    try:
        yield monitor
    finally:
        monitor.stop()


def verdict_of(monitor: Monitor, later: float = 0.0) -> Verdict:
    return judge(monitor.snapshot(), boottime() + later)


def judged(monitor: Monitor, name: str) -> ProbeResult:
    return next(one for one in verdict_of(monitor).checks if one.state.name == name)


ROOT = Path(__file__).parents[2]


def after(seconds: float) -> Reading:
    time.sleep(seconds)
    return reading()


def raise_exit() -> None:
    sys.exit(3)


def test_before_the_first_round_everything_is_starting():
    monitor = Monitor([FixedProbe()], Sampler())
    verdict = verdict_of(monitor)
    assert (verdict.overall, verdict.reasons, verdict.ready) == (
        Overall.UNKNOWN,
        ("part.starting",),
        False,
    )


def test_well_parts_are_healthy_within_a_moment():
    with watching(FixedProbe(), FixedProbe(name="other")) as monitor:
        assert until(lambda: verdict_of(monitor).overall is Overall.HEALTHY)


def test_a_check_that_never_returns_is_late_and_blocks_only_itself():
    gate = threading.Event()
    stuck = FixedProbe(gate.wait, name="stuck", deadline_seconds=0.2)
    with watching(stuck, FixedProbe(name="other")) as monitor:
        assert until(lambda: judged(monitor, "stuck").code == "late")
        threads = threading.active_count()
        runs_of_the_other = monitor.snapshot().checks[1].finished_at
        assert until(lambda: judged(monitor, "stuck").stuck_for_seconds > 0.5)
        assert judged(monitor, "other").code == "well"
        assert monitor.snapshot().checks[1].finished_at != runs_of_the_other
        assert (stuck.runs, threading.active_count()) == (1, threads)
        gate.set()


def test_a_check_that_worked_once_and_then_never_returns_leaves_healthy():
    gate = threading.Event()
    answers = iter([reading()])
    probe = FixedProbe(lambda: next(answers, None) or gate.wait(), deadline_seconds=0.2)
    with watching(probe) as monitor:
        assert until(lambda: verdict_of(monitor).overall is Overall.HEALTHY)
        assert until(lambda: verdict_of(monitor).overall is Overall.UNKNOWN, seconds=2)
        gate.set()


def test_a_late_answer_does_not_count_when_it_comes():
    with watching(FixedProbe(lambda: after(0.3), deadline_seconds=0.1)) as monitor:
        assert until(lambda: monitor.snapshot().checks[0].raw)
        assert judged(monitor, "part").code == "late"


def test_a_check_is_never_run_twice_at_once():
    probe = FixedProbe(lambda: after(0.03), interval_seconds=0.001)
    with watching(probe):
        assert until(lambda: probe.runs >= 10)
    assert probe.most_at_once == 1


def test_hundreds_of_readers_cause_no_run():
    probe = FixedProbe(interval_seconds=60.0)
    with watching(probe) as monitor:
        assert until(lambda: verdict_of(monitor).overall is Overall.HEALTHY)
        for _ in range(500):
            verdict_of(monitor)
    assert probe.runs == 1


def test_checks_that_exit_or_return_nonsense_spoil_only_themselves():
    bad = {
        "exits": raise_exit,
        "nothing": lambda: None,
        "bytes": lambda: b"ok",
        "huge": lambda: Reading(Status.OK, "well", data={"x": "x" * 10_000_000}),
    }
    probes = [FixedProbe(said, name=name) for name, said in bad.items()]
    with watching(*probes, FixedProbe(name="other")) as monitor:
        assert until(lambda: all(probe.runs > 3 for probe in probes))
        spoilt = {"exits.raised", "nothing.unfit", "bytes.unfit", "huge.unfit"}
        assert until(lambda: set(verdict_of(monitor).reasons) == spoilt)
        body = detailed_body(
            monitor.snapshot(), verdict_of(monitor), Identity("me", 5555), time.monotonic()
        )
        assert len(json.dumps(body, allow_nan=False)) < 16_000


def test_when_the_machinery_stops_its_readers_see_an_error():
    with watching(FixedProbe(interval_seconds=60.0)) as monitor:
        assert until(lambda: verdict_of(monitor).overall is Overall.HEALTHY)
    assert verdict_of(monitor, later=5.5).overall is Overall.ERROR
    assert verdict_of(monitor, later=5.5).reasons == ("health_engine.stale",)


def test_stopping_waits_for_no_stuck_check_and_closes_every_probe():
    gate = threading.Event()
    probes = [FixedProbe(gate.wait, name="stuck"), FixedProbe(name="other")]
    with watching(*probes) as monitor:
        assert until(lambda: probes[0].runs)
        began = time.monotonic()
        monitor.stop()
        assert time.monotonic() - began < 1.0
    assert all(probe.closed for probe in probes)
    gate.set()


def test_a_process_with_a_stuck_check_can_end():
    program = (
        "import atexit, threading\n"
        "from gpt_cursor_runner.health.monitor.monitor import Monitor\n"
        "from gpt_cursor_runner.health.monitor.sampler import Sampler\n"
        "from tests.health.builders import FixedProbe, until\n"
        "probe = FixedProbe(threading.Event().wait)\n"
        "monitor = Monitor([probe], Sampler())\n"
        "atexit.register(monitor.stop)\n"
        "monitor.start()\n"
        "assert until(lambda: probe.runs)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=10, cwd=ROOT)


def test_one_poll_a_second_is_logged_with_what_it_found():
    clock = Clock()
    monitor = Monitor([FixedProbe()], Sampler(), monotonic=clock)
    with capture_logs() as logs:
        for _ in range(8):
            monitor.tick()
            clock.now += 0.25
    polls = [entry for entry in logs if entry["event"] == "health_poll_completed"]
    assert [entry["polls"] for entry in polls] == [1, 5]
    assert (polls[0]["log_level"], polls[0]["overall_status"]) == ("info", "unknown")
    assert polls[0]["reasons"] == ["part.starting"]


def test_since_is_the_moment_of_the_last_change_of_the_whole():
    clock = Clock()
    monitor = Monitor([], Sampler(), monotonic=clock)
    for _ in range(3):
        clock.now += 10
        monitor.tick()
    assert (monitor.snapshot().overall, monitor.snapshot().since_at) == (Overall.HEALTHY, NOW + 10)


def test_a_wall_clock_set_back_changes_no_age():
    wall = Clock(1_800_000_000.0)
    monitor = Monitor([FixedProbe()], Sampler(), wall=wall)
    monitor.start()
    try:
        assert until(lambda: verdict_of(monitor).overall is Overall.HEALTHY)
        wall.now -= 3600
        assert until(lambda: monitor.snapshot().observed_wall == wall.now)
        assert verdict_of(monitor).overall is Overall.HEALTHY
        wall.now += 86_400
        assert until(lambda: monitor.snapshot().observed_wall == wall.now)
        assert verdict_of(monitor).overall is Overall.HEALTHY
    finally:
        monitor.stop()


def test_a_lasting_trouble_is_logged_once():
    with capture_logs() as logs:
        probe = FixedProbe(raise_exit)
        with watching(probe):
            assert until(lambda: probe.runs > 5)
    assert [entry["check"] for entry in logs if entry["event"] == "health_check_raised"] == ["part"]


def test_who_wants_fresh_readings_gets_one_run_begun_after_asking():
    probe = FixedProbe(interval_seconds=60.0)
    with watching(probe) as monitor:
        assert until(lambda: probe.runs == 1)
        asked_at = boottime()
        monitor.freshen()
        (state,) = monitor.snapshot().checks
        assert probe.runs == 2 and state.finished_at is not None and state.finished_at > asked_at


def test_fifty_who_want_fresh_readings_share_one_run_a_second():
    probe = FixedProbe(lambda: after(0.05), interval_seconds=60.0)
    with watching(probe) as monitor:
        assert until(lambda: probe.runs == 1 and not probe.under_way)
        began = time.monotonic()
        askers = [threading.Thread(target=monitor.freshen) for _ in range(50)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join(5)
        assert probe.runs <= 2 + int(time.monotonic() - began)


def test_fresh_readings_are_waited_for_with_a_bound():
    gate = threading.Event()
    with watching(FixedProbe(gate.wait, name="stuck"), FixedProbe(name="other")) as monitor:
        began = time.monotonic()
        monitor.freshen(patience_seconds=0.3)
        assert 0.3 <= time.monotonic() - began < 2.0
        gate.set()


def test_a_draining_gateway_says_so_at_once():
    with watching(FixedProbe()) as monitor:
        assert until(lambda: verdict_of(monitor).ready)
        monitor.drain()
        verdict = verdict_of(monitor)
        assert (verdict.overall, verdict.ready, verdict.reasons) == (
            Overall.DEGRADED,
            False,
            ("gateway.draining",),
        )


def test_the_machinery_knows_its_stuck_checks_and_its_dead_threads():
    gate = threading.Event()
    with watching(
        FixedProbe(gate.wait, name="stuck", deadline_seconds=0.1), FixedProbe(name="other")
    ) as monitor:
        assert until(lambda: monitor.vitals().stuck == ("stuck",))
        assert (monitor.vitals().dead, monitor.vitals().lag_seconds < 5) == ((), True)
        gate.set()
    assert until(lambda: "tick" in monitor.vitals().dead)


def test_the_lag_is_the_worst_of_the_last_minute_or_two():
    lag = Lag()
    lag.note(100.0, due_at=97.0)
    lag.note(101.0, due_at=100.9)
    assert lag.worst(101.0) == 3.0
    lag.note(165.0, due_at=165.0)
    assert lag.worst(165.0) == 3.0
    lag.note(230.0, due_at=229.5)
    assert lag.worst(230.0) == 0.5
    assert lag.worst(500.0) == 0.0


def test_a_part_that_changes_its_mind_at_every_run_flaps_and_shows_the_worse():
    turns = iter(range(10_000))
    probe = FixedProbe(
        lambda: reading(
            *((Status.OK, "up") if next(turns) % 2 else (Status.FAIL, "down")), fact=True
        )
    )
    with watching(probe) as monitor:
        assert until(lambda: monitor.snapshot().checks[0].flapping)
        assert [verdict_of(monitor).reasons for _ in range(20)] == [("part.down",)] * 20
        probe.said = lambda: reading(fact=True)
        assert until(lambda: verdict_of(monitor).reasons == ())
        assert not monitor.snapshot().checks[0].flapping
