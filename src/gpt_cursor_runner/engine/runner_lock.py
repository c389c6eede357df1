"""The lock and the heartbeat of the runner of a state directory.

The kernel releases the lock when the runner dies, and the work loop rewrites
the beat. Only both together prove a working runner: a stopped process keeps its
lock, and the beat's file outlives the process that wrote it.
"""

from __future__ import annotations

import fcntl
import itertools
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil

from gpt_cursor_runner.patch.faults import Fault

LOCK_NAME = "runner.lock"
BEAT_NAME = "runner.beat"
# The size of a beat is a multiple of this.
_BEAT_BYTES = 1024
_MAX_BLOCKED = 50
_MAX_TEXT_CHARS = 300
_LOCK_TIMEOUT_SECONDS = 1.0


class RunnerAlreadyHere(Exception):
    """Another live process holds the lock of the state directory."""

    def __init__(self, beat: Beat | None) -> None:
        self.pid = None if beat is None else beat.pid
        super().__init__(f"another runner uses this state directory (pid {self.pid or 'unknown'})")


@dataclass(frozen=True)
class Blockage:
    """The repositories in which no patch can land now, each with the obstacle.
    `all` is whether every configured one is blocked.
    """

    repositories: Mapping[str, Fault] = field(default_factory=dict)
    all: bool = False

    def to_json(self) -> dict[str, Any]:
        # A beat must stay small: it is written several times a second.
        shown = {}
        for name, fault in itertools.islice(self.repositories.items(), _MAX_BLOCKED):
            texts = (fault.code, fault.message, fault.next_step)
            shown[name] = [text[:_MAX_TEXT_CHARS] for text in texts]
        return {"repositories": shown, "all": self.all}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Blockage:
        repositories = {name: Fault(*texts) for name, texts in data["repositories"].items()}
        return cls(repositories, data["all"])


NOTHING_BLOCKED = Blockage()


@dataclass(frozen=True)
class Beat:
    """One heartbeat. `sequence` grows with every turn of the work loop;
    `at_work` has for each patch a number that grows while its attempt proceeds.
    """

    runner_id: str
    pid: int
    process_created_at: float
    boot_id: str
    sequence: int
    activity: str  # starting | idle | working | paused | stopping
    at_work: Mapping[str, int] = field(default_factory=dict)
    blocked: Blockage = NOTHING_BLOCKED

    def to_json(self) -> dict[str, Any]:
        body = {item.name: getattr(self, item.name) for item in fields(self)}
        return body | {"at_work": dict(self.at_work), "blocked": self.blocked.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Beat:
        """Read a beat; members of another version are ignored. Raises TypeError,
        KeyError or AttributeError for any other value.
        """
        values = {item.name: data[item.name] for item in fields(cls) if item.name in data}
        if "blocked" in values:
            values["blocked"] = Blockage.from_json(values["blocked"])
        return cls(**values)


class RunnerLock:
    """The exclusive lock, held by the runner for its life, and its heartbeat.

    Raises RunnerAlreadyHere on entry when another runner holds the lock.
    """

    def __init__(self, directory: Path, runner_id: str) -> None:
        self._directory = directory
        self._identity = (runner_id, os.getpid(), psutil.Process().create_time(), boot_id())
        self._sequence = 0
        self._beat_bytes = _BEAT_BYTES
        self._lock_file = -1
        self._beat_file = -1

    def __enter__(self) -> Self:
        self._lock_file = os.open(
            self._directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            self._take_lock()
            self._beat_file = os.open(
                self._directory / BEAT_NAME,
                os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_TRUNC,
                0o600,
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

    def beat(
        self,
        activity: str,
        at_work: Mapping[str, int] | None = None,
        blocked: Blockage = NOTHING_BLOCKED,
    ) -> None:
        """Record that the work loop turned, and what it does now."""
        self._sequence += 1
        beat = Beat(*self._identity, self._sequence, activity, at_work or {}, blocked)
        text = json.dumps(beat.to_json()).encode()
        # Never shorter than the longest before, of which a part would stay.
        while self._beat_bytes < len(text):
            self._beat_bytes += _BEAT_BYTES
        # One write in place, so that a reader rarely meets a part. No sync: the
        # reader is on this machine, and the beat dies with it.
        os.pwrite(self._beat_file, text.ljust(self._beat_bytes), 0)

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
            return Beat.from_json(json.loads((directory / BEAT_NAME).read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError, AttributeError):
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
