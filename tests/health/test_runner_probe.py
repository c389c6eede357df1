from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from gpt_cursor_runner.engine.runner_lock import (
    BEAT_NAME,
    Beat,
    Blockage,
    RunnerLock,
    boot_id,
)
from gpt_cursor_runner.health.monitor.model import CheckStatus, Reading
from gpt_cursor_runner.health.probes.runner import (
    NOT_CLAIMING_SECONDS,
    STALL_SECONDS,
    WORKING_STALL_SECONDS,
    RunnerProbe,
)
from gpt_cursor_runner.landing.git import Git
from gpt_cursor_runner.patch.faults import Fault
from tests.health import runner_process
from tests.health.builders import Clock, until

Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a runner in a session of its own and waits until it holds the
    lock; kills the session afterwards.
    """
    started: list[subprocess.Popen[bytes]] = []

    def start_one(way: str = "beats", before: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        command = [*before, sys.executable, runner_process.__file__, str(tmp_path), way]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        started.append(process)
        assert process.stdout and process.stdout.readline() == b"here\n"
        return process

    yield start_one
    for process in started:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def state(reading: Reading) -> str:
    return str(reading.data["state"])


def comes_up(probe: RunnerProbe) -> bool:
    return until(lambda: probe.read().code == "up")


def test_without_a_runner_it_is_down(tmp_path):
    reading = RunnerProbe(tmp_path).read()
    assert (reading.status, reading.code, state(reading), reading.fact) == (
        CheckStatus.FAIL,
        "down",
        "down",
        True,
    )


def test_without_a_state_directory_it_is_down(tmp_path):
    assert state(RunnerProbe(tmp_path / "nowhere").read()) == "down"


def test_a_runner_is_up_once_its_sequence_moved(tmp_path, start):
    runner = start()
    probe = RunnerProbe(tmp_path)
    assert state(probe.read()) == "starting"
    assert comes_up(probe)
    assert probe.read().data["pid"] == runner.pid


def test_a_killed_runner_is_down_at_the_next_reading_also_as_a_zombie(tmp_path, start):
    runner = start()
    probe = RunnerProbe(tmp_path)
    assert comes_up(probe)
    runner.kill()
    os.waitid(os.P_PID, runner.pid, os.WEXITED | os.WNOWAIT)  # dead, and not reaped
    assert state(probe.read()) == "down"


def test_a_killed_runner_is_down_though_its_child_holds_the_lock(tmp_path, start):
    runner = start("leaves")
    probe = RunnerProbe(tmp_path)
    assert comes_up(probe)
    runner.kill()
    os.waitid(os.P_PID, runner.pid, os.WEXITED | os.WNOWAIT)
    assert (probe.read().code, state(probe.read())) == ("zombie", "down")
    runner.wait()
    assert (probe.read().code, state(probe.read())) == ("gone", "down")


def test_a_stopped_process_is_stalled_and_recovers(tmp_path, start):
    runner = start()
    probe = RunnerProbe(tmp_path)
    assert comes_up(probe)
    runner.send_signal(signal.SIGSTOP)
    assert until(lambda: probe.read().code == "stopped")
    assert (probe.read().status, state(probe.read())) == (CheckStatus.FAIL, "stalled")
    runner.send_signal(signal.SIGCONT)
    assert comes_up(probe)


def test_a_runner_whose_loop_does_not_turn_is_stalled_at_the_limit(tmp_path, start):
    clock = Clock()
    runner = start()
    probe = RunnerProbe(tmp_path, monotonic=clock)
    assert comes_up(probe)
    runner.send_signal(signal.SIGUSR1)
    assert runner.stdout.readline() == b"wedged\n"
    probe.read()
    clock.now += 9.9
    assert state(probe.read()) == "up"
    clock.now += 0.2
    assert (probe.read().code, state(probe.read())) == ("stalled", "stalled")


def test_a_runner_is_up_while_its_loop_turns(tmp_path):
    clock = Clock()
    probe = RunnerProbe(tmp_path, monotonic=clock)
    with RunnerLock(tmp_path, "runner-1") as lock:
        probe.read()
        for _ in range(5):
            clock.now += 9
            lock.beat("working", {"patch-1": 1})
            assert (state(probe.read()), probe.read().data["patch_id"]) == ("up", "patch-1")


def test_the_shipped_limits_of_a_runner():
    # docs/health.md names them. A step of a patch may last as long as git may.
    assert (STALL_SECONDS, WORKING_STALL_SECONDS, NOT_CLAIMING_SECONDS) == (10.0, 130.0, 15.0)
    assert Git.deadline_seconds == WORKING_STALL_SECONDS - STALL_SECONDS


def test_work_that_does_not_proceed_is_stalled_after_130_seconds_though_the_loop_turns(tmp_path):
    clock = Clock()
    probe = RunnerProbe(tmp_path, monotonic=clock)
    with RunnerLock(tmp_path, "runner-1") as lock:

        def turn(seconds: float, **at_work: int) -> Reading:
            clock.now += seconds
            lock.beat("working", at_work)
            return probe.read()

        turn(0, hangs=1, works=1)
        for number in range(13):
            assert turn(9.9, hangs=1, works=number).code == "up"
        assert turn(1.2, hangs=1, works=20).code == "up"
        reading = turn(0.2, hangs=1, works=20)
        assert (reading.code, state(reading)) == ("stalled", "stalled")
        assert "hangs" in reading.message
        assert "works" not in reading.message
        assert turn(0.2, hangs=2, works=20).code == "up"
        assert turn(0.2).code == "up"


def test_a_blocked_runner_names_each_repository_and_the_remedy(tmp_path):
    fault = Fault("missing", "/srv/app does not exist", "Restore it.")
    probe = RunnerProbe(tmp_path)
    with RunnerLock(tmp_path, "runner-1") as lock:
        probe.read()
        lock.beat("idle", {}, Blockage({"app": fault}, all=True))
        reading = probe.read()
        assert (reading.status, reading.code, state(reading)) == (
            CheckStatus.FAIL,
            "blocked",
            "blocked",
        )
        assert "app: /srv/app does not exist" in reading.message
        assert reading.remedy == "Restore it."
        assert set(probe.blocked_repositories()) == {"app"}
        lock.beat("idle", {}, Blockage({"app": fault}, all=False))
        assert probe.read().code == "up"
        assert set(probe.blocked_repositories()) == {"app"}


def test_a_runner_that_stops_is_a_warning_and_not_down(tmp_path, start):
    start("stopping")
    probe = RunnerProbe(tmp_path)
    assert until(lambda: probe.read().code == "stopping")
    assert (probe.read().status, state(probe.read())) == (CheckStatus.WARN, "up")


def foreign_record(directory: Path, pid: int) -> None:
    record = {"runner_id": "old", "pid": pid, "process_created_at": 1.0, "boot_id": "another"}
    rest = {"sequence": 7, "activity": "idle", "patch_id": None}
    (directory / BEAT_NAME).write_text(json.dumps(record | rest))


def test_a_left_record_that_names_a_living_process_is_down(tmp_path):
    foreign_record(tmp_path, os.getpid())
    assert state(RunnerProbe(tmp_path).read()) == "down"


def test_a_left_record_under_a_lock_that_is_held_is_never_up(tmp_path, start):
    clock = Clock()
    foreign_record(tmp_path, os.getpid())
    start("silent")
    probe = RunnerProbe(tmp_path, monotonic=clock)
    assert state(probe.read()) == "starting"
    clock.now += 10.1
    assert state(probe.read()) == "stalled"


def test_the_limit_of_a_new_runner_starts_when_it_takes_the_lock(tmp_path, start):
    clock = Clock()
    probe = RunnerProbe(tmp_path, monotonic=clock)
    probe.read()
    clock.now += 3600
    assert state(probe.read()) == "down"
    start("silent")
    assert state(probe.read()) == "starting"


def read_moving(directory: Path, beat: Beat) -> Reading:
    """The reading of a held lock and a record that moves and names any process."""
    probe = RunnerProbe(directory)
    with RunnerLock(directory, "runner-1"):
        for sequence in range(3):
            (directory / BEAT_NAME).write_text(json.dumps(asdict(replace(beat, sequence=sequence))))
            reading = probe.read()
    return reading


@pytest.mark.parametrize(("other_boot", "created_apart"), [(True, 0.0), (False, 3600.0)])
def test_a_moving_runner_is_not_judged_by_another_process_with_its_pid(
    tmp_path, other_boot, created_apart
):
    with subprocess.Popen(["sleep", "60"]) as other_process:
        other_process.send_signal(signal.SIGSTOP)
        created = psutil.Process(other_process.pid).create_time() + created_apart
        boot = "another boot" if other_boot else boot_id()
        reading = read_moving(
            tmp_path, Beat("runner-1", other_process.pid, created, boot, 0, "idle")
        )
        other_process.kill()
    assert (reading.code, state(reading)) == ("up", "up")


def test_a_moving_runner_whose_pid_cannot_be_seen_is_up(tmp_path):
    with subprocess.Popen(["true"]) as gone:
        pass
    assert (
        state(read_moving(tmp_path, Beat("runner-1", gone.pid, 1.0, boot_id(), 0, "idle"))) == "up"
    )


def test_a_program_with_the_right_name_on_its_command_line_is_not_a_runner(tmp_path):
    script = tmp_path / "ghost-runner.js"
    script.touch()
    decoy = subprocess.Popen(["tail", "-f", script])
    try:
        assert state(RunnerProbe(tmp_path).read()) == "down"
    finally:
        decoy.kill()
        decoy.wait()


def test_a_runner_in_another_pid_namespace_is_up_by_its_sequence(tmp_path, start):
    apart = ("unshare", "--pid", "--fork", "--kill-child")
    if (
        not shutil.which("unshare")
        or subprocess.run([*apart, "true"], capture_output=True).returncode
    ):
        pytest.skip("this user may not make a pid namespace")
    start(before=apart)
    probe = RunnerProbe(tmp_path)
    assert comes_up(probe)
    assert {probe.read().code for _ in range(20)} == {"up"}


def test_an_unreadable_record_does_not_prove_a_working_runner(tmp_path, start):
    (tmp_path / BEAT_NAME).write_text("{half a rec")
    start("silent")
    assert state(RunnerProbe(tmp_path).read()) == "starting"


def test_every_change_is_logged_once_with_the_pid(tmp_path):
    probe = RunnerProbe(tmp_path)
    with capture_logs() as logs:
        with RunnerLock(tmp_path, "runner-1") as lock:
            probe.read()
            for _ in range(3):
                lock.beat("idle")
                probe.read()
        probe.read()
        probe.read()
    changes = [
        (entry["from"], entry["to"], entry["pid"])
        for entry in logs
        if entry["event"] == "runner_state_changed"
    ]
    me = os.getpid()
    assert changes == [(None, "starting", me), ("starting", "up", me), ("up", "down", me)]


def test_the_runner_is_listed_with_its_host_and_the_age_of_its_beat(tmp_path):
    clock = Clock()
    probe = RunnerProbe(tmp_path, monotonic=clock)
    assert probe.read().data["runners"] == []
    with RunnerLock(tmp_path, "here") as lock:
        probe.read()
        lock.beat("idle")
        probe.read()
        clock.now += 2
        (runner,) = probe.read().data["runners"]
    assert runner == {
        "id": "here",
        "host": socket.gethostname(),
        "state": "up",
        "activity": "idle",
        "sequence_age_seconds": 2.0,
    }


def test_a_paused_runner_reads_as_paused(tmp_path):
    clock = Clock()
    probe = RunnerProbe(tmp_path, monotonic=clock)
    with RunnerLock(tmp_path, "here") as lock:
        probe.read()
        lock.beat("paused")
        reading = probe.read()
    assert (reading.status, reading.code, state(reading)) == (CheckStatus.WARN, "paused", "paused")


def test_a_runner_that_turns_and_does_not_claim_the_waiting_patch_is_stalled(tmp_path):
    clock = Clock()
    unclaimed: tuple[int, None] | None = None
    probe = RunnerProbe(tmp_path, lambda: unclaimed, monotonic=clock)
    with RunnerLock(tmp_path, "here") as lock:

        def turn(activity: str, seconds: float) -> Reading:
            lock.beat(activity)
            clock.now += seconds
            return probe.read()

        turn("idle", 0)
        unclaimed = (3, None)
        assert turn("idle", 1).code == "up"
        assert turn("idle", 9).code == "up"
        assert turn("idle", 5.9).code == "up"
        stalled = turn("idle", 0.2)
        assert (stalled.status, stalled.code, state(stalled)) == (
            CheckStatus.FAIL,
            "not_claiming",
            "stalled",
        )
        assert turn("working", 1).code == "up"  # on another patch
        assert turn("idle", 9).code == "up"
        unclaimed = (4, None)  # one was claimed, another waits
        assert turn("idle", 9).code == "up"
        unclaimed = None
        assert turn("idle", 9).code == "up"
        unclaimed = (5, None)
        assert turn("idle", 9).code == "up"
