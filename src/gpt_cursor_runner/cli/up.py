"""`gcr up`: runs gateway and runner together, and restarts one that dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from gpt_cursor_runner.cli.client import Client
from gpt_cursor_runner.cli.gateway import require_key, require_working_sinks
from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.config import Config, export, export_last_valid, find_config
from gpt_cursor_runner.gateway.serve import PortTaken, refuse_taken_port
from gpt_cursor_runner.system import processes
from gpt_cursor_runner.system.supervision import event_at_signals

_READY_SECONDS = 30.0
# How long the greeting waits for a healthy answer before it reports another.
_SETTLE_SECONDS = 5.0
_STOP_SECONDS = 20.0
_POLL_SECONDS = 0.2
_FIRST_BACKOFF_SECONDS = 0.2
_LONGEST_BACKOFF_SECONDS = 30.0
# A process that lived this long starts over with the first back-off.
_STEADY_SECONDS = 30.0


@dataclass
class Child:
    """A supervised process. The back-off before a restart doubles while it
    keeps dying.
    """

    name: str
    command: list[str]
    output: Path
    process: processes.Child | None = None
    _backoff_seconds: float = _FIRST_BACKOFF_SECONDS
    _start_at: float = 0.0

    def keep_alive(self, now: float) -> str | None:
        """Start the process when it is due. Returns a message when it has died."""
        if self.process is None:
            self._start_when_due(now)
            return None
        exit_code = self.process.poll()
        if exit_code is not None:
            return self._schedule_restart(now, exit_code)
        if now - self._start_at > _STEADY_SECONDS:
            self._backoff_seconds = _FIRST_BACKOFF_SECONDS
        return None

    def end(self) -> None:
        """Stop the process: politely first, by force after a deadline."""
        if self.process is None:
            return
        # Not end_group: the leader ends its own workers, in order.
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _schedule_restart(self, now: float, exit_code: int) -> str:
        pause = self._backoff_seconds
        self.process = None
        self._start_at = now + pause
        self._backoff_seconds = min(pause * 2, _LONGEST_BACKOFF_SECONDS)
        ending = f"{self.name} ended ({_exit_text(exit_code)})"
        return f"{ending}; restarting it in {pause:.1f} s. See {self.output.parent}"

    def _start_when_due(self, now: float) -> None:
        if now >= self._start_at:
            self._start(now)

    def _start(self, now: float) -> None:
        with self.output.open("ab") as output:
            # A session of its own: Ctrl-C reaches this process alone, which
            # then ends its children in order.
            self.process = processes.start(self.command, stdout=output, stderr=output)
        self._start_at = now


@command("up")
@click.option(
    "--insecure-no-auth", is_flag=True, help="Accept requests from this machine without a key."
)
def up(session: Session, insecure_no_auth: bool) -> None:
    """Run gateway and runner in the foreground, and restart one that dies."""
    export(find_config(session.config_path), insecure_no_auth, log_to_file=True)
    config = session.config()
    export_last_valid(config.state.last_valid_settings)
    require_key(session)
    require_working_sinks(config)
    try:
        refuse_taken_port(config.server.host, config.server.port)
    except PortTaken as taken:
        advice = "gcr status (if that is a gateway of yours), or set [server] port in runner.toml"
        raise CommandFailed(Exit.FAILED, str(taken), advice) from taken
    if insecure_no_auth:
        click.echo("WARNING: everyone on this machine may send patches without a key.", err=True)
    _supervise(session, config)


def _supervise(session: Session, config: Config) -> None:
    stop = event_at_signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    children = _children(config)
    greeting = _Greeting(session, config, started_at=time.monotonic())
    try:
        while not stop.is_set():
            now = time.monotonic()
            _keep_alive(children, now)
            greeting.print_when_ready(now)
            stop.wait(_POLL_SECONDS)
    finally:
        click.echo("stopping …", err=True)
        for child in children:
            child.end()
        click.echo("stopped", err=True)


def _keep_alive(children: Sequence[Child], now: float) -> None:
    for child in children:
        message = child.keep_alive(now)
        if message:
            click.echo(message, err=True)


def _children(config: Config) -> list[Child]:
    base = [sys.executable, "-m", "gpt_cursor_runner"]
    parent = ["--parent", str(os.getpid())]
    logs = config.state.logs_dir
    return [
        Child("gateway", [*base, "gateway", *parent], logs / "gateway.out"),
        Child("runner", [*base, "runner", *parent], logs / "runner.out"),
    ]


@dataclass
class _Greeting:
    """Printed once: the URL and the next step when the gateway is ready, or a
    warning when it does not get ready in time.
    """

    session: Session
    config: Config
    started_at: float
    is_done: bool = False

    def print_when_ready(self, now: float) -> None:
        if self.is_done:
            return
        elapsed = now - self.started_at
        health = self._health()
        if health is not None and _is_settled(health, elapsed):
            self._print(health)
            self.is_done = True
        elif elapsed > _READY_SECONDS:
            message = f"not ready after {_READY_SECONDS:.0f} s\nnext: gcr doctor"
            click.echo(message, err=True)
            self.is_done = True

    def _health(self) -> str | None:
        """The overall status once every critical check has run, else None."""
        client = Client(self.config.server.url, None)
        try:
            started = client.call("GET", "/startupz", seconds=2).status == 200
            health = client.call("GET", "/health", seconds=2).body
        except CommandFailed:
            return None
        if not started:
            return None
        status: str | None = health.get("overall_status")
        return status

    def _print(self, health: str) -> None:
        server = self.config.server
        names = ", ".join(repository.name for repository in self.config.repository)
        facts = {"url": server.url, "health": health, "pid": os.getpid()}
        lines = [
            f"gateway   {server.url}  ({health})",
            f"webhook   POST {server.url}/webhook",
            f"repositories  {names or 'none (add [[repository]] to runner.toml)'}",
            f"logs      {self.config.state.logs_dir}",
            "next      gcr send FILE --wait    (Ctrl-C stops both)",
        ]
        self.session.print(facts, lines)


def _is_settled(health: str, elapsed: float) -> bool:
    return health == "healthy" or elapsed > _SETTLE_SECONDS


def _exit_text(exit_code: int) -> str:
    # subprocess reports the signal that ended a process as a negative code.
    if exit_code < 0:
        return f"signal {signal.Signals(-exit_code).name}"
    return f"exit code {exit_code}"
