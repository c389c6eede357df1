"""Checks that hang, raise, return rubbish or hold the interpreter's lock, in
the real gateway under the real server. No elapsed time is asserted: a request
that waited for a check that hangs would never be answered. `make bench-health`
measures the times.
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


@contextmanager
def broken(place: Path, fault: str) -> Iterator[Installation]:
    """A gateway whose checks have this fault, and a runner."""
    installation = Installation.create(place)
    variables = {
        "GCR_CONFIG": str(installation.config),
        "GATEWAY_FAULT": fault,
        "HEALTH_RUNS": str(place / "runs"),
    }
    log = (place / "gateway.log").open("ab")
    try:
        installation.start("runner")
        installation.processes["gateway"] = subprocess.Popen(
            [sys.executable, "-c", _SERVE.format(port=installation.port)],
            env={**os.environ, **variables, "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        wait_until(lambda: listens(installation.port), "the gateway does not listen")
        yield installation
    finally:
        log.close()
        installation.stop()


def checks_of(installation: Installation) -> dict[str, Any]:
    body = installation.call("GET", "/health").body
    return dict(body.get("checks", {}))


def worker(installation: Installation) -> psutil.Process:
    """The process that serves: the child of granian's main."""
    children = psutil.Process(installation.processes["gateway"].pid).children()
    (serving,) = [child for child in children if child.num_threads() > 10]
    return serving


def reports(installation: Installation, *reasons: str) -> bool:
    """Whether the reasons are these; False while the gateway does not answer."""
    try:
        return bool(installation.health()["reasons"] == list(reasons))
    except OSError:
        return False


def not_ok(checks: dict[str, Any]) -> set[str]:
    return {name for name, check in checks.items() if check["status"] != "ok"}


def test_a_check_that_hangs_is_late_and_delays_no_answer(tmp_path: Path):
    with broken(tmp_path, "hang_one") as installation:
        wait_until(lambda: reports(installation, "runner.late"), "the hanging check is not late")
        with polled(installation.port, 50, pause_seconds=0.2) as pollers:
            pollers.wait_for(300)
        assert not pollers.troubles and pollers.codes == {200}
        assert all("runner.late" in body["reasons"] for body in pollers.bodies)
        wait_until(lambda: _stuck_seconds(installation) > 4, "the check is not stuck")
        wait_until(lambda: not_ok(checks_of(installation)) == {"runner"}, "other checks fail too")


def _stuck_seconds(installation: Installation) -> float:
    return float(checks_of(installation)["runner"]["stuck_for_seconds"])


def test_checks_that_all_hang_take_one_thread_each_and_delay_no_answer(tmp_path: Path):
    with broken(tmp_path, "hang_all") as installation:
        wait_until(lambda: installation.health()["overall_status"] == "unknown", "no check is late")
        with polled(installation.port, 20, pause_seconds=0) as pollers:
            pollers.wait_for(2000)
        assert not pollers.troubles and pollers.codes == {503}
        # The server may have 64 threads, and each check has one.
        assert worker(installation).num_threads() < 120
        statuses = [
            installation.call("GET", path, key=None).status
            for path in ("/livez", "/readyz", "/startupz", "/metrics")
        ]
        assert statuses == [200, 503, 503, 200]


def test_a_check_that_hangs_after_a_good_run_ends_healthy(tmp_path: Path):
    with broken(tmp_path, "hang_later") as installation:
        installation.wait_for_health("healthy")
        wait_until(
            lambda: installation.health()["overall_status"] == "unknown",
            "the hanging check still counts as ok",
        )
        assert installation.health()["reasons"] == ["queue.late"]


def test_a_dead_monitor_is_an_error_and_not_its_last_status(tmp_path: Path):
    with broken(tmp_path, "kill_tick") as installation:
        installation.wait_for_health("healthy")
        wait_until(
            lambda: installation.health()["overall_status"] == "error",
            "a dead monitor still counts as ok",
        )
        answer = installation.call("GET", "/health", key=None)
        assert (answer.status, answer.body["reasons"][0], answer.body["ready"]) == (
            503,
            "health_engine.stale",
            False,
        )
        # A supervisor restarts the gateway after thirty seconds of silence.
        assert installation.call("GET", "/livez", key=None).status == 200


def test_a_suspended_gateway_does_not_replay_its_last_status(tmp_path: Path):
    with broken(tmp_path, "counted") as installation:
        installation.wait_for_health("healthy")
        serving = worker(installation)
        serving.suspend()
        time.sleep(5.5)
        serving.resume()
        first = installation.health()
        assert first["age_ms"] < first["max_age_ms"] or first["overall_status"] in (
            "unknown",
            "error",
        )
        installation.wait_for_health("healthy")


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


def test_checks_that_raise_or_return_rubbish_affect_only_themselves(tmp_path: Path):
    expected = dict.fromkeys(RUBBISH, "unfit")
    expected |= dict.fromkeys(("error", "exit", "memory", "recursion"), "raised")
    with broken(tmp_path, "rubbish") as installation:
        reasons = {f"{name}.{code}" for name, code in expected.items()}
        wait_until(
            lambda: set(installation.health()["reasons"]) == reasons, "the rubbish is not reported"
        )
        serving = worker(installation).pid
        answer = installation.call("GET", "/health")
        assert (answer.status, answer.body["overall_status"]) == (200, "degraded")
        assert not_ok(answer.body["checks"]) == set(RUBBISH)
        public = str(installation.health()) + str(
            installation.call("GET", "/metrics", key=None).body
        )
        assert not any(secret in public for secret in ("hunter2", "/srv/secret", "db.internal"))
        assert "hunter2" not in str(answer.body)
        assert worker(installation).pid == serving


def test_a_hundred_pollers_cause_no_run(tmp_path: Path):
    runs = tmp_path / "runs"
    with broken(tmp_path, "counted") as installation:
        installation.wait_for_health("healthy")
        checks = len(checks_of(installation))
        began_at, before = time.monotonic(), runs.stat().st_size
        with polled(installation.port, 100, pause_seconds=0.1) as pollers:
            pollers.wait_for(600)
        counted, seconds = runs.stat().st_size - before, time.monotonic() - began_at
    assert pollers.codes == {200} and not pollers.troubles
    # The shortest interval of a check is half a second. A machine under load
    # runs them less often, and never more often.
    assert counted <= checks * (2 * seconds + 2)


REGEX = "import re; re.match('(a+)+$', 'a' * 40 + 'b')"


def test_a_command_that_holds_its_interpreter_delays_no_answer(tmp_path: Path):
    installation = Installation.create(tmp_path)
    command = [sys.executable, "-c", REGEX]
    checks = [{"name": "regex", "command": command, "interval_seconds": 1, "timeout_seconds": 2}]
    installation.health_settings["check"] = checks
    installation.configure()
    try:
        installation.start("gateway", "runner")
        wait_until(lambda: listens(installation.port), "the gateway does not listen")
        wait_until(
            lambda: reports(installation, "own_regex.timed_out"),
            "the endless command did not time out",
        )
        with polled(installation.port, 20, pause_seconds=0.1) as pollers:
            pollers.wait_for(300)
        # Inside the gateway the expression would hold the interpreter, and no
        # poll would be answered.
        assert not pollers.troubles and pollers.codes == {200}
        assert all("own_regex.timed_out" in body["reasons"] for body in pollers.bodies)
    finally:
        installation.stop()
    wait_until(lambda: not _running(REGEX), "the endless command outlived its gateway")


def _running(text: str) -> list[psutil.Process]:
    processes = psutil.process_iter(["cmdline"])
    return [process for process in processes if text in (process.info["cmdline"] or [])]


_SLOW = (
    b"",
    b"GET /health HTTP/1.1\r\nHost: 127",
    b"POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\n{",
)


def test_slow_clients_do_not_block_the_health_answer_of_others(tmp_path: Path):
    with broken(tmp_path, "counted") as installation, ExitStack() as slow:
        installation.wait_for_health("healthy")
        for number in range(200):
            connection = slow.enter_context(
                socket.create_connection(("127.0.0.1", installation.port))
            )
            connection.sendall(_SLOW[number % 3])
        with polled(installation.port, 10, pause_seconds=0.05) as pollers:
            pollers.wait_for(200)
        assert not pollers.troubles and pollers.codes == {200}


def test_polls_are_answered_while_patches_arrive(tmp_path: Path):
    with broken(tmp_path, "counted") as installation:
        installation.wait_for_health("healthy")
        refused: list[int] = []
        over = threading.Event()

        def send() -> None:
            while not over.is_set():
                status = installation.call("POST", "/webhook", b"{}", seconds=60).status
                if status not in (400, 422):
                    refused.append(status)
                over.wait(0.02)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        with polled(installation.port, 30, pause_seconds=0.1) as pollers:
            pollers.wait_for(600)
        over.set()
        sender.join(60)
        assert pollers.codes == {200} and not pollers.troubles and not refused


def test_a_stopped_gateway_leaves_nothing_behind(tmp_path: Path):
    with broken(tmp_path, "hang_all") as installation:
        family = psutil.Process(installation.processes["gateway"].pid).children(recursive=True)
        installation.processes["gateway"].send_signal(signal.SIGTERM)
        installation.processes.pop("gateway").wait(20)
        wait_until(lambda: not any(map(_is_alive, family)), "a process stayed")


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
