"""Builds a runner from the configuration."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable

from gpt_cursor_runner.config import Config, search_path
from gpt_cursor_runner.engine.embedded import EmbeddedEngine
from gpt_cursor_runner.landing.sandbox.proving import ProvenSandbox
from gpt_cursor_runner.runner.loop import Runner
from gpt_cursor_runner.runner.repositories import Repositories
from gpt_cursor_runner.wiring.ledger import build_ledger

# No request waits for the runner, so it outlasts a long lock of the ledger.
_BUSY_SECONDS = 30.0


def build_runner(config: Config, should_stop: Callable[[], bool]) -> Runner:
    """A runner on the configured state directory, named after this machine."""
    ledger = build_ledger(config, _BUSY_SECONDS)
    runner_id = f"{socket.gethostname()[:60]}-{secrets.token_hex(4)}"
    return Runner(
        runner_id=runner_id,
        state=config.state,
        repositories=Repositories(
            {repository.name: repository for repository in config.repository},
            search_path(),
            ProvenSandbox(search_path(), config.sandbox, config.state.workspaces_dir),
        ),
        ledger=ledger,
        engine=EmbeddedEngine(ledger, runner_id),
        should_stop=should_stop,
    )
