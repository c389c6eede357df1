"""Checks that a runner exists and works: its kernel lock proves that it exists,
a sequence that moves proves that it works.

Command lines and the list of processes are not read: an editor with the right
file name open proves nothing.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

import structlog

from gpt_cursor_runner.engine.runner_lock import (
    NOTHING_BLOCKED,
    Beat,
    Blockage,
    lock_is_held,
    read_beat,
)
from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import CheckStatus, Criticality, ProbeSpec, Reading
from gpt_cursor_runner.health.probes.ages import UnchangedTimer
from gpt_cursor_runner.health.probes.beat_tracker import BeatTracker
from gpt_cursor_runner.landing.git import Git

_log = structlog.get_logger(__name__)

STALL_SECONDS = 10.0
# One git call on a large repository may keep the work on a patch from
# proceeding, until the deadline of git ends it.
WORKING_STALL_SECONDS = Git.deadline_seconds + STALL_SECONDS
# A patch is claimed within half a second of its arrival; the rest is margin for
# a machine under load.
NOT_CLAIMING_SECONDS = 15.0
_MAX_SHOWN = 50
_START = "Start the runner with `gcr up` or `gcr runner`."
_RESTART = "See the runner's log; restart it if it does not recover."

_STATE_BY_CODE = {
    "up": "up",
    "starting": "starting",
    "paused": "paused",
    "blocked": "blocked",
    "stopping": "up",
    "down": "down",
    "gone": "down",
    "zombie": "down",
    "stopped": "stalled",
    "stalled": "stalled",
    "not_claiming": "stalled",
}
# Activities of a beating runner that are not simply "up".
_MESSAGE_BY_ACTIVITY = {
    "starting": "the runner has not completed a turn of its work loop yet",
    "paused": "the runner is paused; it claims no patches",
    "stopping": "the runner finishes its patch and then stops",
}


def _none_claimable() -> object:
    return None


class RunnerProbe:
    """`data["state"]` is up, down, stalled, paused, blocked or starting.

    `claimable` returns an equal value for as long as a claimable patch waits
    unclaimed, and None while none waits.
    """

    spec = ProbeSpec(
        "runner",
        "ghost_runner",
        Criticality.IMPAIRING,
        interval_seconds=0.5,
        deadline_seconds=2.0,
        grace_seconds=5.0,
    )
    codes = CodeTable(
        up=Code(CheckStatus.OK, fact=True),
        starting=Code(CheckStatus.WARN, fact=True),
        paused=Code(CheckStatus.WARN, fact=True),
        blocked=Code(CheckStatus.FAIL, "See the check `repositories`.", fact=True),
        stopping=Code(CheckStatus.WARN, fact=True),
        down=Code(CheckStatus.FAIL, _START, fact=True),
        gone=Code(CheckStatus.FAIL, _START, fact=True),
        zombie=Code(CheckStatus.FAIL, _START, fact=True),
        stopped=Code(CheckStatus.FAIL, _RESTART, fact=True),
        stalled=Code(CheckStatus.FAIL, _RESTART, fact=True),
        not_claiming=Code(CheckStatus.FAIL, _RESTART, fact=True),
    )

    def __init__(
        self,
        state_directory: Path,
        claimable: Callable[[], object] = _none_claimable,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = state_directory
        self._claimable = claimable
        self._monotonic = monotonic
        self._tracker = BeatTracker(monotonic)
        self._unclaimed = UnchangedTimer()
        self._timers: dict[str, UnchangedTimer] = {}
        self._is_working = False
        self._blocked = NOTHING_BLOCKED
        self._last_state: str | None = None

    def read(self) -> Reading:
        """Judge the runner by its lock, its beat and its process."""
        beat = None
        code, message = "down", "no runner holds the lock of the state directory"
        held = lock_is_held(self._directory)
        if held:
            beat = read_beat(self._directory)
            self._tracker.update(beat)
            code, message = self._judge(beat)
        self._is_working = beat is not None and beat.activity == "working"
        self._blocked = NOTHING_BLOCKED if beat is None else beat.blocked
        self._log_change(code)
        data = self._data(_STATE_BY_CODE[code], beat)
        if not held:
            self._tracker.reset()
        reading = self.codes.reading(code, message, data)
        if code == "blocked":
            return replace(reading, remedy=_remedies(self._blocked))
        return reading

    def blocked_repositories(self) -> Collection[str]:
        """The names of the repositories whose patches wait, at the last reading."""
        return self._blocked.repositories.keys()

    def is_working(self) -> bool:
        """Whether the runner worked on a patch at the last reading."""
        return self._is_working

    def _judge(self, beat: Beat | None) -> tuple[str, str]:
        """Code and message for a lock that is held."""
        process = self._tracker.process_state()
        if process in ("gone", "zombie"):
            # A child that it left behind has inherited the lock.
            return process, "the runner died; a process that it started still holds its lock"
        if process == "stopped":
            return "stopped", "the runner's process is stopped (SIGSTOP or a debugger)"
        still_seconds = self._tracker.still_seconds()
        if still_seconds > STALL_SECONDS:
            return "stalled", f"the runner's work loop has not turned for {still_seconds:.0f} s"
        stalled = self._stalled_patches(beat)
        if stalled:
            names = ", ".join(stalled)
            seconds = f"{WORKING_STALL_SECONDS:.0f} s"
            return "stalled", f"the work on {names} has not proceeded for {seconds}"
        if beat is None or not self._tracker.has_moved:
            return "starting", _MESSAGE_BY_ACTIVITY["starting"]
        if beat.activity in _MESSAGE_BY_ACTIVITY:
            return beat.activity, _MESSAGE_BY_ACTIVITY[beat.activity]
        if beat.blocked.all:
            return "blocked", _messages(beat.blocked)
        if self._not_claiming_seconds(beat) >= NOT_CLAIMING_SECONDS:
            return "not_claiming", "the work loop turns, but does not claim the waiting patch"
        return "up", beat.activity

    def _stalled_patches(self, beat: Beat | None) -> list[str]:
        at_work = {} if beat is None else beat.at_work
        self._timers = {name: self._timers.get(name, UnchangedTimer()) for name in at_work}
        now = self._monotonic()
        still_seconds = {
            name: self._timers[name].update(number, now) for name, number in at_work.items()
        }
        return [name for name, seconds in still_seconds.items() if seconds > WORKING_STALL_SECONDS]

    def _not_claiming_seconds(self, beat: Beat) -> float:
        claimable = None
        if beat.activity == "idle":
            claimable = self._claimable()
        return self._unclaimed.update(claimable, self._monotonic())

    def _data(self, state: str, beat: Beat | None) -> dict[str, object]:
        if beat is None:
            return {"state": state, "runners": []}
        # One entry: the lock allows one runner per state directory.
        runner = {
            "id": beat.runner_id,
            "host": socket.gethostname(),
            "state": state,
            "activity": beat.activity,
            "sequence_age_seconds": round(self._tracker.still_seconds(), 1),
        }
        return {
            "state": state,
            "pid": beat.pid,
            "runner_id": beat.runner_id,
            "activity": beat.activity,
            "patch_id": next(iter(beat.at_work), None),
            "patch_ids": list(beat.at_work)[:_MAX_SHOWN],
            "blocked": sorted(beat.blocked.repositories),
            "sequence": beat.sequence,
            "runners": [runner],
        }

    def _log_change(self, code: str) -> None:
        state = _STATE_BY_CODE[code]
        if state == self._last_state:
            return
        change = {"from": self._last_state, "to": state, "pid": self._tracker.pid}
        _log.info("runner_state_changed", **change, code=code)
        self._last_state = state


def _messages(blocked: Blockage) -> str:
    named = [f"{name}: {fault.message}" for name, fault in blocked.repositories.items()]
    return "no patch can land in any repository: " + "; ".join(named)


def _remedies(blocked: Blockage) -> str:
    # Repositories are often blocked by the same obstacle.
    return " ".join(dict.fromkeys(fault.next_step for fault in blocked.repositories.values()))
