"""Runs every check in the background and publishes what is known as one
immutable snapshot.

One monitor per gateway process, started after any fork. Each check has its own
daemon thread, so a run that never returns costs that thread and nothing else;
the tick that publishes has its own too, and a snapshot whose tick is old is
judged by its reader (`judging.py`), so that dead machinery cannot look well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import structlog

from gpt_cursor_runner.health.monitor.containing import contained
from gpt_cursor_runner.health.monitor.damping import settle
from gpt_cursor_runner.health.monitor.judging import Verdict, judge, judge_check
from gpt_cursor_runner.health.monitor.model import CheckState, Overall, Snapshot
from gpt_cursor_runner.health.monitor.probe import Probe
from gpt_cursor_runner.health.monitor.sampler import Sampler
from gpt_cursor_runner.system.clock import boottime

_log = structlog.get_logger(__name__)

TICK_SECONDS = 0.25
_LOG_EVERY_SECONDS = 1.0
# A gateway that starts looks more often at what is not well yet, so that its
# first good word is not late.
_START_SECONDS = 10.0
_START_PAUSE_SECONDS = 0.25
_JOIN_SECONDS = 0.5
# Who asks for fresh readings shares one run with all others, and waits for the
# slow ones no longer than this.
FRESH_SECONDS = 1.5
_FRESH_APART_SECONDS = 1.0
_GLANCE_SECONDS = 0.02


@dataclass(frozen=True)
class Vitals:
    """How the machinery itself does: the longest a tick was late of late, runs
    that do not end, threads that did.
    """

    lag_seconds: float
    stuck: tuple[str, ...]
    dead: tuple[str, ...]


class Watch:
    """One check and the thread that runs it; only that thread writes `state`."""

    def __init__(self, probe: Probe, monotonic: Callable[[], float]) -> None:
        self.probe = probe
        self._monotonic = monotonic
        self._asked = threading.Event()
        self.state = CheckState(probe.spec, watched_since=monotonic())

    def run(self, stopped: threading.Event) -> None:
        """Turn until stopped."""
        while not stopped.is_set():
            self._asked.clear()
            self.turn()
            self._asked.wait(self._pause())

    def ask(self) -> None:
        """Let the next run begin now; one that is under way is left alone, and
        followed by another.
        """
        self._asked.set()

    def turn(self) -> None:
        """Run the check once and note what it found."""
        self.state = replace(self.state, running_since=self._monotonic())
        raised_before = self.state.raw is not None and self.state.raw.code == "raised"
        found = contained(self.probe.read, self.state.name, logged=raised_before)
        self.state = settle(self.state, found, self._monotonic())

    def _pause(self) -> float:
        interval = self.state.spec.interval_seconds
        coming_up = self.state.last_ok_at is None
        if coming_up and self._monotonic() - self.state.watched_since < _START_SECONDS:
            return min(_START_PAUSE_SECONDS, interval)
        return interval


class Monitor:
    """Readers call `snapshot()`, which costs one attribute look-up and waits
    for nothing.
    """

    def __init__(
        self,
        probes: Sequence[Probe],
        sampler: Sampler,
        monotonic: Callable[[], float] = boottime,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._sampler = sampler
        self._monotonic = monotonic
        self._wall = wall
        self._watches = [Watch(probe, monotonic) for probe in probes]
        self._stopped = threading.Event()
        self._threads: dict[str, threading.Thread] = {}
        self._draining = False
        self._lag = Lag()
        self._freshening = threading.Lock()
        self._freshened_at = float("-inf")
        self._polls = 0
        self._logged_at = float("-inf")
        self._snapshot = self._observe(Overall.UNKNOWN, monotonic())

    def snapshot(self) -> Snapshot:
        """The latest; judge it with `judging.judge` at the moment it is used."""
        return self._snapshot

    def start(self) -> None:
        """Start watching; call once, in the process that serves."""
        for watch in self._watches:
            self._launch(watch.run, watch.state.name)
        self._launch(self._sampler.run, "sampler")
        self._launch(self._tick_until, "tick")

    def drain(self) -> None:
        """Say from now on that no more patches should be sent here: the process
        is about to stop.
        """
        self._draining = True
        self.tick()

    def stop(self) -> None:
        """Stop watching. A run that is stuck is left behind; its thread does
        not keep the process.
        """
        self._stopped.set()
        for watch in self._watches:
            watch.ask()
            watch.probe.close()
        give_up_at = time.monotonic() + _JOIN_SECONDS
        for thread in self._threads.values():
            thread.join(max(0.0, give_up_at - time.monotonic()))

    def freshen(self, patience_seconds: float = FRESH_SECONDS) -> None:
        """Return once every check has a reading begun after this call, or one
        begun for another caller just before.

        Waits no longer than `patience_seconds`; checks that are slower keep
        their age, which every answer shows.
        """
        with self._freshening:
            if self._monotonic() - self._freshened_at >= _FRESH_APART_SECONDS:
                self._freshened_at = self._monotonic()
                for watch in self._watches:
                    watch.ask()
            asked_at = self._freshened_at
        give_up_at = time.monotonic() + patience_seconds
        while time.monotonic() < give_up_at:
            if all(_ended_after(watch.state, asked_at) for watch in self._watches):
                break
            time.sleep(_GLANCE_SECONDS)
        self.tick()

    def vitals(self) -> Vitals:
        """How the machinery does; cheap, and waits for nothing."""
        now = self._monotonic()
        late = (judge_check(watch.state, now, now) for watch in self._watches)
        return Vitals(
            lag_seconds=self._lag.worst(time.monotonic()),
            stuck=tuple(one.state.name for one in late if one.stuck_for_seconds),
            dead=tuple(name for name, thread in self._threads.items() if not thread.is_alive()),
        )

    def tick(self) -> None:
        """Publish what the checks have found so far."""
        before = self._snapshot
        seen = self._observe(before.overall, before.since_at)
        verdict = judge(seen, seen.ticked_at)
        if verdict.overall is not before.overall:
            seen = replace(seen, overall=verdict.overall, since_at=seen.ticked_at)
        self._snapshot = seen
        self._polls += 1
        self._log_poll(seen, verdict)

    def _launch(self, work: Callable[[threading.Event], None], name: str) -> None:
        thread = threading.Thread(
            target=work, args=(self._stopped,), name=f"health-{name}", daemon=True
        )
        self._threads[name] = thread
        thread.start()

    def _observe(self, overall: Overall, since_at: float) -> Snapshot:
        checks = tuple(watch.state for watch in self._watches)
        now, wall = self._monotonic(), self._wall()
        return Snapshot(checks, now, wall, overall, since_at, self._sampler.latest, self._draining)

    def _tick_until(self, stopped: threading.Event) -> None:
        while not stopped.is_set():
            due_at = time.monotonic() + TICK_SECONDS  # a clock that sleep stops: a nap is no lag
            try:
                self.tick()
            except Exception:  # noqa: BLE001  the loop's edge; the snapshot grows old, which its readers see
                _log.exception("health_tick_failed")
            stopped.wait(TICK_SECONDS)
            self._lag.note(time.monotonic(), due_at)

    def _log_poll(self, seen: Snapshot, verdict: Verdict) -> None:
        if seen.ticked_at - self._logged_at < _LOG_EVERY_SECONDS:
            return
        self._logged_at = seen.ticked_at
        _log.info(
            "health_poll_completed",
            overall_status=verdict.overall,
            reasons=list(verdict.reasons),
            polls=self._polls,
        )


class Lag:
    """The longest delay of a tick within the last minute or two."""

    _KEPT_SECONDS = 60.0

    def __init__(self) -> None:
        self._since = float("-inf")
        self._now_worst = self._before_worst = 0.0

    def note(self, at: float, due_at: float) -> None:
        """A tick that was due came now."""
        if at - self._since > self._KEPT_SECONDS:
            self._since, self._before_worst, self._now_worst = at, self._now_worst, 0.0
        self._now_worst = max(self._now_worst, at - due_at)

    def worst(self, now: float) -> float:
        """Seconds; zero when nothing was noted lately."""
        return (
            0.0
            if now - self._since > 2 * self._KEPT_SECONDS
            else max(self._now_worst, self._before_worst)
        )


def _ended_after(state: CheckState, moment: float) -> bool:
    return (
        state.finished_at is not None
        and state.duration_seconds is not None
        and (state.finished_at - state.duration_seconds >= moment)
    )
