"""The machine's figures, sampled in one thread: a CPU percentage is a difference, and a difference needs one memory."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import psutil
import structlog

from gpt_cursor_runner.health.clock import boottime
from gpt_cursor_runner.health.model import Metrics

_log = structlog.get_logger(__name__)

_EVERY_SECONDS = 1.0

Figure = TypeVar("Figure")


class Machine(Protocol):
    """The part of psutil that is used: none of these calls scans processes or waits."""

    def cpu_times(self) -> Any: ...  # noqa: ANN401  psutil's fields differ by system
    def cpu_count(self) -> int | None: ...
    def virtual_memory(self) -> Any: ...  # noqa: ANN401
    def net_io_counters(self) -> Any: ...  # noqa: ANN401


class Sampler:
    """Holds the latest figures in `latest`, replaced as a whole at every sample."""

    def __init__(self, machine: Machine = psutil, monotonic: Callable[[], float] = boottime) -> None:
        self._machine = machine
        self._monotonic = monotonic
        self._cpu_before: tuple[float, float] | None = None
        self.latest = Metrics.unread(monotonic())

    def run(self, stopped: threading.Event) -> None:
        """Sample until stopped."""
        while not stopped.is_set():
            self.sample()
            stopped.wait(_EVERY_SECONDS)

    def sample(self) -> None:
        """Take every figure once."""
        machine, unread = self._machine, Metrics.unread(self._monotonic())
        self.latest = replace(
            unread,
            cpu={
                "count": _read(machine.cpu_count),
                "percent": _read(self._cpu_percent),
                "load_average": _read(lambda: [round(load, 2) for load in os.getloadavg()]),
            },
            memory=_read(lambda: _fields(machine.virtual_memory(), unread.memory)) or unread.memory,
            network=_read(lambda: _fields(machine.net_io_counters(), unread.network)) or unread.network,
        )

    def _cpu_percent(self) -> float | None:
        before, self._cpu_before = self._cpu_before, None
        total, idle = self._cpu_before = _cpu_seconds(self._machine.cpu_times())
        if before is None or total <= before[0]:
            return None
        return round(min(100.0, max(0.0, 100 * (1 - (idle - before[1]) / (total - before[0])))), 1)


def _fields(value: object, names: Mapping[str, Any]) -> dict[str, Any]:
    return {name: getattr(value, name) for name in names}


def _cpu_seconds(times: Any) -> tuple[float, float]:  # noqa: ANN401
    """Total and idle seconds; on Linux a guest's time is also counted as user time, and waiting for a disk is idle."""
    named: dict[str, float] = times._asdict()
    total = sum(named.values()) - named.get("guest", 0.0) - named.get("guest_nice", 0.0)
    return total, named["idle"] + named.get("iowait", 0.0)


def _read(figure: Callable[[], Figure]) -> Figure | None:
    try:
        return figure()
    except Exception:  # noqa: BLE001  a probe's edge: containers and jails deny figures in many ways
        _log.debug("health_metric_unreadable", exc_info=True)
        return None
