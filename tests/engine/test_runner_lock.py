"""The runner's lock, which is released when it dies, and its heartbeat."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from gpt_cursor_runner.engine.runner_lock import (
    BEAT_NAME,
    Beat,
    Blockage,
    RunnerAlreadyHere,
    RunnerLock,
    boot_id,
    lock_is_held,
    read_beat,
)
from gpt_cursor_runner.patch.faults import Fault

HOLDER = (
    "import sys, time; from pathlib import Path; from gpt_cursor_runner.engine.runner_lock import"
    " RunnerLock\nwith RunnerLock(Path(sys.argv[1]), 'other') as lock:\n    print('here',"
    " flush=True); time.sleep(60)\n"
)


def start_holder(directory: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    return process


def test_the_lock_is_held_for_the_runners_life(tmp_path: Path) -> None:
    assert not lock_is_held(tmp_path)
    with RunnerLock(tmp_path, "one"):
        assert lock_is_held(tmp_path)
    assert not lock_is_held(tmp_path)


def test_a_second_runner_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    process = start_holder(tmp_path)
    try:
        with (
            pytest.raises(RunnerAlreadyHere, match=f"pid {process.pid}"),
            RunnerLock(tmp_path, "two"),
        ):
            pass
        assert lock_is_held(tmp_path)
        beat = read_beat(tmp_path)
        assert beat is not None
        assert beat.runner_id == "other"
    finally:
        process.kill()
        process.wait()


def test_the_lock_of_a_killed_runner_is_released(tmp_path: Path) -> None:
    process = start_holder(tmp_path)
    assert lock_is_held(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not lock_is_held(tmp_path)
    with RunnerLock(tmp_path, "next") as lock:
        lock.beat("idle")


def test_a_stopped_runner_keeps_its_lock_without_beating(tmp_path: Path) -> None:
    process = start_holder(tmp_path)
    try:
        process.send_signal(signal.SIGSTOP)
        first = read_beat(tmp_path)
        time.sleep(0.05)
        assert lock_is_held(tmp_path)
        assert read_beat(tmp_path) == first
    finally:
        process.kill()
        process.wait()


def test_probing_the_lock_prevents_no_runner_from_starting(tmp_path: Path) -> None:
    stop = threading.Event()

    def probe() -> None:
        while not stop.is_set():
            lock_is_held(tmp_path)

    prober = threading.Thread(target=probe)
    prober.start()
    try:
        for number in range(20):
            with RunnerLock(tmp_path, f"runner-{number}"):
                pass
    finally:
        stop.set()
        prober.join()


def test_a_child_process_does_not_inherit_the_lock(tmp_path: Path) -> None:
    with RunnerLock(tmp_path, "one"):
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        assert not lock_is_held(tmp_path)
    finally:
        child.kill()
        child.wait()


def test_the_sequence_grows_with_every_beat(tmp_path: Path) -> None:
    with RunnerLock(tmp_path, "one") as lock:
        sequences = []
        many = {f"{number}{'a' * 128}": number for number in range(64)}
        for activity, at_work in (("idle", {}), ("working", many), ("idle", {})):
            lock.beat(activity, at_work)
            beat = read_beat(tmp_path)
            assert beat is not None
            assert (beat.activity, beat.at_work) == (activity, at_work)
            sequences.append(beat.sequence)
    assert sequences == sorted(set(sequences))
    last = read_beat(tmp_path)
    assert last is not None
    assert last.activity == "stopping"


def test_a_beat_names_the_blocked_repositories(tmp_path: Path) -> None:
    fault = Fault("missing", "/srv/app does not exist", "Restore it.")
    with RunnerLock(tmp_path, "one") as lock:
        lock.beat("idle", {}, Blockage({"app": fault}, all=True))
        beat = read_beat(tmp_path)
    assert beat is not None
    assert beat.blocked == Blockage({"app": fault}, all=True)


def test_a_beat_stays_small_with_many_blocked_repositories(tmp_path: Path) -> None:
    fault = Fault("missing", "x" * 5000, "y" * 5000)
    blocked = Blockage({f"app-{number}": fault for number in range(500)}, all=False)
    with RunnerLock(tmp_path, "one") as lock:
        lock.beat("idle", {}, blocked)
        assert (tmp_path / BEAT_NAME).stat().st_size < 64 * 1024
        assert read_beat(tmp_path) is not None


def test_a_beat_names_its_process_and_boot(tmp_path: Path) -> None:
    with RunnerLock(tmp_path, "one"):
        beat = read_beat(tmp_path)
    assert beat is not None
    assert (beat.pid, beat.boot_id) == (os.getpid(), boot_id())


@pytest.mark.parametrize(
    "record", [b"", b'{"runner_id": "on', b"[]", b"{}", b"\xff\xfe", b"null", b'{"runner_id": 1}']
)
def test_an_incomplete_or_foreign_record_reads_as_no_beat(tmp_path: Path, record: bytes) -> None:
    (tmp_path / BEAT_NAME).write_bytes(record)
    assert read_beat(tmp_path, pause=lambda: None) is None


def test_a_record_caught_between_two_writes_is_read_again(tmp_path: Path) -> None:
    with RunnerLock(tmp_path, "one") as lock:
        record = (tmp_path / BEAT_NAME).read_bytes()
        (tmp_path / BEAT_NAME).write_bytes(record[:40])
        beat = read_beat(tmp_path, pause=lambda: lock.beat("idle"))
    assert isinstance(beat, Beat)
    assert beat.activity == "idle"


def test_a_missing_record_reads_as_no_beat(tmp_path: Path) -> None:
    assert read_beat(tmp_path) is None
