from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gpt_cursor_runner.system import processes
from gpt_cursor_runner.system.processes import BoundedOutput, DeadlinePassed
from tests.health.builders import until

PYTHON = sys.executable


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def pid_in(file: Path) -> int:
    assert until(lambda: file.exists() and file.read_text().endswith("\n"))
    return int(file.read_text())


@pytest.fixture
def started() -> Iterator[Callable[[str], processes.Child]]:
    children: list[processes.Child] = []

    def start(script: str) -> processes.Child:
        child = processes.start(["/bin/sh", "-c", script], stderr=subprocess.STDOUT)
        children.append(child)
        return child

    yield start
    for child in children:
        processes.kill_group(child)


def test_run_passes_data_and_returns_both_outputs():
    completed = processes.run(["/bin/sh", "-c", "cat; echo bad >&2; exit 3"], 10, data=b"in")
    assert (completed.exit_code, completed.stdout, completed.stderr) == (3, b"in", b"bad\n")


def test_run_gives_the_child_only_the_environment_it_is_passed():
    completed = processes.run(["/usr/bin/env"], 10, environment={"ONLY": "this"})
    assert completed.stdout == b"ONLY=this\n"


def test_run_starts_in_the_directory(tmp_path):
    completed = processes.run(["/bin/pwd"], 10, directory=tmp_path)
    assert completed.stdout.decode().strip() == str(tmp_path.resolve())


def test_a_missing_program_is_an_error_of_the_system():
    with pytest.raises(FileNotFoundError):
        processes.run(["/no/such/program"], 10)


def test_the_deadline_ends_the_children_of_the_child(tmp_path):
    note = tmp_path / "pid"
    with pytest.raises(DeadlinePassed):
        processes.run(["/bin/sh", "-c", f"sleep 60 & echo $! > {note}; wait"], 0.5)
    pid = pid_in(note)
    assert until(lambda: not is_alive(pid))


def test_a_child_may_clean_up_before_it_is_killed(tmp_path):
    script = f"trap 'rm {tmp_path}/lock; exit' TERM; touch {tmp_path}/lock; sleep 60 & wait"
    with pytest.raises(DeadlinePassed):
        processes.run(["/bin/sh", "-c", script], 0.5)
    assert not (tmp_path / "lock").exists()


def test_follow_passes_all_output_and_leaves_nothing_behind(started, tmp_path):
    output, note = BoundedOutput(100), tmp_path / "pid"
    child = started(f"echo one; echo two >&2; sleep 60 & echo $! > {note}")
    assert processes.follow(child, output.add, 10)
    assert (child.returncode, output.head) == (0, b"one\ntwo\n")
    pid = pid_in(note)
    assert until(lambda: not is_alive(pid))


def test_follow_returns_when_the_child_exits_while_its_pipe_is_held_open():
    # setsid leaves the group, so that nothing ends it and the pipe stays open.
    script = "import os, subprocess; subprocess.Popen(['sleep', '30'], start_new_session=True)"
    child = processes.start([PYTHON, "-c", script])
    assert processes.follow(child, lambda _: None, 20, grace_seconds=0.2)
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] == ["sleep", "30"] and process.ppid() in (1, os.getpid()):
            process.kill()


def test_follow_ends_a_child_that_closed_its_output_at_the_deadline(started):
    child = started("exec >&- 2>&-; sleep 60")
    assert not processes.follow(child, lambda _: None, 0.3, grace_seconds=0.1)
    assert child.returncode is not None


def test_follow_ticks_and_passes_on_what_a_tick_raises(started):
    ticks: list[float] = []

    def tick() -> None:
        ticks.append(time.monotonic())
        if len(ticks) == 3:
            raise InterruptedError

    child = started("sleep 60")
    with pytest.raises(InterruptedError):
        processes.follow(child, lambda _: None, 30, tick)
    assert child.returncode is not None


def test_a_bounded_output_keeps_both_ends_and_counts_the_rest():
    output = BoundedOutput(4, 4)
    for chunk in (b"abcdef", b"ghij", b"klmn", b"op"):
        output.add(chunk)
    assert output.size == 16
    # The tail is kept in whole chunks: never less than requested.
    assert output.kept() == "abcd\n[… 6 bytes left out …]\nklmnop".encode()


def test_an_output_within_its_bounds_is_kept_complete():
    output = BoundedOutput(4, 4)
    for chunk in (b"ab", b"cdef", b"gh"):
        output.add(chunk)
    assert output.kept() == b"abcdefgh"


def test_an_output_without_a_tail_keeps_its_head():
    output = BoundedOutput(3)
    for chunk in (b"ab", b"cd", b"ef"):
        output.add(chunk)
    assert (output.head, output.is_head_full, output.size) == (b"abc", True, 6)
