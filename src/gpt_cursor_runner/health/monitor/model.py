"""The values of health, all immutable. Moments ending in `_at` are seconds of
`clock.boottime`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from gpt_cursor_runner import __version__


class CheckStatus(StrEnum):
    """The state of one check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


SEVERITY = {CheckStatus.OK: 0, CheckStatus.WARN: 1, CheckStatus.UNKNOWN: 2, CheckStatus.FAIL: 3}


class Criticality(StrEnum):
    """Whether patches can still be accepted and stored without this part."""

    CRITICAL = "critical"
    IMPAIRING = "impairing"


class Overall(StrEnum):
    """The state of the gateway, in one word."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"
    ERROR = "error"


@dataclass(frozen=True)
class Reading:
    """The result of one run of a probe.

    `code` comes from a fixed table and is public; `message`, `data` and
    `remedy` are for the owner. A `fact` (a lock that is gone, a read-only disk)
    counts at once; any other reading counts when the next run agrees.
    """

    status: CheckStatus
    code: str
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    fact: bool = False

    @property
    def proven(self) -> bool:
        """Whether the part works, possibly with a warning."""
        return self.status in (CheckStatus.OK, CheckStatus.WARN)


@dataclass(frozen=True)
class ProbeSpec:
    """When a check runs, and when its readings count.

    A reading that is no fact counts after `fall` bad runs, or `rise` good ones,
    in a row. Until its first good run, and no longer than `grace_seconds`, a
    failing check is starting. While a check in `caused_by` fails, no alert is
    sent about this one.
    """

    name: str
    component: str
    criticality: Criticality
    interval_seconds: float
    deadline_seconds: float
    fall: int = 2
    rise: int = 2
    grace_seconds: float = 0.0
    caused_by: tuple[str, ...] = ()

    @property
    def stale_after_seconds(self) -> float:
        """The age from which a reading proves nothing."""
        # Two runs may be missed, on a machine under load; a third has no excuse.
        return 3 * self.interval_seconds + self.deadline_seconds


@dataclass(frozen=True)
class CheckState:
    """One check: `reading` is the one that counts, `raw` that of the last run."""

    spec: ProbeSpec
    watched_since: float
    reading: Reading | None = None
    raw: Reading | None = None
    disagreeing_runs: int = 0
    running_since: float | None = None
    finished_at: float | None = None
    duration_seconds: float | None = None
    consecutive_failures: int = 0
    last_ok_at: float | None = None
    since_at: float | None = None
    recent: tuple[CheckStatus, ...] = ()
    flapping: bool = False

    @property
    def name(self) -> str:
        return self.spec.name

    def running_seconds(self, at: float) -> float:
        """How long the run under way has lasted; zero when there is none."""
        if self.running_since is None:
            return 0.0
        return at - self.running_since


CPU_KEYS = ("count", "percent", "load_average", "cgroup_limit", "cgroup_percent")
MEMORY_KEYS = (
    "total",
    "available",
    "used",
    "percent",
    "cgroup_limit",
    "cgroup_used",
    "cgroup_percent",
)
COUNTERS = ("bytes_sent", "bytes_recv", "packets_sent", "packets_recv")


@dataclass(frozen=True)
class Metrics:
    """Figures of the machine. Every key is present; a value that cannot be read
    is None.

    `unreadable` maps the group and key of each such value (`cpu.percent`) to
    access_denied, unsupported, failed or two_samples_needed. A limit that is not
    set is None and not listed there.
    """

    sampled_at: float
    cpu: Mapping[str, Any]
    memory: Mapping[str, Any]
    network: Mapping[str, Any]
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def unread(cls, sampled_at: float) -> Self:
        """Every key, no value."""
        rates = [f"{name}_per_second" for name in COUNTERS]
        return cls(
            sampled_at,
            cpu=dict.fromkeys(CPU_KEYS),
            memory=dict.fromkeys(MEMORY_KEYS),
            network=dict.fromkeys((*COUNTERS, *rates)),
        )


@dataclass(frozen=True)
class Snapshot:
    """The state of all checks at one tick of the monitor."""

    checks: tuple[CheckState, ...]
    ticked_at: float
    observed_wall: float
    overall: Overall
    since_at: float
    metrics: Metrics
    draining: bool = False

    def wall(self, at: float) -> float:
        """Epoch seconds of a moment, by the wall clock as it was set at the
        tick.
        """
        return self.observed_wall + (at - self.ticked_at)


@dataclass(frozen=True)
class Identity:
    """The gateway process that answers, and its port."""

    instance_id: str
    port: int
    version: str = __version__
