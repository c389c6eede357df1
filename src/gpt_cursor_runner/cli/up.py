"""`gcr up`: gateway and runner together, restarted when they die, ended
together.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import click

from gpt_cursor_runner.cli.client import Client
from gpt_cursor_runner.cli.gateway import refuse_useless_sinks, refuse_without_a_key
from gpt_cursor_runner.cli.output import CommandFailed, Exit, Session, command
from gpt_cursor_runner.config import Config, export, find_config
from gpt_cursor_runner.gateway.serve import PortTaken, refuse_taken_port
from gpt_cursor_runner.system import processes

_READY_SECONDS = 30.0
_SETTLE_SECONDS = 5.0
_STOP_SECONDS = 20.0
_GLANCE_SECONDS = 0.2
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 30.0
_STEADY_SECONDS = 30.0


@dataclass
class Child:
    """One supervised process: restarted with a pause that doubles while it
    keeps dying.
    """

    name: str
    command: list[str]
    output: Path
    process: processes.Child | None = None
    _pause: float = _FIRST_PAUSE_SECONDS
    _start_at: float = 0.0

    def keep_alive(self, now: float) -> str | None:
        """Start it when it is due; a sentence when it was found dead."""
        if self.process is None:
            if now >= self._start_at:
                self._start(now)
            return None
        code = self.process.poll()
        if code is None:
            if now - self._start_at > _STEADY_SECONDS:
                self._pause = _FIRST_PAUSE_SECONDS
            return None
        self.process, self._start_at = None, now + self._pause
        said = (
            f"{self.name} ended ({_ending(code)}); starting it again in {self._pause:.1f} s. See"
            f" {self.output.parent}"
        )
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)
        return said

    def end(self) -> None:
        if self.process is None:
            return
        # Not end_group: the leader ends its own workers, in order.
        self.process.terminate()
        try:
            self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _start(self, now: float) -> None:
        with self.output.open("ab") as output:
            # Their own session: Ctrl-C reaches us alone, and we end them in order.
            self.process = processes.start(self.command, stdout=output, stderr=output)
        self._start_at = now


@command("up")
@click.option(
    "--insecure-no-auth", is_flag=True, help="Let everybody on this machine in without a key."
)
def up(session: Session, insecure_no_auth: bool) -> None:
    """Serve and work in the foreground: gateway and runner, restarted when they
    die.
    """
    export(find_config(session.config_path), insecure_no_auth, log_to_file=True)
    config = session.config()
    refuse_without_a_key(session)
    refuse_useless_sinks(config)
    try:
        refuse_taken_port(config.server.host, config.server.port)
    except PortTaken as taken:
        advice = "gcr status (if that is a gateway of yours), or set [server] port in runner.toml"
        raise CommandFailed(Exit.FAILED, str(taken), advice) from taken
    if insecure_no_auth:
        click.echo("WARNING: everybody on this machine may send patches without a key.", err=True)
    _supervise(session, config)


def _supervise(session: Session, config: Config) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    children = _children(config)
    greeted = False
    started_at = time.monotonic()
    try:
        while not stop.is_set():
            now = time.monotonic()
            for child in children:
                said = child.keep_alive(now)
                if said:
                    click.echo(said, err=True)
            if not greeted:
                greeted = _greet(session, config, or_else=now - started_at > _SETTLE_SECONDS)
                if not greeted and now - started_at > _READY_SECONDS:
                    greeted = True
                    click.echo(
                        f"not ready after {_READY_SECONDS:.0f} s\nnext: gcr doctor", err=True
                    )
            stop.wait(_GLANCE_SECONDS)
    finally:
        click.echo("stopping …", err=True)
        for child in children:
            child.end()
        click.echo("stopped", err=True)


def _children(config: Config) -> list[Child]:
    base = [sys.executable, "-m", "gpt_cursor_runner"]
    parent = ["--parent", str(os.getpid())]
    logs = config.state.logs_dir
    return [
        Child("gateway", [*base, "gateway", *parent], logs / "gateway.out"),
        Child("runner", [*base, "runner", *parent], logs / "runner.out"),
    ]


def _greet(session: Session, config: Config, or_else: bool) -> bool:
    """Say where we are once all is healthy, `or_else` once health knows every
    part; whether it was said.
    """
    try:
        reply = Client(config.server.url, None).call("GET", "/startupz", seconds=2)
        health = Client(config.server.url, None).call("GET", "/health", seconds=2).body
    except CommandFailed:
        return False
    if reply.status != 200 or "overall_status" not in health:
        return False
    if health["overall_status"] != "healthy" and not or_else:
        return False
    names = (
        ", ".join(one.name for one in config.repository)
        or "none (add [[repository]] to runner.toml)"
    )
    facts = {"url": config.server.url, "health": health["overall_status"], "pid": os.getpid()}
    lines = [
        f"gateway   {config.server.url}  ({health['overall_status']})",
        f"webhook   POST {config.server.url}/webhook",
        f"repositories  {names}",
        f"logs      {config.state.logs_dir}",
        "next      gcr send FILE --wait    (Ctrl-C stops both)",
    ]
    session.say(facts, lines)
    return True


def _ending(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
