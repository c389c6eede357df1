"""Runs every check in the background and publishes what is known as one immutable snapshot.

One monitor per gateway process, started after any fork. Each check has its own daemon thread, so a run that never
returns costs that thread and nothing else; the tick that publishes has its own too, and a snapshot whose tick is old
is judged by its reader (`judging.py`), so that dead machinery cannot look well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog

from gpt_cursor_runner.health.containing import contained
from gpt_cursor_runner.health.damping import settle
from gpt_cursor_runner.health.judging import Verdict, judge
from gpt_cursor_runner.health.model import CheckState, Overall, Snapshot
from gpt_cursor_runner.health.probe import Probe
from gpt_cursor_runner.health.sampler import Sampler

_log = structlog.get_logger(__name__)

TICK_SECONDS = 0.25
_LOG_EVERY_SECONDS = 1.0
# A gateway that starts looks more often at what is not well yet, so that its first good word is not late.
_START_SECONDS = 10.0
_START_PAUSE_SECONDS = 0.25
_JOIN_SECONDS = 0.5


class Watch:
    """One check and the thread that runs it; only that thread writes `state`."""

    def __init__(self, probe: Probe, monotonic: Callable[[], float], wall: Callable[[], float]) -> None:
        self.probe = probe
        self._monotonic = monotonic
        self._wall = wall
        self.state = CheckState(
            name=probe.name,
            component=probe.component,
            criticality=probe.criticality,
            interval_seconds=probe.interval_seconds,
            deadline_seconds=probe.deadline_seconds,
            watched_since=monotonic(),
        )

    def run(self, stopped: threading.Event) -> None:
        """Turn until stopped."""
        while not stopped.is_set():
            self.turn()
            stopped.wait(self._pause())

    def _pause(self) -> float:
        coming_up = self.state.last_ok_wall is None
        if coming_up and self._monotonic() - self.state.watched_since < _START_SECONDS:
            return min(_START_PAUSE_SECONDS, self.probe.interval_seconds)
        return self.probe.interval_seconds

    def turn(self) -> None:
        """Run the check once and note what it found."""
        self.state = replace(self.state, running_since=self._monotonic())
        raised_before = self.state.raw is not None and self.state.raw.code == "raised"
        found = contained(self.probe.read, self.probe.name, logged=raised_before)
        self.state = settle(self.state, found, self._monotonic(), self._wall())


class Monitor:
    """Readers call `snapshot()`, which costs one attribute look-up and waits for nothing."""

    def __init__(
        self,
        probes: Sequence[Probe],
        sampler: Sampler,
        monotonic: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._sampler = sampler
        self._monotonic = monotonic
        self._wall = wall
        self._watches = [Watch(probe, monotonic, wall) for probe in probes]
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._polls = 0
        self._logged_at = float("-inf")
        self._snapshot = self._observe(Overall.UNKNOWN, wall())

    def snapshot(self) -> Snapshot:
        """The latest; judge it with `judging.judge` at the moment it is used."""
        return self._snapshot

    def start(self) -> None:
        """Start watching; call once, in the process that serves."""
        for watch in self._watches:
            self._launch(watch.run, watch.probe.name)
        self._launch(self._sampler.run, "sampler")
        self._launch(self._tick_until, "tick")

    def stop(self) -> None:
        """Stop watching. A run that is stuck is left behind; its thread does not keep the process."""
        self._stopped.set()
        for watch in self._watches:
            watch.probe.close()
        give_up_at = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, give_up_at - time.monotonic()))

    def tick(self) -> None:
        """Publish what the checks have found so far."""
        before = self._snapshot
        seen = self._observe(before.overall, before.since_wall)
        verdict = judge(seen, seen.ticked_at)
        if verdict.overall is not before.overall:
            seen = replace(seen, overall=verdict.overall, since_wall=seen.observed_wall)
        self._snapshot = seen
        self._polls += 1
        self._log_poll(seen, verdict)

    def _launch(self, work: Callable[[threading.Event], None], name: str) -> None:
        thread = threading.Thread(target=work, args=(self._stopped,), name=f"health-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _observe(self, overall: Overall, since_wall: float) -> Snapshot:
        checks = tuple(watch.state for watch in self._watches)
        return Snapshot(checks, self._monotonic(), self._wall(), overall, since_wall, self._sampler.latest)

    def _tick_until(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            try:
                self.tick()
            except Exception:  # noqa: BLE001  the loop's edge; the snapshot grows old, which its readers see
                _log.exception("health_tick_failed")
            stopped.wait(TICK_SECONDS)

    def _log_poll(self, seen: Snapshot, verdict: Verdict) -> None:
        if seen.ticked_at - self._logged_at < _LOG_EVERY_SECONDS:
            return
        self._logged_at = seen.ticked_at
        _log.info(
            "health_poll_completed", overall_status=verdict.overall, reasons=list(verdict.reasons), polls=self._polls
        )
