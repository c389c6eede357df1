"""The checks that a gateway runs, by its config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gpt_cursor_runner.config import Config, Health, OwnCheck, Repository, Server, State
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.gateway.guard import ConcurrencyLimit, InFlight
from gpt_cursor_runner.gateway.writer import Writer
from gpt_cursor_runner.health.monitor.model import Identity
from gpt_cursor_runner.ledger.ledger import Ledger
from gpt_cursor_runner.wiring.health import build_health
from gpt_cursor_runner.wiring.probes import RequestParts
from tests.building import Repo

GATEWAY = ["web", "port", "filesystem", "queue", "webhook", "runner", "monitor", "resources"]
GATEWAY += ["settings", "repositories", "sandbox"]
TUNNEL = ["tunnel_process", "tunnel_edge", "tunnel_public"]


def names_of_checks(directory: Path, ledger: Ledger, **sections: Any) -> list[str]:
    config = Config(state=State(dir=directory), **sections)
    requests = RequestParts(ConcurrencyLimit(), InFlight(), Writer(ledger.intake))
    health = build_health(Settings(config), ledger, Identity("instance-1", 5555), requests)
    health.monitor.stop()
    return [check.name for check in health.monitor.snapshot().checks]


@pytest.mark.parametrize("public_url", ["", "http://localhost:5555", "http://127.0.0.1:5555"])
def test_only_the_gateway_is_watched_without_settings(tmp_path, ledger, public_url):
    assert names_of_checks(tmp_path, ledger, server=Server(public_url=public_url)) == GATEWAY


def test_everything_that_is_configured_is_watched(tmp_path, ledger, repo: Repo):
    names = names_of_checks(
        tmp_path,
        ledger,
        server=Server(public_url="https://runner.example"),
        repository=(Repository(name="app", path=repo.path),),
        health=Health(
            external_runner="ghost-runner.js",
            tunnel_metrics="http://127.0.0.1:20241",
            check=(OwnCheck(name="disk", command=("true",)),),
        ),
    )
    assert names == [*GATEWAY, "external_runner", *TUNNEL, "own_disk"]


def test_alerts_are_watched_when_there_is_a_sink(tmp_path, ledger):
    alerts = {"webhook_url": "http://127.0.0.1:9/", "webhook_secret": "whsec_" + "QUJD" * 8}
    assert names_of_checks(tmp_path, ledger, alerts=alerts) == [*GATEWAY, "alerts"]
