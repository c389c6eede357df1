"""Checks that a runner of another make runs, known only by its script."""

from __future__ import annotations

from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading
from gpt_cursor_runner.health.probes.process_matchers import runs_script
from gpt_cursor_runner.health.probes.processes import ProcessFinder

_START = "Start the external runner, or remove external_runner from [health]."
# By the state of the process: code, `data["state"]`, message.
_RESULTS = {
    "running": ("up", "up", "the process runs"),
    "stopped": ("stopped", "stalled", "the process is stopped (SIGSTOP or a debugger)"),
    "zombie": ("zombie", "down", "the process died, and its parent has not reaped it"),
    "absent": ("down", "down", "no interpreter runs this script"),
}


class ExternalRunnerProbe:
    """`data["state"]` is up, down or stalled. `script` is a file name without
    its directory.
    """

    spec = ProbeSpec(
        "external_runner",
        "external_runner",
        Criticality.IMPAIRING,
        interval_seconds=1.0,
        deadline_seconds=5.0,
    )
    codes = CodeTable(
        up=Code(CheckStatus.OK, fact=True),
        down=Code(CheckStatus.FAIL, _START, fact=True),
        stopped=Code(CheckStatus.FAIL, _START, fact=True),
        zombie=Code(CheckStatus.FAIL, _START, fact=True),
    )

    def __init__(self, script: str, finder: ProcessFinder | None = None) -> None:
        self._script = script
        self._finder = finder or ProcessFinder(runs_script(script))

    def read(self) -> Reading:
        match = self._finder.find()
        code, state, message = _RESULTS[match.state]
        data = {"state": state, "script": self._script, "pid": match.pid}
        return self.codes.reading(code, f"{self._script}: {message}", data)
