"""Config to concrete parts: the one place where concrete classes are chosen."""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Flask

from gpt_cursor_runner.config import Config, search_path
from gpt_cursor_runner.engine.embedded import EmbeddedEngine
from gpt_cursor_runner.gateway.admission import Door
from gpt_cursor_runner.gateway.app import GatewayParts, create_app
from gpt_cursor_runner.gateway.auth import Authority
from gpt_cursor_runner.gateway.guard import Permits
from gpt_cursor_runner.gateway.patches import PatchesParts
from gpt_cursor_runner.gateway.waiting import Waiting
from gpt_cursor_runner.gateway.webhook import WebhookParts
from gpt_cursor_runner.gateway.writer import Writer
from gpt_cursor_runner.health.judging import judge
from gpt_cursor_runner.health.model import Identity
from gpt_cursor_runner.health.monitor import Monitor
from gpt_cursor_runner.health.probes import standard_probes
from gpt_cursor_runner.health.sampler import Sampler
from gpt_cursor_runner.ledger.database import migrate, open_database
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.runner.loop import Runner

# A webhook gives up on a locked ledger in time to answer 503; the runner has nobody waiting and is patient.
_GATEWAY_BUSY_SECONDS = 1.5
_RUNNER_BUSY_SECONDS = 30.0


@dataclass(frozen=True)
class Gateway:
    """The application, and what must be started beside it in the process that serves."""

    app: Flask
    monitor: Monitor
    writer: Writer
    waiting: Waiting

    def start(self) -> None:
        self.writer.start()
        self.monitor.start()

    def leave(self) -> None:
        """Answer who waits for the end of a patch: the process is about to stop."""
        self.waiting.leaving.set()


def build_ledger(config: Config, busy_seconds: float = _GATEWAY_BUSY_SECONDS) -> Ledger:
    """The ledger in the state directory, made and migrated when it is not there."""
    state = config.state
    for directory in (state.dir, state.patches_dir, state.workspaces_dir, state.logs_dir):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    engine = open_database(state.dir, busy_seconds)
    migrate(engine)
    return Ledger(engine)


def build_gateway(config: Config) -> Gateway:
    """Everything one gateway process needs; nothing runs until `start`."""
    ledger = build_ledger(config)
    permits, writer = Permits(), Writer(ledger.intake)
    identity = Identity(secrets.token_hex(8), config.server.port)
    monitor = _monitor(config, ledger, permits, writer, identity)
    authority = Authority(ledger.keys, ledger.clock, open_door=config.server.insecure_no_auth)
    waiting = Waiting(ledger.reading)
    door = Door({one.name: one for one in config.repository}, ledger.reading, search_path())
    webhook = WebhookParts(
        authority,
        door,
        writer,
        waiting,
        config.server.max_body_bytes,
        ledger.clock,
        lambda: judge(monitor.snapshot(), time.monotonic()).overall,
    )
    patches = PatchesParts(authority, ledger.reading, ledger.decisions, waiting, config.state.patches_dir, ledger.clock)
    parts = GatewayParts(monitor, identity, permits, webhook, patches, _hosts(config))
    return Gateway(create_app(parts), monitor, writer, waiting)


def build_runner(config: Config, should_stop: Callable[[], bool]) -> Runner:
    """A runner of this machine on this state directory."""
    ledger = build_ledger(config, _RUNNER_BUSY_SECONDS)
    runner_id = f"{socket.gethostname()[:60]}-{secrets.token_hex(4)}"
    return Runner(
        runner_id=runner_id,
        state_dir=config.state.dir,
        workspaces_dir=config.state.workspaces_dir,
        patches_dir=config.state.patches_dir,
        repositories={one.name: one for one in config.repository},
        ledger=ledger,
        engine=EmbeddedEngine(ledger, runner_id),
        search_path=search_path(),
        should_stop=should_stop,
    )


def _monitor(config: Config, ledger: Ledger, permits: Permits, writer: Writer, identity: Identity) -> Monitor:
    probes = standard_probes(
        state_directory=config.state.dir,
        patches_directory=config.state.patches_dir,
        host=config.server.host,
        port=config.server.port,
        instance_id=identity.instance_id,
        ledger=ledger,
        permits_free=permits.free,
        writer_alive=writer.is_alive,
    )
    return Monitor(probes, Sampler())


def _hosts(config: Config) -> list[str]:
    """The names under which this gateway may be asked; any other is a rebinding trick or a mistake."""
    public = urlsplit(config.server.public_url).hostname
    names = ["localhost", "127.0.0.1", "[::1]", config.server.host, *([public] if public else [])]
    return list(dict.fromkeys(names))
