"""The runner's presence in a state directory: a kernel lock that dies with it,
and a beat from its work loop.

Two facts make a runner: the lock is held (it exists) and the beat moves (it
works). Either alone lies: a stopped process keeps its lock, and a beat file
outlives the process that wrote it.
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
_RECORD_BYTES = 1024
_START_PATIENCE_SECONDS = 1.0


class RunnerAlreadyHere(Exception):
    """Another live process holds the state directory."""

    def __init__(self, beat: Beat | None) -> None:
        self.pid = beat.pid if beat else None
        super().__init__(
            f"another runner works in this state directory (pid {self.pid or 'unknown'})"
        )


@dataclass(frozen=True)
class Beat:
    """What the runner last said of itself. `sequence` grows with every turn of
    its work loop.
    """

    runner_id: str
    pid: int
    process_created_at: float
    boot_id: str
    sequence: int
    activity: str  # starting | idle | working | paused | stopping
    patch_id: str | None = None


class RunnerLock:
    """Held by the runner for its life: the exclusive lock, and the record it
    rewrites at every beat.
    """

    def __init__(self, directory: Path, runner_id: str) -> None:
        self._directory = directory
        self._identity = (runner_id, os.getpid(), psutil.Process().create_time(), boot_id())
        self._sequence = 0
        self._lock = -1
        self._record = -1

    def __enter__(self) -> Self:
        self._lock = os.open(
            self._directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            self._take_lock()
            self._record = os.open(
                self._directory / BEAT_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
            )
        except BaseException:
            os.close(self._lock)
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
        os.close(self._record)
        os.close(self._lock)

    def beat(self, activity: str, patch_id: str | None = None) -> None:
        """Say that the work loop turned. One write in place, no sync: the
        reader shares the kernel.
        """
        self._sequence += 1
        text = json.dumps(asdict(Beat(*self._identity, self._sequence, activity, patch_id)))
        os.pwrite(self._record, text.encode().ljust(_RECORD_BYTES), 0)

    def _take_lock(self) -> None:
        # A prober holds the shared lock for some microseconds; only a lock that
        # stays taken is another runner's.
        give_up_at = time.monotonic() + _START_PATIENCE_SECONDS
        while True:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > give_up_at:
                    raise RunnerAlreadyHere(read_beat(self._directory)) from None
                time.sleep(0.02)


def lock_is_held(directory: Path) -> bool:
    """Whether a live runner holds the directory; costs some microseconds and
    waits for nothing.
    """
    try:
        probe = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(probe)
    return False


def read_beat(
    directory: Path, patience: Callable[[], None] = lambda: time.sleep(0.002)
) -> Beat | None:
    """The last beat, or None when there is none or it cannot be read."""
    for _ in range(3):
        try:
            return Beat(**json.loads((directory / BEAT_NAME).read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError):
            patience()  # caught between two writes
    return None


def boot_id() -> str:
    """Tells one run of the machine from the next, so that a pid of an earlier
    run proves nothing.
    """
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return str(int(psutil.boot_time()))
