"""An installation for tests: real gateway and runner processes on a free
port, over a real repository.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from gpt_cursor_runner.ledger.ledger import Ledger
from tests.building import Repo, make_ledger

PASSING_CHECK = {"name": "tests", "command": [sys.executable, "-c", "pass"]}

# Long enough for a machine that is busy with other work; the benchmarks measure
# the real durations.
_WAIT_SECONDS = 60.0
_ENDED = ("landed", "rejected", "failed", "previewed", "cancelled", "held")


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass
class Installation:
    """A state directory, a settings file and a repository, with the processes
    that a test starts and kills.
    """

    directory: Path
    repo: Repo
    port: int
    key: str
    ops_port: int = 0
    health_settings: dict[str, Any] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def create(cls, directory: Path, **repository: Any) -> Installation:
        repo = Repo.create(directory / "app")
        ledger = make_ledger(directory / "state")
        _, key = ledger.keys.create("a test", ["submit", "read", "approve"], time.time())
        ledger.close()
        installation = cls(directory, repo, free_port(), key, free_port())
        installation.configure(**repository)
        return installation

    def configure(self, **repository: Any) -> None:
        """Write runner.toml again, with these settings of its [[repository]]."""
        repository_settings = {
            "name": "app",
            "path": str(self.repo.path),
            "checks": [PASSING_CHECK],
            "sandbox": "none",
        } | repository
        health_settings = {"ops_port": self.ops_port} | self.health_settings
        lines = ["[server]", f"port = {self.port}"]
        lines += ["[state]", f"dir = {json.dumps(str(self.directory / 'state'))}"]
        lines += ["[health]", *_toml_lines(health_settings)]
        lines += ["[[repository]]", *_toml_lines(repository_settings)]
        self.config.write_text("\n".join(lines) + "\n")

    def configure_also(self, repo: Repo, **repository: Any) -> None:
        """Add another [[repository]] to runner.toml."""
        settings = {"path": str(repo.path), "sandbox": "none"} | repository
        lines = ["[[repository]]", *_toml_lines(settings)]
        with self.config.open("a") as file:
            file.write("\n".join(lines) + "\n")

    @property
    def config(self) -> Path:
        return self.directory / "runner.toml"

    def ledger(self) -> Ledger:
        return make_ledger(self.directory / "state")

    def start(self, *names: str) -> None:
        """Start `gateway`, `runner` or `up`."""
        for name in names:
            log = (self.directory / f"{name}.log").open("ab")
            command = [
                sys.executable,
                "-m",
                "gpt_cursor_runner",
                name,
                "--config",
                str(self.config),
            ]
            self.processes[name] = subprocess.Popen(
                command, stdout=log, stderr=log, start_new_session=True
            )
            log.close()

    def kill(self, name: str) -> None:
        """Send SIGKILL to the process, and not to its children."""
        self.processes[name].kill()
        self.processes.pop(name).wait()

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self.processes.clear()

    def call(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        seconds: float = 40,
        key: str | None = "",
    ) -> Reply:
        """Send a request with the installation's key, another key, or none
        (None). A body that is not bytes is sent as JSON.
        """
        sent_headers = {}
        if body is not None:
            sent_headers["Content-Type"] = "application/json"
        if key == "":
            key = self.key
        if key:
            sent_headers["Authorization"] = f"Bearer {key}"
        sent_headers |= headers or {}
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, body, sent_headers)
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        is_json = "json" in answer.headers.get("Content-Type", "")
        reply_body = json.loads(text) if is_json else text.decode()
        return Reply(answer.status, reply_body, dict(answer.headers))

    def health(self) -> dict[str, Any]:
        body: dict[str, Any] = self.call("GET", "/health", key=None, seconds=10).body
        return body

    def answers(self) -> bool:
        """Whether `/health` is answered, with any status."""
        try:
            return bool(self.health())
        except (OSError, http.client.HTTPException):
            return False

    def wait_for_health(self, overall_status: str) -> None:
        try:
            wait_until(
                lambda: self._has_overall_status(overall_status),
                f"health never became {overall_status}",
            )
        except AssertionError as failed:
            body = self.health() if self.answers() else "no answer"
            raise AssertionError(f"{failed}: {body}") from failed

    def wait_until_ended(self, patch_id: str) -> dict[str, Any]:
        ledger = self.ledger()
        try:
            wait_until(
                lambda: ledger.queries.get(patch_id).status in _ENDED, f"{patch_id} did not end"
            )
            return ledger.queries.get(patch_id).to_json()
        finally:
            ledger.close()

    def _has_overall_status(self, status: str) -> bool:
        try:
            return bool(self.health()["overall_status"] == status)
        except (OSError, http.client.HTTPException):
            return False


@contextmanager
def installed(directory: Path, *names: str, **repository: Any) -> Iterator[Installation]:
    """An installation with these processes running, healthy when both are; they
    are ended after the block.
    """
    installation = Installation.create(directory, **repository)
    try:
        installation.start(*names)
        if "up" in names or {"gateway", "runner"} <= set(names):
            installation.wait_for_health("healthy")
        elif "gateway" in names:
            wait_until(lambda: listens(installation.port), "the gateway does not listen")
        yield installation
    finally:
        installation.stop()


def wait_until(condition: Callable[[], bool], failure: str) -> None:
    """Wait for a condition; raise AssertionError with `failure` when it stays
    false.
    """
    give_up_at = time.monotonic() + _WAIT_SECONDS
    while not condition():
        if time.monotonic() > give_up_at:
            raise AssertionError(failure)
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process still runs. An orphan stays a zombie until init reaps
    it, and some inits never do.
    """
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def free_port() -> int:
    """A free port below the system's ephemeral range: one within it can become
    the source port of a connection before the gateway binds it.
    """
    while True:
        port = random.randrange(15_000, 32_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _toml_lines(settings: Mapping[str, object]) -> list[str]:
    return [f"{name} = {_toml(value)}" for name, value in settings.items()]


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(_toml_lines(value)) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
