"""Values with a default for everything, and a clock that moves when told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpt_cursor_runner.health.monitor.model import (
    CheckState,
    Criticality,
    Metrics,
    Overall,
    ProbeSpec,
    Reading,
    Snapshot,
    Status,
)
from gpt_cursor_runner.health.monitor.monitor import Vitals
from gpt_cursor_runner.health.monitor.probe import Probe
from gpt_cursor_runner.health.probes.queue import LedgerProbe
from gpt_cursor_runner.health.probes.standard import Surroundings, standard_probes
from gpt_cursor_runner.system.clock import boottime

NOW = 1000.0
WALL = 1_800_000_000.0


@dataclass
class Clock:
    now: float = NOW

    def __call__(self) -> float:
        return self.now


class FixedProbe:
    """Says what it is told to, and counts."""

    def __init__(
        self,
        said: Callable[[], Any] = lambda: Reading(Status.OK, "well"),
        name: str = "part",
        **others: Any,
    ):
        self.spec = make_spec(
            name, **({"interval_seconds": 0.02, "deadline_seconds": 2.0} | others)
        )
        self.said = said
        self.runs = self.under_way = self.most_at_once = 0
        self.closed = False

    def read(self) -> Reading:
        self.runs += 1
        self.under_way += 1
        self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            found: Reading = self.said()
            return found
        finally:
            self.under_way -= 1

    def close(self) -> None:
        self.closed = True


def reading(status: Status = Status.OK, code: str = "well", **others: Any) -> Reading:
    return Reading(status, code, **others)


def make_spec(
    name: str = "part", criticality: Criticality = Criticality.CRITICAL, **others: Any
) -> ProbeSpec:
    return ProbeSpec(
        name, name, criticality, **({"interval_seconds": 1.0, "deadline_seconds": 1.0} | others)
    )


def check(
    name: str = "part",
    status: Status | None = Status.OK,
    criticality: Criticality = Criticality.CRITICAL,
    *,
    code: str | None = None,
    age: float = 0.1,
    **others: Any,
) -> CheckState:
    """A check whose last run ended `age` seconds before NOW; `status=None` for
    one that has not run yet.
    """
    found = (
        None if status is None else reading(status, code or status.value, **others.pop("said", {}))
    )
    defaults: dict[str, Any] = {
        "spec": make_spec(name, criticality),
        "watched_since": NOW - 60 if found else NOW,
        "reading": found,
        "raw": found,
        "finished_at": NOW - age if found else None,
        "duration_seconds": 0.01 if found else None,
        "last_ok_at": NOW if status in (Status.OK, Status.WARN) else None,
        "since_at": NOW if found else None,
    }
    return CheckState(**(defaults | others))


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
    """The six checks of a gateway, all well, but for those given."""
    well = {
        "web": check("web"),
        "port": check("port"),
        "filesystem": check("filesystem", said={"data": SPACE}),
        "queue": check("queue"),
        "webhook": check("webhook"),
        "runner": check(
            "runner", criticality=Criticality.IMPAIRING, said={"data": {"state": "up", "pid": 4711}}
        ),
    }
    return tuple((well | instead).values())


def until(true: Callable[[], object], seconds: float = 5.0) -> bool:
    """Wait for something that happens elsewhere; False when it did not happen
    in time.
    """
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        if true():
            return True
        time.sleep(0.01)
    return False


def probes_of(directory: Path, ledger: LedgerProbe, **others: Any) -> tuple[Probe, ...]:
    """The checks of a gateway that has this directory and watches nothing
    beside itself, but for what is given.
    """
    defaults: dict[str, Any] = {
        "state_directory": directory,
        "patches_directory": directory,
        "host": "127.0.0.1",
        "port": 5555,
        "instance_id": "instance-1",
        "permits_free": lambda: 48,
        "writer_alive": lambda: True,
        "recorded_at": lambda: float("-inf"),
        "busy": lambda: 0,
        "threads": 64,
        "latest": lambda: metrics(boottime()),
        "vitals": lambda: Vitals(0.0, (), ()),
        "history_behind": lambda: 0,
        "surroundings": Surroundings(),
    }
    return standard_probes(ledger=ledger, **(defaults | others))
