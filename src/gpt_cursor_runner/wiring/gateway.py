"""Builds a gateway from the configuration."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from flask import Flask

from gpt_cursor_runner.config import Config, search_path
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.gateway.admission import Admission
from gpt_cursor_runner.gateway.app import create_app
from gpt_cursor_runner.gateway.guard import ConcurrencyLimit, Guard, InFlight
from gpt_cursor_runner.gateway.health.history import HealthHistoryApi
from gpt_cursor_runner.gateway.health.ops import OpsListener
from gpt_cursor_runner.gateway.health.routes import HealthApp
from gpt_cursor_runner.gateway.key_cache import KeyCache
from gpt_cursor_runner.gateway.long_poll import LongPoll
from gpt_cursor_runner.gateway.parts import GatewayParts
from gpt_cursor_runner.gateway.writer import Writer
from gpt_cursor_runner.health.monitor.judging import judge
from gpt_cursor_runner.health.monitor.model import Identity
from gpt_cursor_runner.system.clock import boottime
from gpt_cursor_runner.system.periodic import PeriodicThread
from gpt_cursor_runner.wiring.health import HealthThreads, build_health
from gpt_cursor_runner.wiring.ledger import build_ledger
from gpt_cursor_runner.wiring.probes import RequestParts

_SETTINGS_SECONDS = 0.5
_JOIN_SECONDS = 2.0


@dataclass(frozen=True)
class Gateway:
    """The application, and the threads of the process that serves it."""

    app: Flask
    parts: GatewayParts
    health: HealthThreads
    ops: OpsListener | None
    settings_reader: PeriodicThread

    def start(self) -> None:
        self.settings_reader.start()
        self.parts.keys.start()
        self.parts.writer.start()
        self.health.start()
        if self.ops is not None:
            self.ops.start()

    def leave(self) -> None:
        """Report that the gateway takes no more requests, and answer those that
        wait: the process is about to stop.
        """
        self.health.monitor.drain()
        self.parts.long_poll.stopping.set()

    def stop(self) -> None:
        """End the threads, except the writer: a request may still wait for it."""
        if self.ops is not None:
            self.ops.close()
        self.health.stop()
        self.parts.keys.stop()
        self.settings_reader.stop()


def build_gateway(settings: Settings) -> Gateway:
    """Everything that one gateway process needs; no thread runs until `start`."""
    config = settings.config
    ledger = build_ledger(config)
    writer, limit, in_flight = Writer(ledger.intake), ConcurrencyLimit(), InFlight()
    identity = Identity(secrets.token_hex(8), config.server.port)
    health = build_health(settings, ledger, identity, RequestParts(limit, in_flight, writer))
    keys = KeyCache(ledger.keys, ledger.clock, require_key=not config.server.insecure_no_auth)
    history = HealthHistoryApi(ledger.alerts, ledger.uptime, health.clock)
    health_app = HealthApp(health.monitor, identity, keys, history)
    parts = GatewayParts(
        settings=settings,
        ledger=ledger,
        instance_id=identity.instance_id,
        keys=keys,
        admission=Admission(settings, ledger.queries, search_path()),
        writer=writer,
        long_poll=LongPoll(ledger.queries),
        health_word=lambda: judge(health.monitor.snapshot(), boottime()).overall,
    )
    app = create_app(parts, health_app, limit, in_flight)
    ops = _build_ops_listener(config, health_app)
    return Gateway(app, parts, health, ops, _build_settings_reader(settings))


def _build_ops_listener(config: Config, health: HealthApp) -> OpsListener | None:
    if not config.ops_port:
        return None
    # It has threads of its own, so its requests do not count among those of the
    # main port.
    return OpsListener(Guard(health, config.server.accepted_hosts, InFlight()), config.ops_port)


def _build_settings_reader(settings: Settings) -> PeriodicThread:
    def read() -> float:
        settings.refresh()
        return _SETTINGS_SECONDS

    return PeriodicThread("settings", read, _JOIN_SECONDS)
