"""Builds the ledger from the configuration, for every process and command."""

from __future__ import annotations

from gpt_cursor_runner.config import Config
from gpt_cursor_runner.ledger.database import migrate, open_database
from gpt_cursor_runner.ledger.ledger import Ledger

# Shorter than the timeouts of the webhook and of the queue probe, so that both
# can report that the ledger is locked.
BUSY_SECONDS = 1.5


def build_ledger(config: Config, busy_seconds: float = BUSY_SECONDS) -> Ledger:
    """The ledger in the state directory; created if it does not exist, and
    migrated.
    """
    state = config.state
    for directory in (state.dir, state.patches_dir, state.workspaces_dir, state.logs_dir):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = open_database(state.dir, busy_seconds)
    migrate(database)
    return Ledger(database)
