"""The machine's figures, sampled in one thread: a percentage and a rate are
differences, and need one memory.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import psutil
import structlog

from gpt_cursor_runner.health.monitor.cgroup import Cgroup
from gpt_cursor_runner.health.monitor.model import COUNTERS, Metrics
from gpt_cursor_runner.system.clock import boottime

_log = structlog.get_logger(__name__)

_EVERY_SECONDS = 1.0
_TWO_SAMPLES = "two_samples_needed"

Figures = dict[str, Any]


class Machine(Protocol):
    """The part of psutil that is used: none of these calls scans processes or
    waits.
    """

    def cpu_times(self) -> Any: ...  # noqa: ANN401  psutil's fields differ by system
    def cpu_count(self) -> int | None: ...
    def virtual_memory(self) -> Any: ...  # noqa: ANN401
    def net_io_counters(self) -> Any: ...  # noqa: ANN401


class Sampler:
    """Holds the latest figures in `latest`, replaced as a whole at every sample."""

    def __init__(
        self,
        machine: Machine = psutil,
        monotonic: Callable[[], float] = boottime,
        cgroup: Cgroup | None = None,
    ) -> None:
        self._machine = machine
        self._monotonic = monotonic
        self._cgroup = cgroup or Cgroup()
        self._cpu_before: tuple[float, float] | None = None
        self._cgroup_cpu_before: tuple[float, float] | None = None
        self._network_before: tuple[Mapping[str, int], float] | None = None
        self.latest = Metrics.unread(monotonic())

    def run(self, stopped: threading.Event) -> None:
        """Sample until stopped."""
        while not stopped.is_set():
            self.sample()
            stopped.wait(_EVERY_SECONDS)

    def sample(self) -> None:
        """Take every figure once."""
        unread, taking = Metrics.unread(self._monotonic()), _Taking()
        self.latest = Metrics(
            unread.sampled_at,
            cpu=taking.group(
                "cpu", unread.cpu, [self._count, self._load, self._cpu_percent, self._cgroup_cpu]
            ),
            memory=taking.group("memory", unread.memory, [self._memory, self._cgroup_memory]),
            network=taking.group("network", unread.network, [self._network]),
            unreadable=taking.unreadable,
        )

    def _count(self, figures: Figures) -> None:
        figures["count"] = self._machine.cpu_count()
        if figures["count"] is None:
            raise NotImplementedError

    def _load(self, figures: Figures) -> None:
        figures["load_average"] = [round(load, 2) for load in os.getloadavg()]

    def _memory(self, figures: Figures) -> None:
        seen = self._machine.virtual_memory()
        figures |= {name: getattr(seen, name) for name in ("total", "available", "used", "percent")}

    def _cpu_percent(self, figures: Figures) -> None:
        before, self._cpu_before = self._cpu_before, None
        total, idle = self._cpu_before = _cpu_seconds(self._machine.cpu_times())
        if before is None or total <= before[0]:
            raise _TooEarly
        figures["percent"] = _percent(1 - (idle - before[1]) / (total - before[0]))

    def _cgroup_memory(self, figures: Figures) -> None:
        if found := self._cgroup.memory():
            share = _percent(found.used / found.limit)
            figures |= {
                "cgroup_limit": found.limit,
                "cgroup_used": found.used,
                "cgroup_percent": share,
            }

    def _cgroup_cpu(self, figures: Figures) -> None:
        before, self._cgroup_cpu_before = self._cgroup_cpu_before, None
        found, now = self._cgroup.cpu(), self._monotonic()
        if found is None:
            return
        figures["cgroup_limit"] = round(found.cores, 2)
        if found.used_seconds is None:
            raise NotImplementedError
        self._cgroup_cpu_before = (found.used_seconds, now)
        if before is None or now <= before[1] or found.used_seconds < before[0]:
            raise _TooEarly
        figures["cgroup_percent"] = _percent(
            (found.used_seconds - before[0]) / (now - before[1]) / found.cores
        )

    def _network(self, figures: Figures) -> None:
        before, self._network_before = self._network_before, None
        seen, now = self._machine.net_io_counters(), self._monotonic()
        counted = {name: int(getattr(seen, name)) for name in COUNTERS}
        figures |= counted
        self._network_before = (counted, now)
        if before is None or now <= before[1]:
            raise _TooEarly
        grown = {name: counted[name] - before[0][name] for name in COUNTERS}
        # A counter that went back belongs to an interface that was taken away.
        rates = {
            f"{name}_per_second": grown[name] / (now - before[1])
            for name in COUNTERS
            if grown[name] >= 0
        }
        figures |= {name: round(rate, 1) for name, rate in rates.items()}
        if len(rates) < len(COUNTERS):
            raise _TooEarly


class _TooEarly(Exception):
    """What was read is no difference yet."""


class _Taking:
    """One sample: what could not be read is None, and `unreadable` says why."""

    def __init__(self) -> None:
        self.unreadable: dict[str, str] = {}

    def group(
        self, name: str, unread: Mapping[str, Any], reads: list[Callable[[Figures], None]]
    ) -> Figures:
        figures: Figures = dict(unread)
        for read in reads:
            trouble = _trouble(read, figures)
            if trouble is not None:
                missing = (key for key in _KEYS[name, read.__name__] if figures[key] is None)
                self.unreadable |= {f"{name}.{key}": trouble for key in missing}
        return figures


# Which keys a read of a group is to fill in.
_KEYS: dict[tuple[str, str], tuple[str, ...]] = {
    ("cpu", "_count"): ("count",),
    ("cpu", "_load"): ("load_average",),
    ("cpu", "_cpu_percent"): ("percent",),
    ("cpu", "_cgroup_cpu"): ("cgroup_limit", "cgroup_percent"),
    ("memory", "_memory"): ("total", "available", "used", "percent"),
    ("memory", "_cgroup_memory"): ("cgroup_limit", "cgroup_used", "cgroup_percent"),
    ("network", "_network"): (*COUNTERS, *(f"{name}_per_second" for name in COUNTERS)),
}


def _trouble(read: Callable[[Figures], None], figures: Figures) -> str | None:
    try:
        read(figures)
    except _TooEarly:
        return _TWO_SAMPLES
    except (psutil.AccessDenied, PermissionError):
        return "access_denied"
    except (AttributeError, NotImplementedError, FileNotFoundError):
        return "unsupported"
    except Exception:  # noqa: BLE001  a probe's edge: containers and jails fail in many ways
        _log.debug("health_metric_unreadable", exc_info=True)
        return "failed"
    return None


def _percent(share: float) -> float:
    return round(min(100.0, max(0.0, 100 * share)), 1)


def _cpu_seconds(times: Any) -> tuple[float, float]:  # noqa: ANN401
    """Total and idle seconds; on Linux a guest's time is also counted as user
    time, and waiting for a disk is idle.
    """
    named: dict[str, float] = times._asdict()
    total = sum(named.values()) - named.get("guest", 0.0) - named.get("guest_nice", 0.0)
    return total, named["idle"] + named.get("iowait", 0.0)
