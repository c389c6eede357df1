"""What health knows, as immutable values. Moments ending in `_at` are seconds
of `clock.boottime`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Self

from gpt_cursor_runner import __version__


class Status(StrEnum):
    """How one check stands."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"


SEVERITY = {Status.OK: 0, Status.WARN: 1, Status.UNKNOWN: 2, Status.FAIL: 3}


class Criticality(StrEnum):
    """Whether patches can still be taken and stored without this part."""

    CRITICAL = "critical"
    IMPAIRING = "impairing"


class Overall(StrEnum):
    """The one word of the answer."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNKNOWN = "unknown"
    ERROR = "error"


@dataclass(frozen=True)
class Reading:
    """What one run of a probe found.

    `code` is one of a fixed few and fit for strangers; `message`, `data` and
    `remedy` are for the owner. A `fact` (a lock that is gone, a read-only disk)
    counts at once; anything else may be noise and counts when the next run
    agrees.
    """

    status: Status
    code: str
    message: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    fact: bool = False


@dataclass(frozen=True)
class ProbeSpec:
    """On what terms a check is run and believed.

    Noise counts after `fall` bad runs, or `rise` good ones, in a row. Until its
    first good run, and no longer than `grace_seconds`, a check is said to be
    starting. While one of `caused_by` is in trouble, nobody is alerted of this.
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
        """Older than this, a reading says nothing any more: two runs may be
        missed, not three.
        """
        return 3 * self.interval_seconds + self.deadline_seconds


@dataclass(frozen=True)
class CheckState:
    """One check, with the reading that counts and beside it the raw one of its
    last run.
    """

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
    recent: tuple[Status, ...] = ()
    flapping: bool = False

    @property
    def name(self) -> str:
        return self.spec.name


COUNTERS = ("bytes_sent", "bytes_recv", "packets_sent", "packets_recv")


@dataclass(frozen=True)
class Metrics:
    """The machine's figures; a value that cannot be read is None, its key
    always there.

    `unreadable` says of each of those why, by its group and key: access_denied,
    unsupported, failed or two_samples_needed. A limit that nobody set is None
    and is no such value.
    """

    sampled_at: float
    cpu: Mapping[str, Any]
    memory: Mapping[str, Any]
    network: Mapping[str, Any]
    unreadable: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def unread(cls, sampled_at: float) -> Self:
        """Every key, no value."""
        return cls(
            sampled_at,
            cpu=dict.fromkeys(
                ("count", "percent", "load_average", "cgroup_limit", "cgroup_percent")
            ),
            memory=dict.fromkeys(
                (
                    "total",
                    "available",
                    "used",
                    "percent",
                    "cgroup_limit",
                    "cgroup_used",
                    "cgroup_percent",
                )
            ),
            network=dict.fromkeys((*COUNTERS, *(f"{name}_per_second" for name in COUNTERS))),
        )


@dataclass(frozen=True)
class Snapshot:
    """Everything known at one tick of the monitor."""

    checks: tuple[CheckState, ...]
    ticked_at: float
    observed_wall: float
    overall: Overall
    since_at: float
    metrics: Metrics
    draining: bool = False

    def wall(self, at: float) -> float:
        """What the wall clock of this snapshot would have said at a moment,
        whoever has set it since.
        """
        return self.observed_wall + (at - self.ticked_at)


@dataclass(frozen=True)
class Identity:
    """Which gateway process answers, and where it is bound."""

    instance_id: str
    port: int
    version: str = __version__
