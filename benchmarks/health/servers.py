"""The measured servers: ours is the real installation, the peers run in their
own venv.
"""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmarks.health.peers.serving import PEERS
from tests.running import Installation, free_port, installed, listens, wait_until

ROOT = Path(__file__).parents[2]
PEERS_PYTHON = ROOT / ".venv-bench/bin/python"
HELPER = "gpt_cursor_runner.health.probes.disk_worker"
OURS = "ours"
_GONE = (psutil.NoSuchProcess, psutil.AccessDenied)


@dataclass(frozen=True)
class Server:
    """A listening server and the process at its root."""

    name: str
    port: int
    path: str
    pid: int

    def processes(self) -> list[psutil.Process]:
        root = psutil.Process(self.pid)
        return [root, *root.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """CPU time used by the server, its worker and its helper processes."""
        total = 0.0
        for process in self.processes():
            try:
                times = process.cpu_times()
            except _GONE:
                continue
            total += times.user + times.system
        return total

    def answers_after(self, limit: float) -> float:
        """Seconds until one request is answered, or the limit."""
        began = time.monotonic()
        while (waited := time.monotonic() - began) < limit:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit - waited)
            try:
                connection.request("GET", self.path)
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                time.sleep(0.01)
            else:
                return time.monotonic() - began
            finally:
                connection.close()
        return limit


def ours(installation: Installation) -> Server:
    return Server(OURS, installation.port, "/health", installation.processes["gateway"].pid)


def helper_of(pid: int) -> psutil.Process:
    """The process that tests the disk for the gateway that was started as
    `pid`, or under it.
    """
    below = psutil.Process(pid).children(recursive=True)
    return next(child for child in below if HELPER in " ".join(child.cmdline()))


def worker_of(pid: int) -> psutil.Process:
    """The serving process: its child tests the disk."""
    worker = helper_of(pid).parent()
    if worker is None:
        raise psutil.NoSuchProcess(pid)
    return worker


@dataclass
class Fleet:
    """All servers, up at once. A peer that is too busy with abandoned requests
    is
    restarted.
    """

    place: Path
    installation: Installation
    servers: dict[str, Server] = field(default_factory=dict)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        port = free_port()
        environment = os.environ | {
            "BENCH_PLACE": str(self.place),
            "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}",
        }
        command = [str(PEERS_PYTHON), "-m", "benchmarks.health.peers.serving", name, str(port)]
        with (self.place / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        self._processes[name] = process
        self.servers[name] = Server(name, port, PEERS[name][1], process.pid)
        wait_until(lambda: listens(port), f"{name} does not listen; see {self.place / name}.log")

    def restart(self, name: str) -> None:
        self.end(name)
        self.start(name)

    def end(self, name: str) -> None:
        process = self._processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def end_all(self) -> None:
        for name in list(self._processes):
            self.end(name)


@contextmanager
def fleet(place: Path, names: Sequence[str] = tuple(PEERS)) -> Iterator[Fleet]:
    """Ours (gateway and runner, healthy) and these peers; all are ended after
    the block.
    """
    if not PEERS_PYTHON.exists():
        raise SystemExit("the peers' venv is not there\nnext: make bench-health")
    with installed(place / OURS, "gateway", "runner") as installation:
        made = Fleet(place, installation, {OURS: ours(installation)})
        try:
            for name in names:
                made.start(name)
            yield made
        finally:
            made.end_all()
