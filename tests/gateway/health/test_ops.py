"""The ops listener: by itself, and beside a main port that is busy or on its
way out.
"""

from __future__ import annotations

import errno
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gpt_cursor_runner.gateway.guard import PERMITS
from gpt_cursor_runner.gateway.health import ops
from gpt_cursor_runner.gateway.health.ops import OpsListener
from gpt_cursor_runner.gateway.serve import BLOCKING_THREADS
from tests.building import patch_body
from tests.running import Installation, free_port, listens, wait_until

ROOT = Path(__file__).parents[3]


def hello(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", "2")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"{}"]


@contextmanager
def listening(port: int, application: Any = hello) -> Iterator[OpsListener]:
    listener = OpsListener(application, port)
    listener.start()
    try:
        yield listener
    finally:
        listener.close()


def wait_for(listener: OpsListener, state: str) -> None:
    wait_until(lambda: listener.state() == state, f"it is not {state}")


def ask(port: int, path: str = "/", method: str = "GET", seconds: float = 30) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=seconds)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_it_answers_on_loopback_and_can_start_again_at_once():
    port = free_port()
    for _ in range(3):
        with listening(port) as listener:
            wait_for(listener, "listening")
            assert ask(port) == (200, b"{}") and ask(port, method="HEAD") == (200, b"")
        assert not listens(port)


def test_a_connection_left_open_delays_neither_the_end_nor_the_next_start(monkeypatch):
    monkeypatch.setattr(ops, "_IDLE_SECONDS", 3600)
    port = free_port()
    with listening(port) as listener:
        wait_for(listener, "listening")
        with socket.create_connection(("127.0.0.1", port)):
            listener.close()
            wait_until(lambda: not listens(port), "it still listens")
            with listening(port) as following:
                wait_for(following, "listening")


def test_a_port_that_is_taken_is_reported_and_retried(monkeypatch):
    monkeypatch.setattr(ops, "_RETRY_SECONDS", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        listener = OpsListener(hello, port)
        listener.start()
        wait_for(listener, "unavailable")
        trouble = listener.trouble
    wait_for(listener, "listening")
    assert (ask(port), trouble, listener.trouble) == (
        (200, b"{}"),
        os.strerror(errno.EADDRINUSE),
        None,
    )
    listener.close()


def test_slow_clients_hold_no_thread(monkeypatch):
    monkeypatch.setattr(ops, "_IDLE_SECONDS", 3600)
    port = free_port()
    with listening(port) as listener, ExitStack() as held:
        wait_for(listener, "listening")
        for _ in range(60):
            slow = held.enter_context(socket.create_connection(("127.0.0.1", port)))
            slow.sendall(b"GET / HTTP/1.1\r\nHost: loc")
        assert ask(port)[0] == 200


@dataclass
class Served:
    """A gateway process with a slow route, and its ports."""

    installation: Installation
    ops_port: int
    done: Path
    process: subprocess.Popen[bytes]

    def ops(self, path: str) -> tuple[int, dict[str, Any]]:
        status, body = ask(self.ops_port, path)
        answer: dict[str, Any] = json.loads(body)
        return status, answer

    def reasons(self) -> list[str]:
        reasons: list[str] = self.ops("/health")[1]["reasons"]
        return reasons


@contextmanager
def serving(place: Path) -> Iterator[Served]:
    installation, ops_port, done = Installation.create(place), free_port(), place / "done"
    settings = {"GCR_CONFIG": str(installation.config), "GCR_HEALTH__OPS_PORT": str(ops_port)}
    settings |= {"SLOW_UNTIL": str(done), "SLOW_PORT": str(installation.port)}
    with (place / "gateway.log").open("wb") as log:
        command = [sys.executable, "-m", "tests.gateway.slow_gateway"]
        process = subprocess.Popen(
            command, env={**os.environ, **settings}, cwd=ROOT, stdout=log, stderr=log
        )
    try:
        wait_until(
            lambda: listens(installation.port) and listens(ops_port),
            "the gateway does not listen",
        )
        served = Served(installation, ops_port, done, process)
        wait_until(lambda: served.reasons() == ["runner.down"], "the gateway does not start")
        yield served
    finally:
        done.touch()
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def started(work: Callable[[], object], count: int) -> list[threading.Thread]:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_the_ops_listener_answers_while_every_thread_of_the_main_port_is_busy(tmp_path):
    with serving(tmp_path) as gateway:
        slow = started(lambda: gateway.installation.call("GET", "/slow"), BLOCKING_THREADS)
        wait_until(
            lambda: "web.web_saturated" in gateway.reasons(),
            "the busy threads are not reported",
        )
        status, body = gateway.ops("/health")
        assert (status, body["overall_status"]) == (503, "unknown")
        assert gateway.ops("/readyz")[0] == 503 and gateway.ops("/livez")[0] == 200
        with pytest.raises(TimeoutError):
            gateway.installation.call("GET", "/health", key=None, seconds=0.5)
        gateway.done.touch()
        for thread in slow:
            thread.join()
        wait_until(lambda: gateway.reasons() == ["runner.down"], "it did not recover")
        assert gateway.installation.call("GET", "/readyz", key=None).status == 200


def test_the_ops_listener_answers_as_the_main_port_does(tmp_path):
    with serving(tmp_path) as gateway:
        for path in (
            "/health",
            "/health?http=200",
            "/livez?nonce=n",
            "/readyz",
            "/startupz",
            "/metrics",
            "/nowhere",
        ):
            for method in ("GET", "HEAD"):
                main = (
                    gateway.installation.call(method, path, key=None) if method == "GET" else None
                )
                status, body = ask(gateway.ops_port, path, method)
                assert (body == b"") is (method == "HEAD")
                assert main is None or status == main.status, path
        wrong = http.client.HTTPConnection("127.0.0.1", gateway.ops_port, timeout=5)
        wrong.request("GET", "/health", headers={"Host": "evil.example"})
        assert wrong.getresponse().status == 400
        wrong.close()


def test_a_gateway_that_is_stopped_reports_draining_and_finishes_requests_in_flight(tmp_path):
    with serving(tmp_path) as gateway:
        in_flight(gateway)
        assert gateway.process.wait(60) == 0


def is_in_flight(gateway: Served) -> bool:
    check = gateway.installation.call("GET", "/health/checks/webhook").body
    return bool(check["data"]["permits_free"] < PERMITS)


def in_flight(gateway: Served) -> None:
    body = json.dumps(patch_body(id="in-flight")).encode()
    lines = [
        "POST /webhook HTTP/1.1",
        f"Host: 127.0.0.1:{gateway.installation.port}",
        f"Authorization: Bearer {gateway.installation.key}",
    ]
    lines += ["Content-Type: application/json", f"Content-Length: {len(body)}", "", ""]
    with socket.create_connection(
        ("127.0.0.1", gateway.installation.port), timeout=60
    ) as connection:
        connection.sendall("\r\n".join(lines).encode() + body[:10])
        wait_until(lambda: is_in_flight(gateway), "the request is not read")
        gateway.process.send_signal(signal.SIGTERM)
        wait_until(
            lambda: "gateway.draining" in gateway.ops("/readyz")[1]["reasons"],
            "draining is not reported",
        )
        assert gateway.ops("/readyz")[0] == 503 and gateway.ops("/livez")[0] == 200
        connection.sendall(body[10:])
        assert connection.recv(65536).split(b" ")[1] == b"202"
