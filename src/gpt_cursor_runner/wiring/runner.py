"""Builds a runner from the configuration."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable

from gpt_cursor_runner.config import Config
from gpt_cursor_runner.config.settings import Settings
from gpt_cursor_runner.engine.embedded import EmbeddedEngine
from gpt_cursor_runner.landing.readiness import Machine, obstacles
from gpt_cursor_runner.runner.loop import Runner
from gpt_cursor_runner.runner.repositories import Repositories
from gpt_cursor_runner.wiring.ledger import build_ledger
from gpt_cursor_runner.wiring.machine import build_machine

# No request waits for the runner, so it outlasts a long lock of the ledger.
_BUSY_SECONDS = 30.0


def build_runner(settings: Settings, should_stop: Callable[[], bool]) -> Runner:
    """A runner on the configured state directory, named after this machine."""
    ledger = build_ledger(settings.config, _BUSY_SECONDS)
    machine = build_machine(settings)
    runner_id = f"{socket.gethostname()[:60]}-{secrets.token_hex(4)}"
    return Runner(
        runner_id=runner_id,
        settings=settings,
        open_repositories=lambda config: open_repositories(config, machine),
        ledger=ledger,
        engine=EmbeddedEngine(ledger, runner_id),
        should_stop=should_stop,
        obstacles=lambda repository: obstacles(repository, machine),
    )


def open_repositories(config: Config, machine: Machine) -> Repositories:
    """The repositories of these settings."""
    return Repositories(
        {repository.name: repository for repository in config.repository},
        machine.search_path,
        machine.proof,
    )
