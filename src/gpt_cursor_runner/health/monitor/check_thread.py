"""The thread that runs one check at its interval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gpt_cursor_runner.health.monitor.damping import settle
from gpt_cursor_runner.health.monitor.model import CheckState
from gpt_cursor_runner.health.monitor.probe import Probe
from gpt_cursor_runner.health.monitor.sanitizing import read_safely
from gpt_cursor_runner.system.periodic import PeriodicThread

# A gateway that starts runs a failing check more often than its interval, so
# that it is reported healthy soon after it is.
START_SECONDS = 10.0
START_PAUSE_SECONDS = 0.25


class CheckThread:
    """Holds the state of one check in `state`, which only this thread writes."""

    def __init__(self, probe: Probe, monotonic: Callable[[], float]) -> None:
        self.probe = probe
        self._monotonic = monotonic
        self.thread = PeriodicThread(f"health-{probe.spec.name}", self._turn, join_seconds=0.0)
        self.state = CheckState(probe.spec, watched_since=monotonic())

    def request_run(self) -> None:
        """Start the next run now. A run under way is not interrupted; another
        follows it.
        """
        self.thread.wake()

    def run_once(self) -> None:
        """Run the check and store what it returned."""
        self.state = replace(self.state, running_since=self._monotonic())
        raised_before = self.state.raw is not None and self.state.raw.code == "raised"
        reading = read_safely(self.probe.read, self.state.name, already_logged=raised_before)
        self.state = settle(self.state, reading, self._monotonic())

    def pause_seconds(self) -> float:
        """Seconds until the next run; shorter before the first good one."""
        interval = self.state.spec.interval_seconds
        age = self._monotonic() - self.state.watched_since
        if self.state.last_ok_at is None and age < START_SECONDS:
            return min(START_PAUSE_SECONDS, interval)
        return interval

    def has_run_since(self, moment: float) -> bool:
        """Whether the last completed run began at `moment` or later."""
        state = self.state
        if state.finished_at is None or state.duration_seconds is None:
            return False
        return state.finished_at - state.duration_seconds >= moment

    def _turn(self) -> float:
        self.run_once()
        return self.pause_seconds()
