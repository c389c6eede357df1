"""Is a runner of another make there, known only by the script it runs?"""

from __future__ import annotations

from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status
from gpt_cursor_runner.health.probes.processes import Finder, runs_script

_STATES = {
    "running": (Status.OK, "up", "up", "it runs"),
    "stopped": (
        Status.FAIL,
        "stopped",
        "stalled",
        "its process is stopped (SIGSTOP or a debugger)",
    ),
    "zombie": (Status.FAIL, "zombie", "down", "it died, and its parent has not taken notice"),
    "absent": (Status.FAIL, "down", "down", "no interpreter runs that script"),
}


class ExternalRunnerProbe:
    """States (`data["state"]`): up, down, stalled. `script` is a file name,
    without its directory.
    """

    spec = ProbeSpec(
        "external_runner",
        "external_runner",
        Criticality.IMPAIRING,
        interval_seconds=1.0,
        deadline_seconds=5.0,
    )

    def __init__(self, script: str, finder: Finder | None = None) -> None:
        self._script = script
        self._finder = finder or Finder(runs_script(script))

    def read(self) -> Reading:
        """One look at the process, or for it."""
        found = self._finder.look()
        status, code, state, message = _STATES[found.standing]
        data = {"state": state, "script": self._script, "pid": found.pid}
        remedy = (
            ""
            if status is Status.OK
            else f"Start {self._script}, or take external_runner out of [health]."
        )
        return Reading(status, code, f"{self._script}: {message}", data, remedy, fact=True)

    def close(self) -> None:
        """Nothing is held between two looks."""
