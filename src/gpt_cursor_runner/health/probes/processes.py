"""Finds a process of another program, the only place that scans the table of
processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

from gpt_cursor_runner.health.probes.process_matchers import Matcher

_SCAN_APART_SECONDS = 2.0
# The pause after a scan is at least 50 times its duration: two percent of a core.
_PAUSE_PER_SCAN = 50


@dataclass(frozen=True)
class ProcessMatch:
    """`state` is running, stopped (also by a debugger), zombie or absent."""

    state: str
    pid: int | None = None


class ProcessFinder:
    """Remembers the process by its pid and moment of creation, and scans only
    while it has none.
    """

    def __init__(
        self,
        matches: Matcher,
        monotonic: Callable[[], float] = time.monotonic,
        processes: Callable[[], Iterable[psutil.Process]] = psutil.process_iter,
    ) -> None:
        self._matches = matches
        self._monotonic = monotonic
        self._processes = processes
        self._process: psutil.Process | None = None
        self._next_scan_at = float("-inf")

    def find(self) -> ProcessMatch:
        """The present state of the remembered process; scans for another when
        it is gone and a scan is due.
        """
        match = self._current()
        if match.state in ("running", "stopped"):
            return match
        if self._monotonic() < self._next_scan_at:
            return match
        process = self._scan()
        if process is None:
            return match
        self._process = process
        return self._current()

    def _current(self) -> ProcessMatch:
        process = self._process
        if process is None:
            return ProcessMatch("absent")
        state = process_state(process)
        # A living process may have become another program by exec; a zombie has
        # no arguments to compare.
        if state == "gone" or (state != "zombie" and not self._is_match(process)):
            self._process = None
            return ProcessMatch("absent")
        return ProcessMatch(state, process.pid)

    def _scan(self) -> psutil.Process | None:
        began_at = self._monotonic()
        try:
            for process in self._processes():
                if self._is_match(process):
                    return process
            return None
        finally:
            ended_at = self._monotonic()
            pause = max(_SCAN_APART_SECONDS, _PAUSE_PER_SCAN * (ended_at - began_at))
            self._next_scan_at = ended_at + pause

    def _is_match(self, process: psutil.Process) -> bool:
        try:
            arguments = process.cmdline()
            return bool(arguments) and self._matches(arguments, _executable(process))
        except (psutil.Error, OSError):
            return False


def process_state(process: psutil.Process) -> str:
    """running, stopped (also by a debugger), zombie or gone."""
    try:
        if not process.is_running():
            return "gone"
        status = process.status()
    except psutil.NoSuchProcess:  # it exited between the two calls
        return "gone"
    if status == psutil.STATUS_ZOMBIE:
        return "zombie"
    if status in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
        return "stopped"
    return "running"


def _executable(process: psutil.Process) -> str | None:
    try:
        return process.exe() or None
    except (psutil.AccessDenied, OSError):  # another user's process
        return None
