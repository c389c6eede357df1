"""Checks that memory is left, on the machine and within the container's limit."""

from __future__ import annotations

from collections.abc import Callable

from gpt_cursor_runner.health.monitor.codes import Code, CodeTable
from gpt_cursor_runner.health.monitor.model import (
    CheckStatus,
    Criticality,
    Metrics,
    ProbeSpec,
    Reading,
)
from gpt_cursor_runner.health.monitor.sampler import SAMPLE_SECONDS
from gpt_cursor_runner.health.probes.threshold import Threshold
from gpt_cursor_runner.system.clock import boottime

_MEMORY_PERCENT = Threshold(on=95, off=90)
# A machine without memory left is slow: a few missed samples do not mean that
# the sampler is dead.
STALE_SECONDS = 15 * SAMPLE_SECONDS
_FREE_MEMORY = "Stop the largest process, or give the gateway more memory."


class ResourcesProbe:
    """Judges the latest figures of the sampler. A busy processor is shown and
    does no harm.
    """

    spec = ProbeSpec(
        "resources",
        "resources",
        Criticality.IMPAIRING,
        interval_seconds=5.0,
        deadline_seconds=2.0,
        grace_seconds=10.0,
    )
    codes = CodeTable(
        within_limits=Code(CheckStatus.OK),
        memory_short=Code(CheckStatus.WARN, _FREE_MEMORY),
        cgroup_memory_short=Code(CheckStatus.WARN, _FREE_MEMORY),
        stale=Code(CheckStatus.UNKNOWN, "Restart the gateway."),
        unread=Code(CheckStatus.UNKNOWN),
    )

    def __init__(
        self, latest: Callable[[], Metrics], monotonic: Callable[[], float] = boottime
    ) -> None:
        self._latest = latest
        self._monotonic = monotonic
        self._memory_is_short = False
        self._cgroup_memory_is_short = False

    def read(self) -> Reading:
        metrics = self._latest()
        used = metrics.memory.get("percent")
        cgroup_used = metrics.memory.get("cgroup_percent")
        self._memory_is_short = _MEMORY_PERCENT.passed(used, self._memory_is_short)
        self._cgroup_memory_is_short = _MEMORY_PERCENT.passed(
            cgroup_used, self._cgroup_memory_is_short
        )
        data = {
            "memory_percent": used,
            "cgroup_memory_percent": cgroup_used,
            "cpu_percent": metrics.cpu.get("percent"),
            "load_average": metrics.cpu.get("load_average"),
        }
        # Before the warnings: an old figure may be wrong in both directions.
        if self._monotonic() - metrics.sampled_at > STALE_SECONDS:
            return self.codes.reading("stale", "the figures are no longer updated", data)
        warnings = self._warnings(used, cgroup_used)
        if warnings:
            return self.codes.reading(next(iter(warnings)), ", ".join(warnings.values()), data)
        if used is None:
            message = "this system does not report its memory"
            return self.codes.reading("unread", message, data)
        return self.codes.reading("within_limits", data=data)

    def _warnings(self, used: float | None, cgroup_used: float | None) -> dict[str, str]:
        warnings = {}
        if self._memory_is_short:
            warnings["memory_short"] = f"{used} % of the memory is in use"
        if self._cgroup_memory_is_short:
            warnings["cgroup_memory_short"] = f"{cgroup_used} % of the container's memory is in use"
        return warnings
