"""The lock and the heartbeat of the runner of a state directory.

The kernel releases the lock when the runner dies, and the work loop rewrites
the beat. Only both together prove a working runner: a stopped process keeps its
lock, and the beat's file outlives the process that wrote it.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

LOCK_NAME = "runner.lock"
BEAT_NAME = "runner.beat"
_BEAT_BYTES = 1024
_LOCK_TIMEOUT_SECONDS = 1.0


class RunnerAlreadyHere(Exception):
    """Another live process holds the lock of the state directory."""

    def __init__(self, beat: Beat | None) -> None:
        self.pid = None if beat is None else beat.pid
        super().__init__(f"another runner uses this state directory (pid {self.pid or 'unknown'})")


@dataclass(frozen=True)
class Beat:
    """One heartbeat. `sequence` grows with every turn of the work loop."""

    runner_id: str
    pid: int
    process_created_at: float
    boot_id: str
    sequence: int
    activity: str  # starting | idle | working | paused | stopping
    patch_id: str | None = None


class RunnerLock:
    """The exclusive lock, held by the runner for its life, and its heartbeat.

    Raises RunnerAlreadyHere on entry when another runner holds the lock.
    """

    def __init__(self, directory: Path, runner_id: str) -> None:
        self._directory = directory
        self._identity = (runner_id, os.getpid(), psutil.Process().create_time(), boot_id())
        self._sequence = 0
        self._lock_file = -1
        self._beat_file = -1

    def __enter__(self) -> Self:
        self._lock_file = os.open(
            self._directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            self._take_lock()
            self._beat_file = os.open(
                self._directory / BEAT_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except BaseException:
            os.close(self._lock_file)
            raise
        self.beat("starting")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.beat("stopping")
        os.close(self._beat_file)
        os.close(self._lock_file)

    def beat(self, activity: str, patch_id: str | None = None) -> None:
        """Record that the work loop turned, and what it does now."""
        self._sequence += 1
        beat = Beat(*self._identity, self._sequence, activity, patch_id)
        text = json.dumps(asdict(beat))
        # One write in place, of one size, so that a reader rarely meets a part.
        # No sync: the reader is on this machine, and the beat dies with it.
        os.pwrite(self._beat_file, text.encode().ljust(_BEAT_BYTES), 0)

    def _take_lock(self) -> None:
        # `lock_is_held` takes the shared lock for some microseconds. A lock that
        # stays taken for longer is another runner's.
        give_up_at = time.monotonic() + _LOCK_TIMEOUT_SECONDS
        while True:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise RunnerAlreadyHere(read_beat(self._directory)) from None
                time.sleep(0.02)


def lock_is_held(directory: Path) -> bool:
    """Whether a live runner holds the lock of the directory. Never waits."""
    try:
        lock_file = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(lock_file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock_file)
    return False


def read_beat(
    directory: Path, pause: Callable[[], None] = lambda: time.sleep(0.002)
) -> Beat | None:
    """The last beat, or None when there is none or it is not readable."""
    for _ in range(3):
        try:
            return Beat(**json.loads((directory / BEAT_NAME).read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            # The runner may be in the middle of a write; it takes microseconds.
            pause()
    return None


def boot_id() -> str:
    """Identifies this boot of the machine. The pid in a beat of an earlier boot
    may belong to an unrelated process now.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))
