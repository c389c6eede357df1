"""The `system_metrics` of a health answer: the figures of the machine. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gpt_cursor_runner.health.monitor.judging import Verdict
from gpt_cursor_runner.health.monitor.model import Snapshot

# The figures are sampled once a second. Those of a sampler that hangs are not
# shown for long.
_STALE_SECONDS = 15.0


def system_metrics(snapshot: Snapshot, verdict: Verdict, now: float) -> dict[str, Any]:
    """CPU, memory, network and disk. A figure that is not known is None, and
    `unreadable` has the reason.
    """
    metrics = snapshot.metrics
    age_seconds = now - metrics.sampled_at
    groups = {"cpu": metrics.cpu, "memory": metrics.memory, "network": metrics.network}
    shown: dict[str, Any] = {}
    if age_seconds > _STALE_SECONDS:
        unreadable = dict.fromkeys(groups, "stale")
        for name, figures in groups.items():
            shown[name] = dict.fromkeys(figures)
    else:
        unreadable = dict(metrics.unreadable)
        for name, figures in groups.items():
            shown[name] = dict(figures)
    shown["disk"] = _disk(verdict)
    shown["unreadable"] = unreadable
    shown["sample_age_ms"] = round(1000 * age_seconds)
    return shown


def _disk(verdict: Verdict) -> dict[str, Any]:
    # From the filesystem check, which runs in the background: a request that
    # asks a dead disk would hang.
    space = _disk_space(verdict)
    used, free = space.get("used_bytes"), space.get("free_bytes")
    percent = None
    if used is not None and free is not None and used + free > 0:
        percent = round(100 * used / (used + free), 2)
    return {"total": space.get("total_bytes"), "used": used, "free": free, "percent": percent}


def _disk_space(verdict: Verdict) -> Mapping[str, Any]:
    for result in verdict.checks:
        if result.state.name == "filesystem" and result.proven and result.state.reading:
            return result.state.reading.data
    return {}
