"""Config to the ledger, for every process and command."""

from __future__ import annotations

from gpt_cursor_runner.config import Config
from gpt_cursor_runner.ledger.database import migrate, open_database
from gpt_cursor_runner.ledger.ledger import Ledger

# In time for a webhook to answer 503, and for a probe to say that the ledger is
# locked.
BUSY_SECONDS = 1.5


def build_ledger(config: Config, busy_seconds: float = BUSY_SECONDS) -> Ledger:
    """The ledger in the state directory, made and migrated when it is not there."""
    state = config.state
    for directory in (state.dir, state.patches_dir, state.workspaces_dir, state.logs_dir):
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    database = open_database(state.dir, busy_seconds)
    migrate(database)
    return Ledger(database)
