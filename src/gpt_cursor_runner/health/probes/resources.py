"""Is there memory left, on the machine and within what its container may take?"""

from __future__ import annotations

from collections.abc import Callable

from gpt_cursor_runner.health.monitor.model import Criticality, Metrics, ProbeSpec, Reading, Status
from gpt_cursor_runner.health.probes.threshold import Threshold
from gpt_cursor_runner.system.clock import boottime

_MEMORY_PERCENT = Threshold(on=95, off=90)
_STALE_SECONDS = 15.0
_SAID = {
    "memory_short": "of the memory is in use",
    "cgroup_memory_short": "of the container's memory is in use",
}


class ResourcesProbe:
    """Judges the sampler's latest figures. A busy processor is shown and is no
    trouble.
    """

    spec = ProbeSpec(
        "resources",
        "resources",
        Criticality.IMPAIRING,
        interval_seconds=5.0,
        deadline_seconds=2.0,
        grace_seconds=10.0,
    )

    def __init__(
        self, latest: Callable[[], Metrics], monotonic: Callable[[], float] = boottime
    ) -> None:
        self._latest = latest
        self._monotonic = monotonic
        self._passed = dict.fromkeys(_SAID, False)

    def read(self) -> Reading:
        """From memory. Figures that are old say nothing."""
        metrics = self._latest()
        used = {
            "memory_short": metrics.memory.get("percent"),
            "cgroup_memory_short": metrics.memory.get("cgroup_percent"),
        }
        self._passed = {
            code: _MEMORY_PERCENT.passed(used[code], before)
            for code, before in self._passed.items()
        }
        data = {
            "memory_percent": used["memory_short"],
            "cgroup_memory_percent": used["cgroup_memory_short"],
            "cpu_percent": metrics.cpu.get("percent"),
            "load_average": metrics.cpu.get("load_average"),
        }
        if self._monotonic() - metrics.sampled_at > _STALE_SECONDS:
            return Reading(
                Status.UNKNOWN,
                "stale",
                "the figures are no longer taken",
                data,
                "Restart the gateway.",
            )
        short = [code for code, passed in self._passed.items() if passed]
        if short:
            message = ", ".join(f"{used[code]} % {_SAID[code]}" for code in short)
            return Reading(
                Status.WARN,
                short[0],
                message,
                data,
                "Stop what takes it, or give the gateway more.",
            )
        if used["memory_short"] is None:
            return Reading(Status.UNKNOWN, "unread", "this system does not tell its memory", data)
        return Reading(Status.OK, "within_limits", data=data)

    def close(self) -> None:
        """Nothing is held between two looks."""
