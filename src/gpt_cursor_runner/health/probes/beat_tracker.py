"""Follows the beat of the runner that holds the lock: whether its sequence
moves, and the state of its process.

Time is measured by the reader's own clock, which stops while the machine
sleeps. So the clocks of two processes need not agree, and a runner that slept
with the machine has not stalled.
"""

from __future__ import annotations

from collections.abc import Callable

import psutil

from gpt_cursor_runner.engine.runner_lock import Beat, boot_id
from gpt_cursor_runner.health.probes.processes import process_state

# The recorded moment of creation is based on the wall clock's time of boot,
# which NTP corrects; a pid is not reused within this time.
_CREATION_TOLERANCE_SECONDS = 2.0


class BeatTracker:
    """Remembers the last beat. `has_moved` is whether the sequence of this
    runner has moved since it was first observed.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._beat: Beat | None = None
        self._process: psutil.Process | None = None
        self._moved_at = monotonic()
        self.has_moved = False

    @property
    def pid(self) -> int | None:
        if self._beat is None:
            return None
        return self._beat.pid

    def update(self, beat: Beat | None) -> None:
        """Note the present beat; None for a held lock without a readable one."""
        if _identity(beat) != _identity(self._beat):
            self.has_moved = False
            self._moved_at = self._monotonic()
            self._process = _process_of(beat)
        elif beat is not None and self._beat is not None and beat.sequence != self._beat.sequence:
            self.has_moved = True
            self._moved_at = self._monotonic()
        self._beat = beat

    def reset(self) -> None:
        """Forget the runner, so that the next one has the full limit to begin."""
        self.update(None)
        self._moved_at = self._monotonic()

    def still_seconds(self) -> float:
        """Seconds since the sequence moved."""
        return self._monotonic() - self._moved_at

    def process_state(self) -> str:
        """running, stopped, zombie, gone, or unseen when the process cannot be
        identified.
        """
        if self._process is None:
            return "unseen"
        return process_state(self._process)


def _identity(beat: Beat | None) -> tuple[str, int, float, str] | None:
    if beat is None:
        return None
    return beat.runner_id, beat.pid, beat.process_created_at, beat.boot_id


def _process_of(beat: Beat | None) -> psutil.Process | None:
    """The process of the beat; None when it runs in another pid namespace or
    its pid has been reused.

    The object is kept, because psutil compares later processes of this pid with
    a moment of creation that does not move with the wall clock.
    """
    if beat is None or beat.boot_id != boot_id():
        return None
    try:
        process = psutil.Process(beat.pid)
        difference = abs(process.create_time() - beat.process_created_at)
    except psutil.Error:
        return None
    if difference >= _CREATION_TOLERANCE_SECONDS:
        return None
    return process
