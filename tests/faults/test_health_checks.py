"""Checks that hang, raise, return rubbish or hold the interpreter's lock, in
the real gateway under the real server.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.faults.broken_gateway import RUBBISH
from tests.faults.polling import polled
from tests.running import Installation, listens, wait_until

ROOT = Path(__file__).parents[2]
_SERVE = (
    "from gpt_cursor_runner.gateway.serve import serve; "
    "serve('tests.faults.broken_gateway:application', '127.0.0.1', {port})"
)
# A tick of half a second or so, two cores shared with the rest of the suite.
_PROMPT_SECONDS = 0.25


@contextmanager
def broken(place: Path, fault: str) -> Iterator[Installation]:
    """A gateway whose checks have this fault, and a runner beside it."""
    here = Installation.create(place)
    variables = {
        "GCR_CONFIG": str(here.config),
        "GATEWAY_FAULT": fault,
        "HEALTH_RUNS": str(place / "runs"),
    }
    log = (place / "gateway.log").open("ab")
    try:
        here.start("runner")
        here.processes["gateway"] = subprocess.Popen(
            [sys.executable, "-c", _SERVE.format(port=here.port)],
            env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        wait_until(lambda: listens(here.port), 20, "the gateway does not listen")
        yield here
    finally:
        log.close()
        here.stop()


def checks_of(here: Installation) -> dict[str, Any]:
    body = here.call("GET", "/health").body
    return dict(body.get("checks", {}))


def worker(here: Installation) -> psutil.Process:
    """The process that serves: the child of granian's main."""
    (serving,) = [
        one for one in psutil.Process(here.processes["gateway"].pid).children() if _serves(one)
    ]
    return serving


def _serves(process: psutil.Process) -> bool:
    threads: int = process.num_threads()
    return threads > 10


def says(here: Installation, *reasons: str) -> bool:
    try:
        said: list[str] = here.health()["reasons"]
        return said == list(reasons)
    except OSError:
        return False


def test_a_check_that_hangs_is_late_and_everything_else_is_prompt_and_right(tmp_path: Path):
    with broken(tmp_path, "hang_one") as here:
        wait_until(lambda: says(here, "runner.late"), 20, "the hanging check is not late")
        with polled(here.port, 50, pause_seconds=0.2) as pollers:
            time.sleep(4)
        assert not pollers.troubles and pollers.codes == {200}
        assert pollers.quantile(0.5) < _PROMPT_SECONDS
        assert {tuple(body["reasons"]) for body in pollers.bodies} == {("runner.late",)}
        checks = checks_of(here)
        assert checks["runner"]["stuck_for_seconds"] > 4
        assert {name for name, one in checks.items() if one["status"] != "ok"} == {"runner"}


def test_checks_that_all_hang_cost_one_thread_each_and_no_answer(tmp_path: Path):
    with broken(tmp_path, "hang_all") as here:
        wait_until(lambda: here.health()["overall_status"] == "unknown", 20, "nothing is said")
        with polled(here.port, 20, pause_seconds=0) as pollers:
            wait_until(lambda: len(pollers.bodies) > 2000, 20, "a thousand polls were not answered")
        assert not pollers.troubles and pollers.codes == {503}
        assert (
            worker(here).num_threads() < 120
        )  # of which the server may have 64 and its checks one each
        statuses = [
            here.call("GET", path, key=None).status
            for path in ("/livez", "/readyz", "/startupz", "/metrics")
        ]
        assert statuses == [200, 503, 503, 200]


def test_a_check_that_worked_and_then_never_returns_leaves_healthy(tmp_path: Path):
    with broken(tmp_path, "hang_later") as here:
        here.wait_for_health("healthy")
        wait_until(
            lambda: here.health()["overall_status"] == "unknown",
            20,
            "the hanging check still counts as well",
        )
        assert here.health()["reasons"] == ["queue.late"]


def test_a_dead_monitor_is_an_error_and_not_the_last_good_word(tmp_path: Path):
    with broken(tmp_path, "kill_tick") as here:
        here.wait_for_health("healthy")
        wait_until(
            lambda: here.health()["overall_status"] == "error",
            15,
            "a dead monitor still looks well",
        )
        answer = here.call("GET", "/health", key=None)
        assert (answer.status, answer.body["reasons"][0], answer.body["ready"]) == (
            503,
            "health_engine.stale",
            False,
        )
        assert (
            here.call("GET", "/livez", key=None).status == 200
        )  # a supervisor restarts it after thirty seconds


def test_a_frozen_gateway_that_thaws_does_not_replay_its_last_word(tmp_path: Path):
    with broken(tmp_path, "counted") as here:
        here.wait_for_health("healthy")
        serving = worker(here)
        serving.suspend()
        time.sleep(5.5)
        serving.resume()
        first = here.health()
        assert first["age_ms"] < first["max_age_ms"] or first["overall_status"] in (
            "unknown",
            "error",
        )
        here.wait_for_health("healthy", 10)


def test_a_monitor_started_before_a_fork_is_stale_in_the_child():
    program = (
        "import os, sys, time\n"
        "from gpt_cursor_runner.system.clock import boottime\n"
        "from gpt_cursor_runner.health.monitor.judging import judge\n"
        "from tests.health.builders import FixedProbe, monitor_of, until\n"
        "monitor = monitor_of(FixedProbe())\n"
        "monitor.start()\n"
        "assert until(lambda: judge(monitor.snapshot(), boottime()).ready)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    time.sleep(5.5)\n"
        "    os._exit(0 if judge(monitor.snapshot(), boottime()).overall == 'error' else 1)\n"
        "sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=30, cwd=ROOT)


def test_checks_that_raise_or_return_rubbish_spoil_only_themselves(tmp_path: Path):
    expected = {
        name: "raised" if name in ("error", "exit", "memory", "recursion") else "unfit"
        for name in RUBBISH
    }
    with broken(tmp_path, "rubbish") as here:
        reasons = {f"{name}.{code}" for name, code in expected.items()}
        wait_until(
            lambda: set(here.health()["reasons"]) == reasons, 20, "the spoilt checks are not said"
        )
        serving = worker(here).pid
        answer = here.call("GET", "/health")
        assert (answer.status, answer.body["overall_status"]) == (200, "degraded")
        assert {
            name for name, one in answer.body["checks"].items() if one["status"] != "ok"
        } == set(RUBBISH)
        strangers = str(here.health()) + str(here.call("GET", "/metrics", key=None).body)
        assert not any(secret in strangers for secret in ("hunter2", "/srv/secret", "db.internal"))
        assert "hunter2" not in str(answer.body)
        assert worker(here).pid == serving


def test_a_hundred_pollers_cause_not_one_run(tmp_path: Path):
    runs = tmp_path / "runs"
    with broken(tmp_path, "counted") as here:
        here.wait_for_health("healthy")
        alone = _runs_within(runs, 3)
        with polled(here.port, 100, pause_seconds=0.1) as pollers:
            polled_runs = _runs_within(runs, 3)
        assert len(pollers.bodies) > 600 and pollers.codes == {200} and not pollers.troubles
        assert polled_runs <= alone * 1.25 + 2


def _runs_within(runs: Path, seconds: float) -> int:
    before = runs.stat().st_size
    time.sleep(seconds)
    return runs.stat().st_size - before


REGEX = "import re; re.match('(a+)+$', 'a' * 40 + 'b')"


def test_a_command_that_never_lets_go_of_the_interpreter_slows_nobody(tmp_path: Path):
    here = Installation.create(tmp_path)
    command = [sys.executable, "-c", REGEX]
    checks = [{"name": "regex", "command": command, "interval_seconds": 1, "timeout_seconds": 2}]
    here.health_settings["check"] = checks
    here.configure()
    try:
        here.start("gateway", "runner")
        wait_until(lambda: listens(here.port), 20, "the gateway does not listen")
        wait_until(lambda: says(here, "own_regex.timed_out"), 20, "the endless command is not said")
        with polled(here.port, 20, pause_seconds=0.1) as pollers:
            time.sleep(3)
        assert pollers.quantile(0.5) < _PROMPT_SECONDS and not pollers.troubles
        assert {tuple(body["reasons"]) for body in pollers.bodies} == {("own_regex.timed_out",)}
    finally:
        here.stop()
    wait_until(lambda: not _running(REGEX), 5, "the endless command outlived its gateway")


def _running(text: str) -> list[psutil.Process]:
    return [one for one in psutil.process_iter(["cmdline"]) if text in (one.info["cmdline"] or [])]


_SLOW = (
    b"",
    b"GET /health HTTP/1.1\r\nHost: 127",
    b"POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\n{",
)


def test_slow_clients_do_not_keep_anybody_from_the_health_answer(tmp_path: Path):
    with broken(tmp_path, "counted") as here, ExitStack() as slow:
        here.wait_for_health("healthy")
        for number in range(200):
            connection = slow.enter_context(socket.create_connection(("127.0.0.1", here.port)))
            connection.sendall(_SLOW[number % 3])
        with polled(here.port, 10, pause_seconds=0.05) as pollers:
            time.sleep(3)
        assert len(pollers.bodies) > 100 and not pollers.troubles
        assert (
            pollers.quantile(0.95) < 1.0
        )  # all of them on a machine of its own: `make bench-health`


def test_three_hundred_polls_a_second_are_answered_while_patches_come_in(tmp_path: Path):
    with broken(tmp_path, "counted") as here:
        here.wait_for_health("healthy")
        refused: list[int] = []
        over = threading.Event()

        def send() -> None:
            while not over.is_set():
                status = here.call("POST", "/webhook", b"{}", seconds=5).status
                if status not in (400, 422):
                    refused.append(status)
                over.wait(0.02)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        with polled(here.port, 30, pause_seconds=0.1) as pollers:
            time.sleep(4)
        over.set()
        sender.join(10)
        assert pollers.codes == {200} and not pollers.troubles and not refused
        assert len(pollers.bodies) > 600  # of twelve hundred that a quiet machine takes
        assert (
            pollers.quantile(0.95) < 1.0
        )  # all of them on a machine of its own: `make bench-health`


def test_a_stopped_gateway_leaves_nothing_behind(tmp_path: Path):
    with broken(tmp_path, "hang_all") as here:
        family = psutil.Process(here.processes["gateway"].pid).children(recursive=True)
        here.processes["gateway"].send_signal(signal.SIGTERM)
        here.processes.pop("gateway").wait(20)
        wait_until(
            lambda: not any(one.is_running() and one.status() != "zombie" for one in family),
            5,
            "some stayed",
        )
