"""Checks that the settings in effect are those of `runner.toml`."""

from __future__ import annotations

from collections.abc import Callable

from gpt_cursor_runner.config.settings import SettingsState
from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading


class SettingsProbe:
    """`state` returns the settings as they are read from the file."""

    spec = ProbeSpec(
        "settings",
        "settings",
        Criticality.IMPAIRING,
        interval_seconds=1.0,
        deadline_seconds=2.0,
    )
    # Facts, because a change of the file counts only after it has settled.
    codes = CodeTable(
        ok=Code(CheckStatus.OK, fact=True),
        invalid=Code(
            CheckStatus.FAIL,
            "Correct runner.toml; until then the last valid settings stay in effect.",
            fact=True,
        ),
        restart_needed=Code(CheckStatus.WARN, "Restart `gcr up`.", fact=True),
    )

    def __init__(self, state: Callable[[], SettingsState]) -> None:
        self._state = state

    def read(self) -> Reading:
        state = self._state()
        if state.invalid:
            return self.codes.reading("invalid", state.invalid)
        if state.restart_needed:
            keys = ", ".join(state.restart_needed)
            data = {"keys": list(state.restart_needed)}
            return self.codes.reading("restart_needed", f"{keys} changed", data)
        return self.codes.reading("ok")
