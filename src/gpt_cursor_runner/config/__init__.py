"""The only reader of settings: `runner.toml` and the `GCR_…` environment become
one frozen Config, or a refusal.
"""

from gpt_cursor_runner.config.model import (
    DEFAULT_PORT,
    DEFAULT_PROTECTED,
    Alerts,
    Check,
    Config,
    Health,
    OwnCheck,
    Repository,
    Server,
    State,
)
from gpt_cursor_runner.config.reading import (
    CONFIG_NAME,
    ConfigRefused,
    client_key,
    environment_of_checks,
    export,
    find_config,
    load_config,
    notify_socket,
    search_path,
    watchdog_seconds,
)

__all__ = [
    "CONFIG_NAME",
    "DEFAULT_PORT",
    "DEFAULT_PROTECTED",
    "Alerts",
    "Check",
    "Config",
    "ConfigRefused",
    "Health",
    "OwnCheck",
    "Repository",
    "Server",
    "State",
    "client_key",
    "environment_of_checks",
    "export",
    "find_config",
    "load_config",
    "notify_socket",
    "search_path",
    "watchdog_seconds",
]
