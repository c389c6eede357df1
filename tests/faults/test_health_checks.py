"""Checks that hang, raise, return rubbish or hold the interpreter's lock, in
the real gateway under the real server.

No time is asserted here: a request that waited for a check that hangs would get
no answer at all. `make bench-health` measures the times.
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
    children = psutil.Process(here.processes["gateway"].pid).children()
    (serving,) = [child for child in children if child.num_threads() > 10]
    return serving


def reports(here: Installation, *reasons: str) -> bool:
    """Whether the reasons are these; False while the gateway does not answer."""
    try:
        return bool(here.health()["reasons"] == list(reasons))
    except OSError:
        return False


def not_ok(checks: dict[str, Any]) -> set[str]:
    return {name for name, check in checks.items() if check["status"] != "ok"}


def test_a_check_that_hangs_is_late_and_delays_no_answer(tmp_path: Path):
    with broken(tmp_path, "hang_one") as here:
        wait_until(lambda: reports(here, "runner.late"), 20, "the hanging check is not late")
        with polled(here.port, 50, pause_seconds=0.2) as pollers:
            pollers.wait_for(300)
        assert not pollers.troubles and pollers.codes == {200}
        assert all("runner.late" in body["reasons"] for body in pollers.bodies)
        wait_until(lambda: _stuck_seconds(here) > 4, 20, "the check is not stuck")
        wait_until(lambda: not_ok(checks_of(here)) == {"runner"}, 20, "other checks fail too")


def _stuck_seconds(here: Installation) -> float:
    return float(checks_of(here)["runner"]["stuck_for_seconds"])


def test_checks_that_all_hang_cost_one_thread_each_and_no_answer(tmp_path: Path):
    with broken(tmp_path, "hang_all") as here:
        wait_until(lambda: here.health()["overall_status"] == "unknown", 20, "no check is late")
        with polled(here.port, 20, pause_seconds=0) as pollers:
            pollers.wait_for(2000)
        assert not pollers.troubles and pollers.codes == {503}
        # The server may have 64 threads, and each check has one.
        assert worker(here).num_threads() < 120
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


def test_a_dead_monitor_is_an_error_and_not_its_last_status(tmp_path: Path):
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
        # A supervisor restarts the gateway after thirty seconds of silence.
        assert here.call("GET", "/livez", key=None).status == 200


def test_a_gateway_that_continues_after_a_stop_does_not_replay_its_last_status(tmp_path: Path):
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
            lambda: set(here.health()["reasons"]) == reasons, 20, "the rubbish is not reported"
        )
        serving = worker(here).pid
        answer = here.call("GET", "/health")
        assert (answer.status, answer.body["overall_status"]) == (200, "degraded")
        assert not_ok(answer.body["checks"]) == set(RUBBISH)
        public = str(here.health()) + str(here.call("GET", "/metrics", key=None).body)
        assert not any(secret in public for secret in ("hunter2", "/srv/secret", "db.internal"))
        assert "hunter2" not in str(answer.body)
        assert worker(here).pid == serving


def test_a_hundred_pollers_cause_not_one_run(tmp_path: Path):
    runs = tmp_path / "runs"
    with broken(tmp_path, "counted") as here:
        here.wait_for_health("healthy")
        checks = len(checks_of(here))
        began_at, before = time.monotonic(), runs.stat().st_size
        with polled(here.port, 100, pause_seconds=0.1) as pollers:
            pollers.wait_for(600)
        counted, seconds = runs.stat().st_size - before, time.monotonic() - began_at
    assert pollers.codes == {200} and not pollers.troubles
    # The shortest interval of a check is half a second. A machine under load
    # runs them less often, and never more often.
    assert counted <= checks * (2 * seconds + 2)


REGEX = "import re; re.match('(a+)+$', 'a' * 40 + 'b')"


def test_a_command_that_holds_its_interpreter_delays_no_answer(tmp_path: Path):
    here = Installation.create(tmp_path)
    command = [sys.executable, "-c", REGEX]
    checks = [{"name": "regex", "command": command, "interval_seconds": 1, "timeout_seconds": 2}]
    here.health_settings["check"] = checks
    here.configure()
    try:
        here.start("gateway", "runner")
        wait_until(lambda: listens(here.port), 20, "the gateway does not listen")
        wait_until(
            lambda: reports(here, "own_regex.timed_out"), 20, "the endless command did not time out"
        )
        with polled(here.port, 20, pause_seconds=0.1) as pollers:
            pollers.wait_for(300)
        # Inside the gateway the expression would hold the interpreter, and no
        # poll would be answered.
        assert not pollers.troubles and pollers.codes == {200}
        assert all("own_regex.timed_out" in body["reasons"] for body in pollers.bodies)
    finally:
        here.stop()
    wait_until(lambda: not _running(REGEX), 5, "the endless command outlived its gateway")


def _running(text: str) -> list[psutil.Process]:
    processes = psutil.process_iter(["cmdline"])
    return [process for process in processes if text in (process.info["cmdline"] or [])]


_SLOW = (
    b"",
    b"GET /health HTTP/1.1\r\nHost: 127",
    b"POST /webhook HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 900\r\n\r\n{",
)


def test_slow_clients_keep_no_other_client_from_the_health_answer(tmp_path: Path):
    with broken(tmp_path, "counted") as here, ExitStack() as slow:
        here.wait_for_health("healthy")
        for number in range(200):
            connection = slow.enter_context(socket.create_connection(("127.0.0.1", here.port)))
            connection.sendall(_SLOW[number % 3])
        with polled(here.port, 10, pause_seconds=0.05) as pollers:
            pollers.wait_for(200)
        assert not pollers.troubles and pollers.codes == {200}


def test_polls_are_answered_while_patches_arrive(tmp_path: Path):
    with broken(tmp_path, "counted") as here:
        here.wait_for_health("healthy")
        refused: list[int] = []
        over = threading.Event()

        def send() -> None:
            while not over.is_set():
                status = here.call("POST", "/webhook", b"{}", seconds=60).status
                if status not in (400, 422):
                    refused.append(status)
                over.wait(0.02)

        sender = threading.Thread(target=send, daemon=True)
        sender.start()
        with polled(here.port, 30, pause_seconds=0.1) as pollers:
            pollers.wait_for(600)
        over.set()
        sender.join(60)
        assert pollers.codes == {200} and not pollers.troubles and not refused


def test_a_stopped_gateway_leaves_nothing_behind(tmp_path: Path):
    with broken(tmp_path, "hang_all") as here:
        family = psutil.Process(here.processes["gateway"].pid).children(recursive=True)
        here.processes["gateway"].send_signal(signal.SIGTERM)
        here.processes.pop("gateway").wait(20)
        wait_until(lambda: not any(map(_is_alive, family)), 5, "a process stayed")


def _is_alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
