"""Runs every check in the background and publishes the results as one immutable
snapshot.

There is one monitor per gateway process, started after any fork. Each check has
its own daemon thread, so that a run that never returns costs that thread alone.
The tick that publishes has its own thread too. Readers judge a snapshot by the
age of its tick (`judging.py`), so that a dead monitor cannot look well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from gpt_cursor_runner.health.monitor.check_thread import CheckThread
from gpt_cursor_runner.health.monitor.judging import Verdict, judge, judge_check
from gpt_cursor_runner.health.monitor.lag import TickLag
from gpt_cursor_runner.health.monitor.model import Overall, Snapshot
from gpt_cursor_runner.health.monitor.probe import Closeable, Probe
from gpt_cursor_runner.health.monitor.sampler import Sampler
from gpt_cursor_runner.system.clock import boottime
from gpt_cursor_runner.system.periodic import PeriodicThread

_log = structlog.get_logger(__name__)

TICK_SECONDS = 0.25
_LOG_EVERY_SECONDS = 1.0
_JOIN_SECONDS = 0.5
# All callers that ask for fresh readings within a second share one run, and
# wait no longer than this for slow checks.
REFRESH_SECONDS = 1.5
_REFRESH_APART_SECONDS = 1.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class MonitorStats:
    """The state of the monitor's own threads: the longest delay of a recent
    tick, the checks past their deadline, the threads that ended.
    """

    lag_seconds: float
    stuck: tuple[str, ...]
    dead: tuple[str, ...]


class Monitor:
    """Readers call `snapshot()`, which is one attribute look-up and never waits."""

    def __init__(
        self,
        sampler: Sampler,
        monotonic: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._sampler = sampler
        self._monotonic = monotonic
        self._wall = wall
        self._checks: list[CheckThread] = []
        self._threads: dict[str, PeriodicThread] = {}
        self._tick_due_at: float | None = None
        self._draining = False
        self._lag = TickLag()
        self._refresh_lock = threading.Lock()
        self._refreshed_at = float("-inf")
        self._polls = 0
        self._logged_at = float("-inf")
        self._snapshot = self._observe(Overall.UNKNOWN, monotonic())

    def watch(self, probe: Probe) -> None:
        """Add a check, which runs at the interval of its spec from `start` on."""
        self._checks.append(CheckThread(probe, self._monotonic))
        # Published at once: a snapshot without the check would be healthy.
        self._snapshot = self._observe(self._snapshot.overall, self._snapshot.since_at)

    def snapshot(self) -> Snapshot:
        """The latest; judge it with `judging.judge` at the moment of use."""
        return self._snapshot

    def start(self) -> None:
        """Start all threads; call once, in the process that serves."""
        self._threads = {check.state.name: check.thread for check in self._checks}
        self._threads["sampler"] = PeriodicThread("health-sampler", self._sampler.turn, 0.0)
        self._threads["tick"] = PeriodicThread("health-tick", self._turn, 0.0)
        for thread in self._threads.values():
            thread.start()

    def drain(self) -> None:
        """Report from now on that the process is about to stop."""
        self._draining = True
        self.tick()

    def stop(self) -> None:
        """End all threads and close the probes that can be closed.

        A check that is stuck is left behind: its thread is a daemon.
        """
        for thread in self._threads.values():
            thread.request_stop()
        for check in self._checks:
            if isinstance(check.probe, Closeable):
                check.probe.close()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads.values():
            thread.join(max(0.0, deadline - time.monotonic()))

    def refresh(self, timeout_seconds: float = REFRESH_SECONDS) -> None:
        """Return once every check has a reading begun after this call, or begun
        for another caller within the last second.

        Checks that take longer than `timeout_seconds` keep their age, which
        every answer shows.
        """
        requested_at = self._request_runs()
        deadline = time.monotonic() + timeout_seconds
        while not self._have_run_since(requested_at) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
        self.tick()

    def stats(self) -> MonitorStats:
        """The state of the monitor's own threads; cheap, never waits."""
        now = self._monotonic()
        results = [judge_check(check.state, now, now) for check in self._checks]
        return MonitorStats(
            lag_seconds=self._lag.worst(time.monotonic()),
            stuck=tuple(result.state.name for result in results if result.stuck_for_seconds),
            dead=tuple(name for name, thread in self._threads.items() if not thread.is_alive()),
        )

    def tick(self) -> None:
        """Publish the results of the checks so far."""
        previous = self._snapshot
        snapshot = self._observe(previous.overall, previous.since_at)
        verdict = judge(snapshot, snapshot.ticked_at)
        if verdict.overall is not previous.overall:
            snapshot = replace(snapshot, overall=verdict.overall, since_at=snapshot.ticked_at)
        self._snapshot = snapshot
        self._polls += 1
        self._log_poll(snapshot, verdict)

    def _request_runs(self) -> float:
        """Request a run of every check, unless another caller did so within the
        last second; return when they were requested.
        """
        with self._refresh_lock:
            now = self._monotonic()
            if now - self._refreshed_at >= _REFRESH_APART_SECONDS:
                self._refreshed_at = now
                for check in self._checks:
                    check.request_run()
            return self._refreshed_at

    def _have_run_since(self, moment: float) -> bool:
        return all(check.has_run_since(moment) for check in self._checks)

    def _observe(self, overall: Overall, since_at: float) -> Snapshot:
        return Snapshot(
            checks=tuple(check.state for check in self._checks),
            ticked_at=self._monotonic(),
            observed_wall=self._wall(),
            overall=overall,
            since_at=since_at,
            metrics=self._sampler.latest,
            draining=self._draining,
        )

    def _turn(self) -> float:
        # This clock stops while the machine sleeps, so that sleep is no lag.
        now = time.monotonic()
        if self._tick_due_at is not None:
            self._lag.record(now, self._tick_due_at)
        self._tick_due_at = now + TICK_SECONDS
        # When a tick raises, readers see that the snapshot grows old.
        self.tick()
        return TICK_SECONDS

    def _log_poll(self, snapshot: Snapshot, verdict: Verdict) -> None:
        if snapshot.ticked_at - self._logged_at < _LOG_EVERY_SECONDS:
            return
        self._logged_at = snapshot.ticked_at
        _log.info(
            "health_poll_completed",
            overall_status=verdict.overall,
            reasons=list(verdict.reasons),
            polls=self._polls,
        )
