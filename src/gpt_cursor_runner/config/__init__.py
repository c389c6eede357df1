"""The settings: `runner.toml` and the `GCR_…` environment as one frozen Config.
A wrong setting is refused when a process starts.
"""

from gpt_cursor_runner.config.model import (
    CONFIG_NAME,
    DEFAULT_PORT,
    DEFAULT_PROTECTED,
    LOOPBACK_HOSTS,
    Alerts,
    AlertSeverity,
    Approval,
    Check,
    Config,
    Health,
    OwnCheck,
    Repository,
    SandboxDemand,
    Server,
    State,
)
from gpt_cursor_runner.config.reading import (
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
    "LOOPBACK_HOSTS",
    "AlertSeverity",
    "Alerts",
    "Approval",
    "Check",
    "Config",
    "ConfigRefused",
    "Health",
    "OwnCheck",
    "Repository",
    "SandboxDemand",
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
