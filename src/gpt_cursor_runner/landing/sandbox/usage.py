"""Watches what a sandboxed command uses of the machine.

The kernel enforces some limits by itself and reports none of them; this names
the limit that ended a command, and enforces those that the kernel does not.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Literal

import psutil

from gpt_cursor_runner.config import SandboxLimits

Limit = Literal["memory", "processes", "workspace", "tmp", "file"]

_PROCESS_SECONDS = 0.5
_DISK_SECONDS = 2.0
_MEGABYTE = 1 << 20
_BLOCK_BYTES = 512
# As many as bubblewrap and its launcher need; the rest belongs to the command.
_OWN_PROCESSES = 3
_SIGXFSZ_EXIT = 128 + 25
_TMP_INSIDE = ("tmp", "var/tmp", "dev/shm", "home/check")
_ALMOST_FULL = 0.98


class OverLimit(Exception):
    """A command used more than it may."""

    def __init__(self, limit: Limit) -> None:
        super().__init__(limit)
        self.limit = limit


class UsageWatch:
    """The use of one command; `pid` is its outermost process and `written` the
    directory that takes what it writes in the workspace.
    """

    def __init__(self, limits: SandboxLimits, pid: int, written: Path) -> None:
        self._limits = limits
        self._pid = pid
        self._written = written
        self._processes_due_at = 0.0
        self._disk_due_at = 0.0
        self._init_pid: int | None = None

    def check(self) -> None:
        """Raise OverLimit when the command uses too much; to be called several
        times a second.
        """
        now = time.monotonic()
        if now >= self._processes_due_at:
            self._processes_due_at = now + _PROCESS_SECONDS
            self._check_processes()
        if now >= self._disk_due_at:
            self._check_workspace()
            # A large tree takes long to walk; at most a tenth of the time.
            seconds = time.monotonic() - now
            self._disk_due_at = now + max(_DISK_SECONDS, 10 * seconds)

    def _check_processes(self) -> None:
        memory = 0
        threads = 0
        with suppress(psutil.NoSuchProcess):
            for process in psutil.Process(self._pid).children(recursive=True):
                with suppress(psutil.Error):
                    usage = process.memory_info()
                    # Without what is shared with other processes, which would
                    # be counted once for each.
                    memory += usage.rss - getattr(usage, "shared", 0)
                    threads += process.num_threads()
        if threads >= self._limits.processes - _OWN_PROCESSES:
            raise OverLimit("processes")
        if memory > self._limits.memory_mb * _MEGABYTE:
            raise OverLimit("memory")
        self._check_temporary()

    def _check_temporary(self) -> None:
        """The temporary file systems of the sandbox, seen through its first
        process.
        """
        for name in _TMP_INSIDE:
            with suppress(OSError, psutil.Error, IndexError):
                inner = psutil.Process(self._pid).children()[-1].pid
                state = os.statvfs(f"/proc/{inner}/root/{name}")
                if state.f_blocks and state.f_bfree < state.f_blocks * (1 - _ALMOST_FULL):
                    raise OverLimit("tmp")

    def _check_workspace(self) -> None:
        size = 0
        # A file may vanish between the listing and the look.
        for directory, _, names in os.walk(self._written):
            for name in names:
                with suppress(OSError):
                    size += (Path(directory) / name).lstat().st_blocks * _BLOCK_BYTES
            if size > self._limits.workspace_mb * _MEGABYTE:
                raise OverLimit("workspace")


def limit_of_exit(exit_code: int | None) -> Limit | None:
    """The limit that the kernel enforced with a signal, by the exit code of the
    command.
    """
    if exit_code == _SIGXFSZ_EXIT:
        return "file"
    return None


def kernel_counter(file: Path, name: str) -> int:
    """The value of a counter in a file of the kernel with a name and a number
    on each line; 0 where the kernel does not count it.
    """
    with suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return 0
