"""The lock and beat of a real runner: `python runner_process.py DIRECTORY WAY`.

beats: holds the lock and beats; SIGUSR1 blocks its loop. stopping: beats with
the activity "stopping". leaves: starts a child that inherits the lock, and
beats. silent: takes the lock without a beat.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from pathlib import Path

from gpt_cursor_runner.engine.runner_lock import LOCK_NAME, RunnerLock

BEAT_SECONDS = 0.02


def silent(directory: Path) -> None:
    lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT)
    fcntl.flock(lock, fcntl.LOCK_EX)
    print("here", flush=True)  # noqa: T201  the test waits for this line
    time.sleep(60)


def wedge(*_: object) -> None:
    print("wedged", flush=True)  # noqa: T201
    time.sleep(60)


def present(directory: Path, way: str) -> None:
    signal.signal(signal.SIGUSR1, wedge)
    with RunnerLock(directory, "runner-1") as presence:
        if way == "leaves" and os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        print("here", flush=True)  # noqa: T201
        for _ in range(3000):
            presence.beat("stopping" if way == "stopping" else "idle")
            time.sleep(BEAT_SECONDS)


if __name__ == "__main__":
    if sys.argv[2] == "silent":
        silent(Path(sys.argv[1]))
    else:
        present(Path(sys.argv[1]), sys.argv[2])
