"""Values of health with defaults, and a clock that tests set."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpt_cursor_runner.health.monitor.model import (
    CheckState,
    CheckStatus,
    Criticality,
    Metrics,
    Overall,
    ProbeSpec,
    Reading,
    Snapshot,
)
from gpt_cursor_runner.health.monitor.monitor import Monitor
from gpt_cursor_runner.health.monitor.probe import Probe
from gpt_cursor_runner.health.monitor.sampler import Sampler

NOW = 1000.0
WALL = 1_800_000_000.0


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


class FixedProbe:
    """Returns the result of `read_result` and counts its runs."""

    def __init__(
        self,
        read_result: Callable[[], Any] = lambda: Reading(CheckStatus.OK, "well"),
        name: str = "part",
        **others: Any,
    ):
        defaults: dict[str, Any] = {"interval_seconds": 0.02, "deadline_seconds": 2.0}
        self.spec = make_spec(name, **(defaults | others))
        self.read_result = read_result
        self.runs = self.under_way = self.most_at_once = 0
        self.closed = False

    def read(self) -> Reading:
        self.runs += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            result: Reading = self.read_result()
            return result
        finally:
            self.under_way -= 1

    def close(self) -> None:
        self.closed = True


def monitor_of(*probes: Probe, **others: Any) -> Monitor:
    """A monitor that watches these probes and has not been started."""
    monitor = Monitor(Sampler(), **others)
    for probe in probes:
        monitor.watch(probe)
    return monitor


def reading(status: CheckStatus = CheckStatus.OK, code: str = "well", **others: Any) -> Reading:
    return Reading(status, code, **others)


def make_spec(
    name: str = "part", criticality: Criticality = Criticality.CRITICAL, **others: Any
) -> ProbeSpec:
    return ProbeSpec(
        name, name, criticality, **({"interval_seconds": 1.0, "deadline_seconds": 1.0} | others)
    )


def check(
    name: str = "part",
    status: CheckStatus | None = CheckStatus.OK,
    criticality: Criticality = Criticality.CRITICAL,
    *,
    code: str | None = None,
    age: float = 0.1,
    result: Mapping[str, Any] | None = None,
    **others: Any,
) -> CheckState:
    """A check whose last run ended `age` seconds before NOW; `status=None` for
    one that has not run yet. `result` has further fields of the reading.
    """
    spec = make_spec(name, criticality)
    if status is None:
        return replace(CheckState(spec, watched_since=NOW), **others)
    last = reading(status, code or status.value, **(result or {}))
    state = CheckState(
        spec,
        watched_since=NOW - 60,
        reading=last,
        raw=last,
        finished_at=NOW - age,
        duration_seconds=0.01,
        last_ok_at=NOW if status in (CheckStatus.OK, CheckStatus.WARN) else None,
        since_at=NOW,
    )
    return replace(state, **others)


def metrics(sampled_at: float = NOW) -> Metrics:
    return Metrics(
        sampled_at,
        cpu={"count": 20, "percent": 16.8, "load_average": [1.0, 1.0, 1.0]},
        memory={"total": 10, "available": 6, "used": 4, "percent": 39.7},
        network={"bytes_sent": 1, "bytes_recv": 6792438784, "packets_sent": 3, "packets_recv": 4},
    )


def snapshot(
    *checks: CheckState, ticked_at: float = NOW, overall: Overall = Overall.HEALTHY, **others: Any
) -> Snapshot:
    return Snapshot(checks, ticked_at, WALL, overall, NOW - 50, metrics(), **others)


SPACE = {
    "directory": "/srv/secret/patches",
    "total_bytes": 1000,
    "used_bytes": 100,
    "free_bytes": 900,
}


def gateway_checks(**instead: CheckState) -> tuple[CheckState, ...]:
    """The six checks of a gateway, all ok except those given."""
    checks = {
        "web": check("web"),
        "port": check("port"),
        "filesystem": check("filesystem", result={"data": SPACE}),
        "queue": check("queue"),
        "webhook": check("webhook"),
        "runner": check(
            "runner",
            criticality=Criticality.IMPAIRING,
            result={"data": {"state": "up", "pid": 4711}},
        ),
    }
    return tuple((checks | instead).values())


def until(condition: Callable[[], object], seconds: float = 60.0) -> bool:
    """Wait for a condition of another thread or process; False when it did not
    become true in time.
    """
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if condition():
            return True
        time.sleep(0.01)
    return False
