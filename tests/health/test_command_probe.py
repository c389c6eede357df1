from __future__ import annotations

import os
import shlex
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gpt_cursor_runner.health.containing import contained
from gpt_cursor_runner.health.model import Criticality, Reading, Status
from gpt_cursor_runner.health.probes.command import OUTPUT_BYTES, CommandProbe
from tests.health.builders import until


def own(*command: str, **others: Any) -> CommandProbe:
    return CommandProbe("backup", command, os.environ["PATH"], Path("/home/owner"), **others)


def shell(script: str, **others: Any) -> Reading:
    return own("sh", "-c", script, **others).read()


@pytest.mark.parametrize(
    ("exit_code", "status", "code"),
    [
        (0, Status.OK, "ok"),
        (1, Status.WARN, "warning"),
        (2, Status.FAIL, "critical"),
        (3, Status.UNKNOWN, "unknown"),
        (77, Status.UNKNOWN, "unknown"),
    ],
)
def test_the_exit_code_is_the_status(exit_code, status, code):
    found = shell(f"exit {exit_code}")
    assert (found.status, found.code, found.data["exit_code"]) == (status, code, exit_code)


def test_a_command_killed_by_a_signal_says_nothing():
    assert shell("kill -9 $$").status is Status.UNKNOWN


def test_the_first_line_is_the_message_without_figures_and_steering():
    found = shell(r"printf '\033[2JLast backup 3 h ago | age=3h\nmore\n'")
    assert found.message == "[2JLast backup 3 h ago"


def test_a_secret_in_the_output_is_not_shown():
    probe = own("echo", "cannot reach postgres://app:hunter2@db/app")
    assert "hunter2" not in contained(probe.read, "own_backup").message


def test_a_command_finds_three_names_in_its_environment(monkeypatch):
    monkeypatch.setenv("GCR_SECRET", "mine")
    found = own(sys.executable, "-c", "import os; print(sorted(os.environ), os.environ['HOME'], os.getcwd())").read()
    assert found.message == "['HOME', 'LANG', 'PATH'] /home/owner /"


def test_a_command_that_is_not_there_is_said_so_with_a_next_step(tmp_path):
    plain = tmp_path / "plain"
    plain.write_text("no program")
    for command in ("gcr-no-such-program", str(plain), "/"):
        found = own(command).read()
        assert (found.status, found.code) == (Status.UNKNOWN, "not_found")
        assert command in found.message and "runner.toml" in found.remedy


def test_a_command_that_hangs_is_ended_with_all_that_it_started(tmp_path):
    children = tmp_path / "children"
    script = f"sleep 60 & echo $! > {shlex.quote(str(children))}; sleep 60"
    began = time.monotonic()
    found = shell(script, timeout_seconds=0.3)
    assert (found.status, found.code) == (Status.FAIL, "timed_out")
    assert time.monotonic() - began < 3
    assert until(lambda: is_gone(int(children.read_text())))


def is_gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def test_what_a_command_leaves_behind_neither_delays_nor_outlives_it(tmp_path):
    children = tmp_path / "children"
    found = shell(f"sleep 60 & echo $! > {shlex.quote(str(children))}; echo fine")
    assert (found.code, found.message) == ("ok", "fine")
    assert until(lambda: is_gone(int(children.read_text())))


def test_a_command_that_closes_its_output_is_still_waited_for():
    assert shell("exec >&- 2>&-; sleep 0.2; exit 1").code == "warning"


def test_a_command_that_floods_is_ended_at_64_kib():
    began = time.monotonic()
    found = own("yes").read()
    assert (found.status, found.code) == (Status.UNKNOWN, "unknown")
    assert str(OUTPUT_BYTES) in found.message
    assert time.monotonic() - began < 3


def test_output_up_to_64_kib_is_no_trouble():
    assert own(sys.executable, "-c", f"print('a' * {OUTPUT_BYTES - 1})").read().code == "ok"


def test_a_pathological_pattern_costs_the_command_and_not_the_gateway():
    probe = own(sys.executable, "-c", "import re; re.match('(a+)+$', 'a' * 64 + 'b')", timeout_seconds=1.0)
    before = time.process_time()
    assert probe.read().code == "timed_out"
    assert time.process_time() - before < 0.5


def test_closing_ends_a_command_under_way():
    probe = own("sleep", "60", timeout_seconds=50.0)
    found: list[Reading] = []
    reading = threading.Thread(target=lambda: found.append(probe.read()))
    reading.start()
    probe.close()
    reading.join(5)
    assert [one.status for one in found] == [Status.UNKNOWN]


def test_looking_again_and_again_keeps_no_file_open():
    probe = own("true")
    probe.read()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        probe.read()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_the_owner_says_how_much_it_matters_and_how_long_it_may_take():
    terms = own("true", critical=True, interval_seconds=30, timeout_seconds=4).terms
    assert (terms.name, terms.component, terms.criticality) == ("own_backup", "own_backup", Criticality.CRITICAL)
    assert (terms.interval_seconds, terms.deadline_seconds) == (30, 5)
    assert own("true").terms.criticality is Criticality.IMPAIRING
