"""Configures the logs, for every process that keeps running."""

from __future__ import annotations

import re

from gpt_cursor_runner.config import State
from gpt_cursor_runner.system import logs

# A key may get into a log line through a path, a title or the message of a
# library; its id stays readable.
_KEY = re.compile(r"(gcr_[0-9a-f]{12})_[A-Za-z0-9_-]{20,}")


def configure_logs(state: State, process: str) -> None:
    """Log to the file of this process, or to standard error."""
    # Alembic reports every start at INFO.
    logs.configure_logs(state.log_file(process), secrets=_KEY, quiet=["alembic"])
