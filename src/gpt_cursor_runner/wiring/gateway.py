"""Config to a gateway."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from flask import Flask

from gpt_cursor_runner.config import Config, search_path
from gpt_cursor_runner.gateway.admission import Door
from gpt_cursor_runner.gateway.app import GatewayParts, create_app
from gpt_cursor_runner.gateway.auth import Authority, Ring
from gpt_cursor_runner.gateway.guard import ConcurrencyLimit, Guard, InFlight
from gpt_cursor_runner.gateway.health.history import HealthHistoryApi
from gpt_cursor_runner.gateway.health.ops import OpsListener
from gpt_cursor_runner.gateway.health.routes import HealthApp
from gpt_cursor_runner.gateway.patches import PatchesParts
from gpt_cursor_runner.gateway.waiting import Waiting
from gpt_cursor_runner.gateway.webhook import WebhookParts
from gpt_cursor_runner.gateway.writer import Writer
from gpt_cursor_runner.health.monitor.judging import judge
from gpt_cursor_runner.health.monitor.model import Identity
from gpt_cursor_runner.system.clock import boottime
from gpt_cursor_runner.wiring.health import Health, Inner, build_health
from gpt_cursor_runner.wiring.ledger import build_ledger


@dataclass(frozen=True)
class Gateway:
    """The application, and what must be started beside it in the process that
    serves.
    """

    app: Flask
    health: Health
    writer: Writer
    waiting: Waiting
    ring: Ring
    ops: OpsListener | None

    def start(self) -> None:
        self.ring.start()
        self.writer.start()
        self.health.start()
        if self.ops is not None:
            self.ops.start()

    def leave(self) -> None:
        """Say that no more should be sent here, and answer who waits: the
        process is about to stop.
        """
        self.health.monitor.drain()
        self.waiting.leaving.set()

    def stop(self) -> None:
        """End the threads that look and listen."""
        if self.ops is not None:
            self.ops.close()
        self.health.stop()
        self.ring.stop()


def build_gateway(config: Config) -> Gateway:
    """Everything one gateway process needs; nothing runs until `start`."""
    ledger = build_ledger(config)
    permits, inside, writer = ConcurrencyLimit(), InFlight(), Writer(ledger.intake)
    identity = Identity(secrets.token_hex(8), config.server.port)
    health = build_health(config, ledger, identity, Inner(permits, inside, writer))
    ring = Ring(ledger.keys, ledger.clock, open_door=config.server.insecure_no_auth)
    health_door = HealthApp(
        health.monitor, identity, ring, HealthHistoryApi(ledger.alerts, ledger.uptime, health.clock)
    )
    authority = Authority(ledger.keys, ledger.clock, open_door=config.server.insecure_no_auth)
    waiting = Waiting(ledger.queries)
    door = Door(config, ledger.queries, search_path())
    webhook = WebhookParts(
        authority,
        door,
        writer,
        waiting,
        config.server.max_body_bytes,
        ledger.clock,
        lambda: judge(health.monitor.snapshot(), boottime()).overall,
    )
    patches = PatchesParts(
        authority, ledger.queries, ledger.decisions, waiting, config.state.patches_dir, ledger.clock
    )
    parts = GatewayParts(
        health_door, identity.instance_id, permits, inside, webhook, patches, _hosts(config)
    )
    return Gateway(create_app(parts), health, writer, waiting, ring, _ops(config, health_door))


def _ops(config: Config, health: HealthApp) -> OpsListener | None:
    port = config.ops_port
    # What is asked here takes none of the main port's threads, and so does not
    # count among the requests inside.
    return OpsListener(Guard(health, _hosts(config), InFlight()), port) if port else None


def _hosts(config: Config) -> list[str]:
    """The names under which this gateway may be asked; any other is a rebinding
    trick or a mistake.
    """
    public = urlsplit(config.server.public_url).hostname
    names = ["localhost", "127.0.0.1", "[::1]", config.server.host, *([public] if public else [])]
    return list(dict.fromkeys(names))
