"""Is a runner there, and does it work? The kernel lock says the first, a
sequence that moves says the second.

No command line is read and no process list is scanned: an editor with the right
file name open proves nothing. The sequence is timed by this reader's own clock,
one that stands still while the machine sleeps: no two clocks need to agree, and
a runner that slept with us did not stall.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import structlog

from gpt_cursor_runner.engine.runner_lock import Beat, boot_id, lock_is_held, read_beat
from gpt_cursor_runner.health.monitor.model import Criticality, ProbeSpec, Reading, Status
from gpt_cursor_runner.health.probes.arrivals import Since

_log = structlog.get_logger(__name__)

STALL_SECONDS = 10.0
# At work a single git call on a large repository may keep the loop from
# turning; it has a deadline of its own.
WORKING_STALL_SECONDS = 130.0
# A patch is claimed within half a second of its arrival.
NOT_CLAIMING_SECONDS = 15.0
_START = "Start it with `gcr up` or `gcr runner`."
_RESTART = "See its log for what it waits on; restart it if it does not come back."
# The recorded moment holds the wall clock's idea of the boot; a pid cannot come
# round again this soon.
_CREATION_TOLERANCE_SECONDS = 2.0

# What a runner that turns says it does; it is well when it says anything else.
_BY_ACTIVITY = {
    "starting": (Status.WARN, "starting", "starting", "not yet seen at work"),
    "paused": (Status.WARN, "paused", "paused", "its owner paused it; it takes no patches"),
    "stopping": (Status.WARN, "stopping", "up", "finishing; it takes no more patches"),
}

Identity = tuple[str, int, float, str]


def _nothing_waits() -> object:
    return None


class RunnerProbe:
    """States (`data["state"]`): up, down, stalled, paused, starting, unknown.

    `unmoved` returns an equal value for as long as a claimable patch waits
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

    def __init__(
        self,
        state_directory: Path,
        unmoved: Callable[[], object] = _nothing_waits,
        stall_seconds: float = STALL_SECONDS,
        working_stall_seconds: float = WORKING_STALL_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = state_directory
        self._unmoved = unmoved
        self._unclaimed = Since()
        self._at_work = False
        self._stall_seconds = stall_seconds
        self._working_stall_seconds = working_stall_seconds
        self._monotonic = monotonic
        self._identity: Identity | None = None
        self._sequence = 0
        self._has_moved = False
        self._moved_at = monotonic()
        self._process: psutil.Process | None = None
        self._last_state: str | None = None

    def read(self) -> Reading:
        """Judges the runner by its lock, its beat and its process."""
        held = lock_is_held(self._directory)
        beat = read_beat(self._directory) if held else None
        if held:
            self._follow(beat)
            reading = self._judge(beat)
        else:
            reading = _down("down", "no runner holds the lock of the state directory")
        self._at_work = beat is not None and beat.activity == "working"
        reading = _with_runners(reading, beat, self._still_for())
        self._tell_change(reading)
        if not held:
            self._forget()
        return reading

    def close(self) -> None:
        """Nothing is held between two looks."""

    def at_work(self) -> bool:
        """Whether the runner worked on a patch when it was last read."""
        return self._at_work

    def _follow(self, beat: Beat | None) -> None:
        """Note whether the sequence moved since the last look, and whose it is."""
        identity = (
            (beat.runner_id, beat.pid, beat.process_created_at, beat.boot_id) if beat else None
        )
        if identity != self._identity:
            self._identity = identity
            self._has_moved = False
            self._moved_at = self._monotonic()
            self._process = _process_of(beat) if beat else None
        elif beat and beat.sequence != self._sequence:
            self._has_moved = True
            self._moved_at = self._monotonic()
        self._sequence = beat.sequence if beat else 0

    def _forget(self) -> None:
        self._follow(None)
        self._moved_at = (
            self._monotonic()
        )  # whoever takes the lock next has the whole limit to begin

    def _judge(self, beat: Beat | None) -> Reading:
        """The lock is held; what of the one who holds it?"""
        process = _process_state(self._process)
        still_for = self._still_for()
        if process in ("gone", "zombie"):  # a child it left behind can hold the lock on
            return _down(
                process, "the runner died; something it started still holds its lock", beat
            )
        if process == "stopped":
            return _stalled(
                "stopped", "the runner's process is stopped (SIGSTOP or a debugger)", beat
            )
        if still_for > self._limit(beat):
            return _stalled(
                "stalled", f"the runner's work loop has not turned for {still_for:.0f} s", beat
            )
        if beat is None or not self._has_moved:
            return _reading(*_BY_ACTIVITY["starting"], beat)
        if beat.activity in _BY_ACTIVITY:
            return _reading(*_BY_ACTIVITY[beat.activity], beat)
        if self._idle_for(beat) >= NOT_CLAIMING_SECONDS:
            return _stalled(
                "not_claiming", "it turns, but does not take the patch that waits", beat
            )
        return _reading(Status.OK, "up", "up", beat.activity, beat)

    def _still_for(self) -> float:
        return self._monotonic() - self._moved_at

    def _idle_for(self, beat: Beat) -> float:
        """How long it has had nothing to do while the same patch could be
        claimed.
        """
        return self._unclaimed.seconds(
            self._unmoved() if beat.activity == "idle" else None, self._monotonic()
        )

    def _limit(self, beat: Beat | None) -> float:
        return (
            self._working_stall_seconds
            if beat and beat.activity == "working"
            else self._stall_seconds
        )

    def _tell_change(self, reading: Reading) -> None:
        state = reading.data["state"]
        if state != self._last_state:
            change = {
                "from": self._last_state,
                "to": state,
                "pid": self._identity[1] if self._identity else None,
            }
            _log.info("runner_state_changed", **change, code=reading.code)
            self._last_state = state


def _with_runners(reading: Reading, beat: Beat | None, still_for: float) -> Reading:
    """Adds the list `runners`: one entry at most, since the lock allows one
    runner per state directory.
    """
    runners: list[dict[str, object]] = []
    if beat is not None:
        entry = {
            "id": beat.runner_id,
            "host": socket.gethostname(),
            "state": reading.data["state"],
            "activity": beat.activity,
            "sequence_age_seconds": round(still_for, 1),
        }
        runners.append(entry)
    return replace(reading, data={**reading.data, "runners": runners})


def _process_of(beat: Beat) -> psutil.Process | None:
    """The process that beats, or None when it cannot be told: it may live in
    another pid namespace.

    Once found it is kept, because psutil then knows it by a moment that does
    not move with the wall clock.
    """
    if beat.boot_id != boot_id():
        return None
    try:
        process = psutil.Process(beat.pid)
        apart = abs(process.create_time() - beat.process_created_at)
    except psutil.Error:
        return None
    return process if apart < _CREATION_TOLERANCE_SECONDS else None


def _process_state(process: psutil.Process | None) -> str:
    if process is None:
        return "unseen"
    try:
        if not process.is_running():
            return "gone"
        status = process.status()
    except psutil.NoSuchProcess:
        return "gone"
    if status == psutil.STATUS_ZOMBIE:
        return "zombie"
    return "stopped" if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP) else "running"


def _down(code: str, message: str, beat: Beat | None = None) -> Reading:
    return _reading(Status.FAIL, code, "down", message, beat, _START)


def _stalled(code: str, message: str, beat: Beat | None) -> Reading:
    return _reading(Status.FAIL, code, "stalled", message, beat, _RESTART)


def _reading(
    status: Status, code: str, state: str, message: str, beat: Beat | None, remedy: str = ""
) -> Reading:
    data: dict[str, object] = {"state": state}
    if beat:
        known = {
            "pid": beat.pid,
            "runner_id": beat.runner_id,
            "activity": beat.activity,
            "patch_id": beat.patch_id,
        }
        data |= {**known, "sequence": beat.sequence}
    return Reading(status, code, message, data, remedy, fact=True)
