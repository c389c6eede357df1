"""The runner's presence: a lock that dies with it, and a beat that says it
works.
"""

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
    RunnerAlreadyHere,
    RunnerLock,
    boot_id,
    lock_is_held,
    read_beat,
)

HOLDER = (
    "import sys, time; from pathlib import Path; from gpt_cursor_runner.engine.runner_lock import"
    " RunnerLock\nwith RunnerLock(Path(sys.argv[1]), 'other') as presence:\n    print('here',"
    " flush=True); time.sleep(60)\n"
)


def start_holder(directory: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    return process


def test_the_lock_is_held_for_the_runners_life_and_no_longer(tmp_path: Path) -> None:
    assert not lock_is_held(tmp_path)
    with RunnerLock(tmp_path, "one"):
        assert lock_is_held(tmp_path)
    assert not lock_is_held(tmp_path)


def test_a_second_runner_is_refused_and_told_who_is_here(tmp_path: Path) -> None:
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


def test_the_lock_dies_with_a_runner_that_is_killed(tmp_path: Path) -> None:
    process = start_holder(tmp_path)
    assert lock_is_held(tmp_path)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not lock_is_held(tmp_path)
    with RunnerLock(tmp_path, "next") as presence:
        presence.beat("idle")


def test_a_stopped_runner_keeps_its_lock_and_its_beat_stands_still(tmp_path: Path) -> None:
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


def test_a_look_at_the_lock_keeps_no_runner_from_starting(tmp_path: Path) -> None:
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            lock_is_held(tmp_path)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for number in range(20):
            with RunnerLock(tmp_path, f"runner-{number}"):
                pass
    finally:
        stop.set()
        looker.join()


def test_a_program_that_the_runner_starts_does_not_inherit_the_lock(tmp_path: Path) -> None:
    with RunnerLock(tmp_path, "one"):
        child = subprocess.Popen(["sleep", "30"], close_fds=False)
    try:
        assert not lock_is_held(tmp_path)
    finally:
        child.kill()
        child.wait()


def test_the_sequence_grows_with_every_beat(tmp_path: Path) -> None:
    with RunnerLock(tmp_path, "one") as presence:
        seen = []
        for activity, patch_id in (("idle", None), ("working", "a" * 128), ("idle", None)):
            presence.beat(activity, patch_id)
            beat = read_beat(tmp_path)
            assert beat is not None
            assert (beat.activity, beat.patch_id) == (activity, patch_id)
            seen.append(beat.sequence)
    assert seen == sorted(set(seen))
    last = read_beat(tmp_path)
    assert last is not None
    assert last.activity == "stopping"


def test_a_beat_says_which_process_on_which_boot(tmp_path: Path) -> None:
    with RunnerLock(tmp_path, "one"):
        beat = read_beat(tmp_path)
    assert beat is not None
    assert (beat.pid, beat.boot_id) == (os.getpid(), boot_id())


@pytest.mark.parametrize(
    "record", [b"", b'{"runner_id": "on', b"[]", b"{}", b"\xff\xfe", b"null", b'{"runner_id": 1}']
)
def test_a_torn_or_foreign_record_reads_as_no_beat(tmp_path: Path, record: bytes) -> None:
    (tmp_path / BEAT_NAME).write_bytes(record)
    assert read_beat(tmp_path, pause=lambda: None) is None


def test_a_record_caught_between_two_writes_is_read_again(tmp_path: Path) -> None:
    with RunnerLock(tmp_path, "one") as presence:
        whole = (tmp_path / BEAT_NAME).read_bytes()
        (tmp_path / BEAT_NAME).write_bytes(whole[:40])
        beat = read_beat(tmp_path, pause=lambda: presence.beat("idle"))
    assert isinstance(beat, Beat)
    assert beat.activity == "idle"


def test_no_record_is_no_beat(tmp_path: Path) -> None:
    assert read_beat(tmp_path) is None
