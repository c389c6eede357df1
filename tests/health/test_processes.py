from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from gpt_cursor_runner.health.monitor.model import CheckStatus
from gpt_cursor_runner.health.probes.external_runner import ExternalRunnerProbe
from gpt_cursor_runner.health.probes.process_matchers import is_program, runs_script
from gpt_cursor_runner.health.probes.processes import ProcessFinder
from tests.health.builders import Clock, until

NODE, PYTHON, BASH = "/usr/bin/node", "/usr/bin/python3.11", "/bin/bash"


@pytest.mark.parametrize(
    ("command", "executable"),
    [
        ("node ghost-runner.js", NODE),
        ("node /srv/app/ghost-runner.js --port 5555", NODE),
        ("node --max-old-space-size=512 -r dotenv/config ghost-runner.js", NODE),
        ("/usr/local/bin/node -- ghost-runner.js", NODE),
        ("nodejs ghost-runner.js", None),
        ("deno run --allow-net ghost-runner.js", "/usr/bin/deno"),
        ("bun run ghost-runner.js", "/usr/bin/bun"),
        ("bun ghost-runner.js", "/usr/bin/bun"),
        ("python3 -u -X dev ghost-runner.js", PYTHON),
        ("python /a/ghost-runner.js editor.js", PYTHON),
        ("-bash ghost-runner.js", BASH),
        ("bash -x -o pipefail ghost-runner.js", BASH),
        ("sh ghost-runner.js", "/bin/busybox"),
        ("ruby3.2 -I lib ghost-runner.js", "/usr/bin/ruby3.2"),
        ("ghost ghost-runner.js", NODE),  # a process may call itself anything
        ("node ghost-runner.js", NODE + " (deleted)"),
    ],
)
def test_an_interpreter_of_the_script_matches(command, executable):
    assert runs_script("ghost-runner.js")(command.split(" "), executable)


@pytest.mark.parametrize(
    ("command", "executable"),
    [
        ("tail -f ghost-runner.js", "/usr/bin/tail"),
        ("vim ghost-runner.js", "/usr/bin/vim"),
        ("vim ghost-runner.js", None),
        ("node editor.js ghost-runner.js", NODE),
        ("node -e x() ghost-runner.js", NODE),
        ("node -pe x ghost-runner.js", NODE),
        ("node --require ghost-runner.js other.js", NODE),
        ("node", NODE),
        ("node -", NODE),
        ("grep ghost-runner.js log", "/usr/bin/grep"),
        ("bash -c ghost-runner.js", BASH),
        ("bash -lc ghost-runner.js", BASH),
        ("python -m pytest ghost-runner.js", PYTHON),
        ("python -c pass ghost-runner.js", PYTHON),
        ("python -cpass ghost-runner.js", PYTHON),
        ("perl -ne print ghost-runner.js", "/usr/bin/perl"),
        ("node my-ghost-runner.js", NODE),
        ("node ghost-runner.js.bak", NODE),
        ("node ghost-runner.js/", "/usr/bin/tail"),
        ("node -f ghost-runner.js", "/usr/bin/tail"),  # tail, in disguise
        ("tail -f ghost-runner.js", "/bin/busybox"),
    ],
)
def test_a_program_with_the_name_on_its_command_line_does_not_match(command, executable):
    assert not runs_script("ghost-runner.js")(command.split(" "), executable)


def test_a_program_is_matched_by_its_executable():
    matches = is_program("cloudflared")
    assert matches(["/usr/local/bin/cloudflared", "tunnel"], "/usr/local/bin/cloudflared")
    assert matches(["cloudflared", "tunnel"], None)
    assert not matches(["vim", "cloudflared"], "/usr/bin/vim")
    assert not matches(["cloudflared"], "/usr/bin/tail")


Start = Callable[..., subprocess.Popen[bytes]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a real interpreter on a sleeping script of a given file name."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(name: str, *command: str) -> subprocess.Popen[bytes]:
        script = tmp_path / name
        script.write_text("import time; time.sleep(600)")
        process = subprocess.Popen([*(command or (sys.executable,)), str(script)])
        started.append(process)
        assert until(lambda: name in " ".join(psutil.Process(process.pid).cmdline()))
        return process

    yield start_one
    for process in started:
        process.kill()
        process.wait()


def unique() -> str:
    return f"ghost-{os.getpid()}-{time.monotonic_ns()}.js"


def test_a_foreign_runner_is_found_stalls_recovers_and_dies(start):
    name, clock = unique(), Clock()
    probe = ExternalRunnerProbe(name, ProcessFinder(runs_script(name), clock))
    assert (probe.read().code, probe.read().data["state"]) == ("down", "down")
    runner = start(name)
    assert probe.read().code == "down"  # not due yet
    clock.now += 60
    reading = probe.read()
    assert (reading.status, reading.code, reading.data["pid"]) == (CheckStatus.OK, "up", runner.pid)
    runner.send_signal(signal.SIGSTOP)
    assert until(lambda: probe.read().data["state"] == "stalled")
    runner.send_signal(signal.SIGCONT)
    assert until(lambda: probe.read().code == "up")
    runner.kill()
    os.waitid(os.P_PID, runner.pid, os.WEXITED | os.WNOWAIT)
    reading = probe.read()
    assert (reading.code, reading.data["state"]) == ("zombie", "down")
    runner.wait()
    assert probe.read().code == "down"
    again = start(name)
    clock.now += 60
    assert probe.read().data["pid"] == again.pid


def test_a_program_that_reads_the_script_is_not_the_runner(start):
    name = unique()
    start(name, shutil.which("tail") or "tail", "-f")
    assert ExternalRunnerProbe(name).read().code == "down"


def test_a_process_that_became_another_program_is_forgotten(start, tmp_path):
    name = unique()
    (tmp_path / name).write_text("")
    turning = "import os, sys, time; sys.stdin.readline(); os.execvp('sleep', ['sleep', '600'])"
    script = tmp_path / name
    script.write_text(turning)
    with subprocess.Popen([sys.executable, str(script)], stdin=subprocess.PIPE) as process:
        probe = ExternalRunnerProbe(name)
        assert until(lambda: probe.read().code == "up", 10)
        assert process.stdin
        process.stdin.write(b"\n")
        process.stdin.flush()
        assert until(lambda: probe.read().code == "down")
        process.kill()


def test_scans_take_at_most_a_fiftieth_of_the_time():
    clock, scans = Clock(), []

    def scan() -> list[psutil.Process]:
        scans.append(clock.now)
        clock.now += 0.2 if len(scans) == 1 else 0.001
        return []

    finder = ProcessFinder(is_program("nobody"), clock, scan)
    for _ in range(200):
        finder.find()
        clock.now += 0.1
    apart = [round(later - earlier, 1) for earlier, later in itertools.pairwise(scans)]
    assert 10.2 <= apart[0] <= 10.4 and all(2.0 <= seconds <= 2.2 for seconds in apart[1:])


def test_a_remembered_process_costs_no_scan(start):
    name, scans = unique(), []

    def scan() -> Iterator[psutil.Process]:
        scans.append(1)
        return psutil.process_iter()

    start(name)
    clock = Clock()
    finder = ProcessFinder(runs_script(name), clock, scan)
    for _ in range(20):
        assert finder.find().state == "running"
        clock.now += 60
    assert scans == [1]
