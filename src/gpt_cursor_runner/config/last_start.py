"""Where the gateway of a settings file listens and keeps its state.

A command asks here when the file has become invalid under a running gateway,
which goes on with its last valid settings.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from pathlib import Path

import platformdirs
from pydantic import ValidationError

from gpt_cursor_runner.config.model import APP_NAME, Config, Server, State
from gpt_cursor_runner.config.reading import ConfigRefused, find_config


def record_start(path: Path | None, config: Config) -> None:
    """Remember the server and the state directory that a gateway starts with."""
    if path is None:
        return
    facts = {
        "server": {"host": config.server.host, "port": config.server.port},
        "state": {"dir": str(config.state.dir)},
    }
    # Without this record a command only reports the invalid file itself.
    with suppress(OSError):
        record = _record(path)
        record.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        unfinished = record.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(facts))
        unfinished.replace(record)


def last_start(given: Path | None) -> Config | None:
    """The server and the state directory of the last start with the settings
    file, given or found, and otherwise the defaults; None when there was none.
    """
    try:
        path = find_config(given)
    except ConfigRefused:
        # The file that was named has vanished.
        path = given
    if path is None:
        return None
    try:
        facts = json.loads(_record(path).read_text())
        return Config(server=Server(**facts["server"]), state=State(**facts["state"]))
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None


def _record(path: Path) -> Path:
    digest = hashlib.sha256(str(path.expanduser().resolve()).encode()).hexdigest()
    return Path(platformdirs.user_state_dir(APP_NAME)) / "starts" / f"{digest[:16]}.json"
