"""Thousands of idle processes. Each reads a pipe whose other end only this
process holds, so that they end with it.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

_PROGRAM = "cat"


@contextmanager
def sleepers(count: int) -> Iterator[int]:
    """Start `count` processes; yields the number that the system allowed."""
    program = shutil.which(_PROGRAM)
    if program is None:
        raise SystemExit(f"{_PROGRAM} is not installed")
    ours, theirs = os.pipe(), os.open(os.devnull, os.O_WRONLY)
    pids: list[int] = []
    try:
        pids.extend(_spawn(program, count, ours[0], theirs))
        time.sleep(0.5)  # until the last has come up
        yield len(pids)
    finally:
        os.close(ours[1])
        for pid in pids:
            os.waitpid(pid, 0)
        os.close(ours[0])
        os.close(theirs)


def _spawn(program: str, count: int, reads: int, writes: int) -> Iterator[int]:
    actions = [(os.POSIX_SPAWN_DUP2, reads, 0), (os.POSIX_SPAWN_DUP2, writes, 1)]
    for _ in range(count):
        try:
            yield os.posix_spawn(program, [_PROGRAM], {}, file_actions=actions)
        except BlockingIOError:  # the system's limit on processes
            return
