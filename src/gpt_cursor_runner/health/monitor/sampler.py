"""Samples the machine's figures in one thread: percentages and rates are
differences to the previous sample.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import psutil
import structlog

from gpt_cursor_runner.health.monitor.cgroup import Cgroup
from gpt_cursor_runner.health.monitor.model import COUNTERS, Metrics
from gpt_cursor_runner.system.clock import boottime

_log = structlog.get_logger(__name__)

SAMPLE_SECONDS = 1.0

Figures = dict[str, Any]


class Machine(Protocol):
    """The part of psutil that is used; none of these calls scans processes or
    waits.
    """

    def cpu_times(self) -> Any: ...  # noqa: ANN401  psutil's fields differ by system
    def cpu_count(self) -> int | None: ...
    def virtual_memory(self) -> Any: ...  # noqa: ANN401
    def net_io_counters(self) -> Any: ...  # noqa: ANN401


class Sampler:
    """Holds the latest figures in `latest`, replaced as one value per sample."""

    def __init__(
        self,
        machine: Machine = psutil,
        monotonic: Callable[[], float] = boottime,
        cgroup: Cgroup | None = None,
    ) -> None:
        self._machine = machine
        self._monotonic = monotonic
        self._cgroup = cgroup or Cgroup()
        # The previous sample; None after one that failed, so that a difference
        # never spans more than one interval.
        self._previous_cpu: tuple[float, float] | None = None
        self._previous_cgroup_cpu: tuple[float, float] | None = None
        self._previous_network: tuple[Mapping[str, int], float] | None = None
        self.latest = Metrics.unread(monotonic())

    def turn(self) -> float:
        """Sample; return the seconds until the next sample."""
        self.sample()
        return SAMPLE_SECONDS

    def sample(self) -> None:
        """Read every figure once."""
        empty = Metrics.unread(self._monotonic())
        unreadable: dict[str, str] = {}
        cpu, memory, network = dict(empty.cpu), dict(empty.memory), dict(empty.network)
        # Each reader fills in the keys beside it, and fails without the others.
        for group, figures, read, keys in (
            ("cpu", cpu, self._read_cpu_count, ("count",)),
            ("cpu", cpu, self._read_load, ("load_average",)),
            ("cpu", cpu, self._read_cpu_percent, ("percent",)),
            ("cpu", cpu, self._read_cgroup_cpu, ("cgroup_limit", "cgroup_percent")),
            ("memory", memory, self._read_memory, _MEMORY_KEYS),
            ("memory", memory, self._read_cgroup_memory, _CGROUP_MEMORY_KEYS),
            ("network", network, self._read_network, tuple(network)),
        ):
            unreadable |= _fill(group, figures, read, keys)
        self.latest = Metrics(empty.sampled_at, cpu, memory, network, unreadable)

    def _read_cpu_count(self, figures: Figures) -> None:
        figures["count"] = self._machine.cpu_count()
        if figures["count"] is None:
            raise NotImplementedError

    def _read_load(self, figures: Figures) -> None:
        figures["load_average"] = [round(load, 2) for load in os.getloadavg()]

    def _read_memory(self, figures: Figures) -> None:
        memory = self._machine.virtual_memory()
        for key in _MEMORY_KEYS:
            figures[key] = getattr(memory, key)

    def _read_cpu_percent(self, figures: Figures) -> None:
        previous, self._previous_cpu = self._previous_cpu, None
        total, idle = _cpu_seconds(self._machine.cpu_times())
        self._previous_cpu = (total, idle)
        if previous is None or total <= previous[0]:
            raise _NeedsTwoSamples
        idle_share = (idle - previous[1]) / (total - previous[0])
        figures["percent"] = _percent(1 - idle_share)

    def _read_cgroup_memory(self, figures: Figures) -> None:
        memory = self._cgroup.memory()
        if memory is not None:
            figures["cgroup_limit"] = memory.limit
            figures["cgroup_used"] = memory.used
            figures["cgroup_percent"] = _percent(memory.used / memory.limit)

    def _read_cgroup_cpu(self, figures: Figures) -> None:
        previous, self._previous_cgroup_cpu = self._previous_cgroup_cpu, None
        limit = self._cgroup.cpu()
        now = self._monotonic()
        if limit is None:
            return
        figures["cgroup_limit"] = round(limit.cores, 2)
        if limit.used_seconds is None:
            raise NotImplementedError
        self._previous_cgroup_cpu = (limit.used_seconds, now)
        if previous is None:
            raise _NeedsTwoSamples
        used_seconds, seconds = limit.used_seconds - previous[0], now - previous[1]
        if seconds <= 0 or used_seconds < 0:
            raise _NeedsTwoSamples
        figures["cgroup_percent"] = _percent(used_seconds / seconds / limit.cores)

    def _read_network(self, figures: Figures) -> None:
        previous, self._previous_network = self._previous_network, None
        counters = self._machine.net_io_counters()
        now = self._monotonic()
        counts = {name: int(getattr(counters, name)) for name in COUNTERS}
        figures |= counts
        self._previous_network = (counts, now)
        if previous is None or now <= previous[1]:
            raise _NeedsTwoSamples
        figures |= _rates(previous[0], counts, now - previous[1])
        if None in figures.values():
            raise _NeedsTwoSamples


_MEMORY_KEYS = ("total", "available", "used", "percent")
_CGROUP_MEMORY_KEYS = ("cgroup_limit", "cgroup_used", "cgroup_percent")


class _NeedsTwoSamples(Exception):
    """There is no previous sample to compare with."""


def _fill(
    group: str, figures: Figures, read: Callable[[Figures], None], keys: Sequence[str]
) -> dict[str, str]:
    """Call a reader; return the reason for each of its figures that is missing."""
    reason = _failure(read, figures)
    if reason is None:
        return {}
    return {f"{group}.{key}": reason for key in keys if figures[key] is None}


def _failure(read: Callable[[Figures], None], figures: Figures) -> str | None:
    try:
        read(figures)
    except _NeedsTwoSamples:
        return "two_samples_needed"
    except (psutil.AccessDenied, PermissionError):
        return "access_denied"
    except (AttributeError, NotImplementedError, FileNotFoundError):
        return "unsupported"
    except Exception:  # noqa: BLE001  a probe's edge: containers and jails fail in many ways
        _log.debug("health_metric_unreadable", exc_info=True)
        return "failed"
    return None


def _rates(before: Mapping[str, int], after: Mapping[str, int], seconds: float) -> dict[str, float]:
    rates = {}
    for name in COUNTERS:
        increase = after[name] - before[name]
        # A counter decreases when an interface is removed.
        if increase >= 0:
            rates[f"{name}_per_second"] = round(increase / seconds, 1)
    return rates


def _percent(share: float) -> float:
    return round(min(100.0, max(0.0, 100 * share)), 1)


def _cpu_seconds(times: Any) -> tuple[float, float]:  # noqa: ANN401
    """Total and idle seconds since the start of the machine."""
    seconds: dict[str, float] = times._asdict()
    # Linux counts the time of a guest as user time too, and reports the time
    # of waiting for a disk apart from idle.
    guest = seconds.get("guest", 0.0) + seconds.get("guest_nice", 0.0)
    idle = seconds["idle"] + seconds.get("iowait", 0.0)
    return sum(seconds.values()) - guest, idle
