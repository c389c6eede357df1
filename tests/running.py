"""A whole installation for tests: real gateway and runner processes on a free
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

_LEAST_WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Reply:
    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass
class Installation:
    """One state directory, one settings file, one repository; processes are
    started and killed at will.
    """

    place: Path
    repo: Repo
    port: int
    key: str
    ops_port: int = 0
    health_settings: dict[str, Any] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @classmethod
    def create(cls, place: Path, **repository: Any) -> Installation:
        repo = Repo.create(place / "app")
        port = free_port()
        ledger = make_ledger(place / "state")
        _, key = ledger.keys.create("a test", ["submit", "read", "approve"], time.time())
        ledger.close()
        made = cls(place, repo, port, key, free_port())
        made.configure(**repository)
        return made

    def configure(self, **repository: Any) -> None:
        """Write runner.toml anew; the members are those of its one
        [[repository]].
        """
        said = {
            "name": "app",
            "path": str(self.repo.path),
            "checks": [PASSING_CHECK],
            "sandbox": "none",
        } | repository
        lines = [
            "[server]",
            f"port = {self.port}",
            "[state]",
            f"dir = {json.dumps(str(self.place / 'state'))}",
        ]
        health = {"ops_port": self.ops_port} | self.health_settings
        lines += ["[health]", *(f"{name} = {_toml(value)}" for name, value in health.items())]
        lines += ["[[repository]]", *(f"{name} = {_toml(value)}" for name, value in said.items())]
        self.config.write_text("\n".join(lines) + "\n")

    @property
    def config(self) -> Path:
        return self.place / "runner.toml"

    def ledger(self) -> Ledger:
        return make_ledger(self.place / "state")

    def start(self, *names: str) -> None:
        """Start `gateway`, `runner` or `up`."""
        for name in names:
            log = (self.place / f"{name}.log").open("ab")
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
        """kill -9 of the process and of nothing else."""
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
        """One request with the installation's key; a body that is not bytes is
        sent as JSON.
        """
        said = {"Content-Type": "application/json"} if body is not None else {}
        key = self.key if key == "" else key
        said |= {"Authorization": f"Bearer {key}"} if key else {}
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=seconds)
        try:
            connection.request(method, path, data, {**said, **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        is_json = "json" in (answer.headers["Content-Type"] or "")
        return Reply(
            answer.status, json.loads(text) if is_json else text.decode(), dict(answer.headers)
        )

    def health(self) -> dict[str, Any]:
        body: dict[str, Any] = self.call("GET", "/health", key=None, seconds=10).body
        return body

    def answers(self) -> bool:
        """Whether `/health` is answered, whatever it says."""
        try:
            return bool(self.health())
        except (OSError, http.client.HTTPException):
            return False

    def wait_for_health(self, word: str, seconds: float = 20) -> float:
        """How long it took until `/health` said the word."""
        began = time.monotonic()
        wait_until(lambda: self._says(word), seconds, f"health never said {word}")
        return time.monotonic() - began

    def wait_until_ended(self, patch_id: str, seconds: float = 30) -> dict[str, Any]:
        ledger = self.ledger()
        ended = ("landed", "rejected", "failed", "previewed", "cancelled", "held")
        try:
            wait_until(
                lambda: ledger.queries.get(patch_id).status in ended,
                seconds,
                f"{patch_id} did not end",
            )
            return ledger.queries.get(patch_id).to_json()
        finally:
            ledger.close()

    def _says(self, word: str) -> bool:
        try:
            said: str = self.health()["overall_status"]
            return said == word
        except (OSError, http.client.HTTPException):
            return False


@contextmanager
def installed(place: Path, *names: str, **repository: Any) -> Iterator[Installation]:
    """An installation with these processes running, healthy when both are; all
    ended afterwards.
    """
    made = Installation.create(place, **repository)
    try:
        made.start(*names)
        if "up" in names or {"gateway", "runner"} <= set(names):
            made.wait_for_health("healthy")
        elif "gateway" in names:
            wait_until(lambda: listens(made.port), 20, "the gateway does not listen")
        yield made
    finally:
        made.stop()


def wait_until(is_so: Callable[[], bool], seconds: float, otherwise: str) -> None:
    """Wait for a condition; on a machine that may be busy with other work, so
    never less than a minute. Figures are measured by the benchmarks.
    """
    give_up_at = time.monotonic() + max(seconds, _LEAST_WAIT_SECONDS)
    while not is_so():
        if time.monotonic() > give_up_at:
            raise AssertionError(otherwise)
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    """Whether a process still runs. An orphan stays a zombie until init looks,
    and some inits never do.
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


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
