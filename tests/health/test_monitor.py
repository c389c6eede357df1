from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from structlog.testing import capture_logs

from gpt_cursor_runner.gateway.health.view import detailed_body
from gpt_cursor_runner.health.monitor import monitor as module
from gpt_cursor_runner.health.monitor.judging import ProbeResult, Verdict, judge
from gpt_cursor_runner.health.monitor.lag import TickLag
from gpt_cursor_runner.health.monitor.model import CheckStatus, Identity, Overall, Reading
from gpt_cursor_runner.health.monitor.monitor import Monitor
from gpt_cursor_runner.health.monitor.probe import Probe
from gpt_cursor_runner.system.clock import boottime
from tests.health.builders import NOW, Clock, FixedProbe, monitor_of, reading, until

ROOT = Path(__file__).parents[2]


@contextmanager
def watching(*probes: Probe) -> Iterator[Monitor]:
    monitor = monitor_of(*probes)
    monitor.start()
    try:
        yield monitor
    finally:
        monitor.stop()


def verdict_of(monitor: Monitor, later: float = 0.0) -> Verdict:
    return judge(monitor.snapshot(), boottime() + later)


def result_of(monitor: Monitor, name: str) -> ProbeResult:
    return next(result for result in verdict_of(monitor).checks if result.state.name == name)


def after(seconds: float) -> Reading:
    time.sleep(seconds)
    return reading()


def raise_exit() -> None:
    sys.exit(3)


def test_the_shipped_intervals_of_the_monitor():
    # docs/health.md: a snapshot is at most a tick old, and `?fresh=1` waits for
    # at most 1.5 s.
    assert (module.TICK_SECONDS, module.REFRESH_SECONDS) == (0.25, 1.5)


def test_before_the_first_run_every_check_is_starting():
    verdict = verdict_of(monitor_of(FixedProbe()))
    assert (verdict.overall, verdict.reasons, verdict.ready) == (
        Overall.UNKNOWN,
        ("part.starting",),
        False,
    )


def test_checks_that_are_ok_make_the_gateway_healthy():
    with watching(FixedProbe(), FixedProbe(name="other")) as monitor:
        assert until(lambda: verdict_of(monitor).overall is Overall.HEALTHY)


def test_a_check_that_never_returns_is_late_and_blocks_only_itself():
    gate = threading.Event()
    stuck = FixedProbe(gate.wait, name="stuck", deadline_seconds=0.2)
    with watching(stuck, FixedProbe(name="other")) as monitor:
        assert until(lambda: result_of(monitor, "stuck").code == "late")
        threads = threading.active_count()
        runs_of_the_other = monitor.snapshot().checks[1].finished_at
        assert until(lambda: result_of(monitor, "stuck").stuck_for_seconds > 0.5)
        assert until(lambda: monitor.snapshot().checks[1].finished_at != runs_of_the_other)
        assert result_of(monitor, "other").code == "well"
        assert (stuck.runs, threading.active_count()) == (1, threads)
        gate.set()


def test_a_check_that_worked_once_and_then_never_returns_leaves_healthy():
    gate = threading.Event()
    answers = iter([reading()])
    probe = FixedProbe(lambda: next(answers, None) or gate.wait(), deadline_seconds=0.2)
    with watching(probe) as monitor:
        assert until(lambda: verdict_of(monitor).overall is Overall.HEALTHY)
        assert until(lambda: verdict_of(monitor).overall is Overall.UNKNOWN)
        gate.set()


def test_the_result_of_a_late_run_does_not_count():
    with watching(FixedProbe(lambda: after(0.3), deadline_seconds=0.1)) as monitor:
        assert until(lambda: monitor.snapshot().checks[0].raw)
        assert result_of(monitor, "part").code == "late"


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
    faulty: dict[str, Callable[[], object]] = {
        "exits": raise_exit,
        "nothing": lambda: None,
        "bytes": lambda: b"ok",
        "huge": lambda: Reading(CheckStatus.OK, "well", data={"x": "x" * 10_000_000}),
    }
    probes = [FixedProbe(read, name=name) for name, read in faulty.items()]
    expected = {"exits.raised", "nothing.unfit", "bytes.unfit", "huge.unfit"}
    with watching(*probes, FixedProbe(name="other")) as monitor:
        assert until(lambda: all(probe.runs > 3 for probe in probes))
        assert until(lambda: set(verdict_of(monitor).reasons) == expected)
        body = detailed_body(
            monitor.snapshot(), verdict_of(monitor), Identity("me", 5555), time.monotonic()
        )
        assert len(json.dumps(body, allow_nan=False)) < 16_000


def test_after_the_monitor_stopped_readers_see_an_error():
    with watching(FixedProbe(interval_seconds=60.0)) as monitor:
        assert until(lambda: verdict_of(monitor).overall is Overall.HEALTHY)
    assert verdict_of(monitor, later=5.5).overall is Overall.ERROR
    assert verdict_of(monitor, later=5.5).reasons == ("health_engine.stale",)


def test_stop_does_not_wait_for_a_stuck_check_and_closes_every_probe():
    gate = threading.Event()
    probes = [FixedProbe(gate.wait, name="stuck"), FixedProbe(name="other")]
    with watching(*probes) as monitor:
        assert until(lambda: probes[0].runs)
        monitor.stop()
        assert probes[0].under_way == 1
    assert all(probe.closed for probe in probes)
    gate.set()


def test_a_process_with_a_stuck_check_can_exit():
    program = (
        "import atexit, threading\n"
        "from tests.health.builders import FixedProbe, monitor_of, until\n"
        "probe = FixedProbe(threading.Event().wait)\n"
        "monitor = monitor_of(probe)\n"
        "atexit.register(monitor.stop)\n"
        "monitor.start()\n"
        "assert until(lambda: probe.runs)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60, cwd=ROOT)


def test_one_poll_a_second_is_logged_with_its_verdict():
    clock = Clock()
    monitor = monitor_of(FixedProbe(), monotonic=clock)
    with capture_logs() as logs:
        for _ in range(8):
            monitor.tick()
            clock.now += 0.25
    polls = [entry for entry in logs if entry["event"] == "health_poll_completed"]
    assert [entry["polls"] for entry in polls] == [1, 5]
    assert (polls[0]["log_level"], polls[0]["overall_status"]) == ("info", "unknown")
    assert polls[0]["reasons"] == ["part.starting"]


def test_since_is_the_moment_of_the_last_change_of_the_overall_status():
    clock = Clock()
    monitor = monitor_of(monotonic=clock)
    for _ in range(3):
        clock.now += 10
        monitor.tick()
    assert (monitor.snapshot().overall, monitor.snapshot().since_at) == (Overall.HEALTHY, NOW + 10)


def test_a_wall_clock_that_is_set_changes_no_age():
    wall = Clock(1_800_000_000.0)
    monitor = monitor_of(FixedProbe(), wall=wall)
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


def test_an_error_that_lasts_is_logged_once():
    with capture_logs() as logs:
        probe = FixedProbe(raise_exit)
        with watching(probe):
            assert until(lambda: probe.runs > 5)
    assert [entry["check"] for entry in logs if entry["event"] == "health_check_raised"] == ["part"]


def test_fresh_readings_come_from_one_run_begun_after_the_call():
    probe = FixedProbe(interval_seconds=60.0)
    with watching(probe) as monitor:
        assert until(lambda: probe.runs == 1)
        called_at = boottime()
        monitor.refresh(timeout_seconds=20.0)
        (state,) = monitor.snapshot().checks
        assert probe.runs == 2 and state.finished_at is not None and state.finished_at > called_at


def test_fifty_callers_of_fresh_readings_share_one_run_a_second():
    clock = Clock()
    probe = FixedProbe(interval_seconds=60.0)
    monitor = monitor_of(probe, monotonic=clock)
    monitor.start()
    try:
        for expected_runs in (2, 3):
            assert until(lambda: probe.runs == expected_runs - 1 and not probe.under_way)  # noqa: B023  called within the turn
            clock.now += 1.0
            callers = [threading.Thread(target=monitor.refresh) for _ in range(50)]
            for caller in callers:
                caller.start()
            for caller in callers:
                caller.join()
            assert until(lambda: probe.runs == expected_runs)  # noqa: B023
    finally:
        monitor.stop()
    assert probe.runs == 3


def test_fresh_readings_do_not_wait_for_a_stuck_check():
    gate = threading.Event()
    stuck = FixedProbe(gate.wait, name="stuck")
    with watching(stuck, FixedProbe(name="other")) as monitor:
        assert until(lambda: stuck.under_way)
        monitor.refresh(timeout_seconds=0.3)
        assert (stuck.runs, stuck.under_way) == (1, 1)
        gate.set()


def test_a_draining_gateway_reports_it_at_once():
    with watching(FixedProbe()) as monitor:
        assert until(lambda: verdict_of(monitor).ready)
        monitor.drain()
        verdict = verdict_of(monitor)
        assert (verdict.overall, verdict.ready, verdict.reasons) == (
            Overall.DEGRADED,
            False,
            ("gateway.draining",),
        )


def test_the_stats_list_stuck_checks_and_dead_threads():
    gate = threading.Event()
    stuck = FixedProbe(gate.wait, name="stuck", deadline_seconds=0.1)
    with watching(stuck, FixedProbe(name="other")) as monitor:
        assert until(lambda: monitor.stats().stuck == ("stuck",))
        assert monitor.stats().dead == ()
        gate.set()
    assert until(lambda: "tick" in monitor.stats().dead)


def test_the_lag_is_the_worst_of_the_last_one_to_two_minutes():
    lag = TickLag()
    lag.record(100.0, due_at=97.0)
    lag.record(101.0, due_at=100.9)
    assert lag.worst(101.0) == 3.0
    lag.record(165.0, due_at=165.0)
    assert lag.worst(165.0) == 3.0
    lag.record(230.0, due_at=229.5)
    assert lag.worst(230.0) == 0.5
    assert lag.worst(500.0) == 0.0


def test_a_check_that_changes_with_every_run_flaps_and_shows_the_worse_status():
    runs = iter(range(10_000))
    up, down = (
        reading(CheckStatus.OK, "up", fact=True),
        reading(CheckStatus.FAIL, "down", fact=True),
    )
    probe = FixedProbe(lambda: up if next(runs) % 2 else down)
    with watching(probe) as monitor:
        assert until(lambda: monitor.snapshot().checks[0].flapping)
        assert [verdict_of(monitor).reasons for _ in range(20)] == [("part.down",)] * 20
        probe.read_result = lambda: up
        assert until(lambda: verdict_of(monitor).reasons == ())
        assert not monitor.snapshot().checks[0].flapping
