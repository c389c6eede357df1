from __future__ import annotations

import sys
import threading
import time
from typing import Any

import psutil
import pytest

from gpt_cursor_runner.config import OwnCheck
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, Reading
from gpt_cursor_runner.health.probes.command import CommandProbe
from tests.building import SEARCH_PATH
from tests.health.builders import until

ENVIRONMENT = {"PATH": SEARCH_PATH, "HOME": "/home/of/mine", "LANG": "C.UTF-8"}


def probe(code: str, **others: Any) -> CommandProbe:
    return CommandProbe(
        OwnCheck(name="disk", command=(sys.executable, "-c", code), **others), ENVIRONMENT
    )


def run(code: str, **others: Any) -> Reading:
    return probe(code, **others).read()


@pytest.mark.parametrize(
    ("exit_code", "expected"),
    [
        (0, (CheckStatus.OK, "ok")),
        (1, (CheckStatus.WARN, "warning")),
        (2, (CheckStatus.FAIL, "critical")),
        (3, (CheckStatus.UNKNOWN, "unknown")),
        (127, (CheckStatus.UNKNOWN, "unknown")),
    ],
)
def test_the_exit_code_is_the_status_and_the_first_line_the_message(exit_code, expected):
    reading = run(f"print('DISK - 3 GB left | x=3'); print('more'); raise SystemExit({exit_code})")
    assert (reading.status, reading.code) == expected
    assert (reading.message, reading.data["exit_code"]) == ("DISK - 3 GB left | x=3", exit_code)


def test_a_command_that_kills_itself_is_unknown():
    assert run("import os; os.kill(os.getpid(), 9)").code == "unknown"


def test_a_command_that_does_not_exist_is_not_found():
    reading = CommandProbe(OwnCheck(name="disk", command=("no-such-program",)), ENVIRONMENT).read()
    assert (reading.status, reading.code) == (CheckStatus.UNKNOWN, "not_found")
    assert "no-such-program" in reading.message


def test_interval_timeout_and_criticality_are_the_configured_ones():
    spec = probe("", interval_seconds=7, timeout_seconds=3, critical=True).spec
    assert (spec.name, spec.component, spec.criticality) == (
        "own_disk",
        "own_disk",
        Criticality.CRITICAL,
    )
    assert (spec.interval_seconds, spec.deadline_seconds) == (7, 4)
    assert probe("").spec.criticality is Criticality.IMPAIRING


def test_a_command_has_none_of_the_gateways_environment(monkeypatch):
    monkeypatch.setenv("GCR_KEY", "gcr_secret")
    reading = run("import os; print(sorted(set(os.environ) - {'LC_CTYPE'}), os.environ['HOME'])")
    assert reading.message == "['HOME', 'LANG', 'PATH'] /home/of/mine"


def test_at_its_timeout_a_command_is_ended_with_all_that_it_started():
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    reading = run(code, timeout_seconds=2)
    assert (reading.status, reading.code) == (CheckStatus.FAIL, "timed_out")
    assert until(lambda: ended(int(str(reading.data["output"]).split()[0])))


def ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_command_that_ends_while_its_child_holds_its_output_has_ended():
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print('started', child.pid)\n"
    )
    reading = run(code)
    assert (reading.code, reading.message.split()[0]) == ("ok", "started")
    assert until(lambda: ended(int(reading.message.split()[1])))


def test_of_a_large_output_the_beginning_is_kept_and_the_command_ends():
    reading = run("import sys\nfor _ in range(300): sys.stdout.write('x' * 10_000)")
    assert (reading.code, reading.data["output_bytes"]) == ("ok", 65536)
    assert len(reading.data["output"]) == 1000


def test_a_command_that_floods_takes_little_processor_time_of_the_gateway():
    check = OwnCheck(name="flood", command=("yes",), timeout_seconds=1.0)
    probe_of_flood = CommandProbe(check, ENVIRONMENT)
    before = time.thread_time()
    assert probe_of_flood.read().code == "timed_out"
    # 0.3 s and more without the pauses between the chunks.
    assert time.thread_time() - before < 0.1


def test_close_ends_a_run_under_way():
    sleeping = probe("print('here', flush=True); import time; time.sleep(600)", timeout_seconds=500)
    thread = threading.Thread(target=sleeping.read)
    thread.start()
    assert until(lambda: len(psutil.Process().children()) > 0)
    sleeping.close()
    thread.join(60)
    assert not thread.is_alive()
    assert sleeping.read().code == "not_found"


def test_a_pathological_pattern_in_a_command_takes_no_processor_time_here():
    matching = probe("import re; re.match(r'(a+)+$', 'a' * 40 + 'b')", timeout_seconds=1.0)
    before = time.process_time()
    assert matching.read().code == "timed_out"
    # In this process the match would hold the interpreter until its end.
    assert time.process_time() - before < 0.5
