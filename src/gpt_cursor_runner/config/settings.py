"""The settings of a running process, which follow the changes of `runner.toml`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import structlog

from gpt_cursor_runner.config.model import Config
from gpt_cursor_runner.config.reading import (
    ConfigRefused,
    last_valid_path,
    parse_config,
    read_config_file,
)

log = structlog.get_logger()

# An editor or a script may write the file in several steps, and half a file can
# be valid: a change counts when it has stayed the same for this long.
SETTLE_SECONDS = 0.3
# A refused file may name a path that is created later.
_JUDGE_AGAIN_SECONDS = 2.0
# All other keys configure parts that are built once, when the process starts.
_LIVE_SECTIONS = frozenset({"repository", "runner", "sandbox"})
_LIVE_SERVER_KEYS = frozenset({"max_body_bytes"})


@dataclass(frozen=True)
class SettingsState:
    """`config` is in effect. `invalid` is the reason why the file as it is now
    is not, or "". `restart_needed` names the changed keys that wait for a
    restart.
    """

    config: Config
    invalid: str = ""
    restart_needed: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Change:
    """Another content of the file, and the moment at which it was first read.
    The content is None when the file cannot be read.
    """

    content: bytes | None
    noticed_at: float


class Settings:
    """The settings in effect, for all threads of a process. Without a file they
    never change.

    A valid change of the file takes effect as one, apart from the keys that need
    a restart. An invalid one changes nothing.
    """

    def __init__(
        self,
        config: Config,
        path: Path | None = None,
        content: bytes | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        invalid: str = "",
    ) -> None:
        self._path = path
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._state = SettingsState(config, invalid)
        self._judged = _Change(content, monotonic())
        self._pending: _Change | None = None

    @classmethod
    def load(cls, path: Path | None, monotonic: Callable[[], float] = time.monotonic) -> Self:
        """Read the file for the first time; raise ConfigRefused when it is
        invalid and `gcr up` has no earlier content of it.
        """
        if path is None:
            return cls(parse_config(None, None))
        try:
            content = read_config_file(path)
            config = parse_config(content, path)
        except ConfigRefused as refused:
            last_valid = _last_valid(path)
            if last_valid is None:
                raise
            return cls(last_valid, path, _content(path), monotonic, refused.one_line)
        _keep_valid(content)
        return cls(config, path, content, monotonic)

    @property
    def state(self) -> SettingsState:
        return self._state

    @property
    def config(self) -> Config:
        return self._state.config

    def refresh(self) -> bool:
        """Read the file again. Returns False while a change has not settled:
        call it again soon.
        """
        if self._path is None:
            return True
        with self._lock:
            return self._refresh(self._path)

    def _refresh(self, path: Path) -> bool:
        now = self._monotonic()
        content = _content(path)
        if content == self._judged.content:
            self._pending = None
            is_due = now - self._judged.noticed_at >= _JUDGE_AGAIN_SECONDS
            if self._state.invalid and is_due:
                self._judge(path, _Change(content, now))
            return True
        if self._pending is None or content != self._pending.content:
            self._pending = _Change(content, now)
        if now - self._pending.noticed_at < SETTLE_SECONDS:
            return False
        self._judge(path, _Change(content, now))
        self._pending = None
        return True

    def _judge(self, path: Path, change: _Change) -> None:
        self._judged = change
        previous = self._state
        try:
            if change.content is None:
                raise ConfigRefused(f"{path}: cannot be read. Restore the file.")
            self._state = _adopted(previous.config, parse_config(change.content, path))
            _keep_valid(change.content)
        except ConfigRefused as refused:
            self._state = replace(previous, invalid=refused.one_line)
        if self._state != previous:
            _log_change(previous, self._state)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _last_valid(path: Path) -> Config | None:
    copy = last_valid_path()
    content = None if copy is None else _content(copy)
    if content is None:
        return None
    return parse_config(content, path)


def _keep_valid(content: bytes) -> None:
    copy = last_valid_path()
    if copy is None:
        return
    unfinished = copy.with_name(f"{copy.name}.{os.getpid()}")
    # Without the copy a process that dies now starts again once the file is valid.
    with suppress(OSError):
        # The file may hold secrets.
        unfinished.touch(mode=0o600)
        unfinished.write_bytes(content)
        unfinished.replace(copy)


def _adopted(present: Config, read: Config) -> SettingsState:
    """The state after a valid change: what may change now is that of the file,
    the rest stays as it is.
    """
    live = {name: getattr(read, name) for name in _LIVE_SECTIONS}
    live_server = {name: getattr(read.server, name) for name in _LIVE_SERVER_KEYS}
    live["server"] = present.server.model_copy(update=live_server)
    config = present.model_copy(update=live)
    if config == present:
        # The same object: the parts that were built for it stay.
        config = present
    return SettingsState(config, restart_needed=tuple(_differences(config, read)))


def _differences(effective: Config, read: Config) -> list[str]:
    keys = []
    for section in Config.model_fields:
        if section in _LIVE_SECTIONS:
            continue
        ours, theirs = getattr(effective, section), getattr(read, section)
        for name in type(ours).model_fields:
            if getattr(ours, name) != getattr(theirs, name):
                keys.append(f"{section}.{name}")
    return keys


def _log_change(previous: SettingsState, state: SettingsState) -> None:
    if state.invalid:
        log.warning("settings_refused", reason=state.invalid)
        return
    log.info(
        "settings_read",
        changed=state.config is not previous.config,
        restart_needed=list(state.restart_needed),
    )
