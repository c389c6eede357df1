"""The checks that read only what the gateway's own memory holds: the machinery
itself, and the machine's figures.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gpt_cursor_runner.health.monitor.model import Metrics, Status
from gpt_cursor_runner.health.monitor.monitor import Monitor, Vitals
from gpt_cursor_runner.health.monitor.sampler import Sampler
from gpt_cursor_runner.health.probes.command import OwnCheck
from gpt_cursor_runner.health.probes.monitor import MonitorProbe
from gpt_cursor_runner.health.probes.repositories import WatchedRepository
from gpt_cursor_runner.health.probes.resources import ResourcesProbe
from gpt_cursor_runner.health.probes.standard import Surroundings
from tests.building import SEARCH_PATH
from tests.health.builders import NOW, Clock, FixedProbe, probes_of, until

WELL = Vitals(0.01, (), ())


@pytest.mark.parametrize(
    ("vitals", "found"),
    [
        (WELL, (Status.OK, "alive")),
        (replace(WELL, lag_seconds=2.0), (Status.OK, "alive")),
        (replace(WELL, lag_seconds=2.1), (Status.WARN, "lagging")),
        (replace(WELL, stuck=("filesystem",)), (Status.OK, "alive")),
        (replace(WELL, dead=("tick",), lag_seconds=9), (Status.FAIL, "thread_dead")),
    ],
)
def test_the_machinery_is_judged_by_its_own_figures(vitals, found):
    reading = MonitorProbe(lambda: vitals, lambda: 0).read()
    assert (reading.status, reading.code) == found
    assert reading.data["stuck"] == list(vitals.stuck)


def test_a_history_that_is_behind_for_two_looks_is_told():
    behind = [3]
    probe = MonitorProbe(lambda: WELL, lambda: behind[0])
    assert probe.read().code == "alive"
    found = probe.read()
    assert (found.status, found.code, found.data["history_behind"]) == (
        Status.WARN,
        "history_behind",
        3,
    )
    behind[0] = 0
    assert probe.read().code == "alive"
    behind[0] = 1
    assert probe.read().code == "alive"


def test_a_real_monitors_vitals_are_well():
    monitor = Monitor([FixedProbe()], Sampler())
    probe = MonitorProbe(monitor.vitals, lambda: 0)
    monitor.start()
    try:
        assert until(lambda: probe.read().code == "alive")
    finally:
        monitor.stop()
    assert until(lambda: probe.read().code == "thread_dead")


def metrics(percent: float | None = 40.0, cgroup: float | None = None) -> Metrics:
    unread = Metrics.unread(NOW)
    return replace(unread, memory={**unread.memory, "percent": percent, "cgroup_percent": cgroup})


def test_memory_is_short_from_ninety_five_percent_until_ninety():
    latest = [metrics()]
    probe = ResourcesProbe(lambda: latest[0], Clock())
    codes = []
    for percent in (94.9, 95.0, 90.1, 90.0, 94.0):
        latest[0] = metrics(percent)
        codes.append(probe.read().code)
    assert codes == [
        "within_limits",
        "memory_short",
        "memory_short",
        "within_limits",
        "within_limits",
    ]


def test_the_containers_own_limit_counts_beside_the_machines():
    found = ResourcesProbe(lambda: metrics(40.0, 97.0), Clock()).read()
    assert (found.status, found.code) == (Status.WARN, "cgroup_memory_short")
    assert found.data["cgroup_memory_percent"] == 97.0


def test_memory_that_cannot_be_read_is_not_called_well():
    found = ResourcesProbe(lambda: metrics(None), Clock()).read()
    assert (found.status, found.code) == (Status.UNKNOWN, "unread")


def test_figures_that_nobody_takes_any_more_are_not_called_well():
    clock = Clock(NOW + 15)
    probe = ResourcesProbe(lambda: metrics(99.0), clock)
    assert probe.read().code == "memory_short"
    clock.now += 0.1
    found = probe.read()
    assert (found.status, found.code) == (Status.UNKNOWN, "stale")


def test_a_real_samplers_figures_are_fresh():
    sampler = Sampler()
    sampler.sample()
    assert ResourcesProbe(lambda: sampler.latest).read().code != "stale"


def test_only_what_the_owner_named_is_watched_beside_the_gateway(ledger, tmp_path):
    def names(surroundings: Surroundings) -> list[str]:
        probes = probes_of(tmp_path, ledger, surroundings=surroundings)
        for probe in probes:
            probe.close()
        return [probe.spec.name for probe in probes]

    always = ["web", "port", "filesystem", "queue", "webhook", "runner", "monitor", "resources"]
    assert names(Surroundings()) == always
    assert names(Surroundings(public_url="http://localhost:5555")) == always
    everything = Surroundings(
        repositories=(WatchedRepository("app", Path("/"), "main"),),
        external_runner="ghost-runner.js",
        tunnel_metrics="http://127.0.0.1:20241",
        public_url="https://runner.example",
        own_checks=(OwnCheck("disk", ("true",)),),
        environment={"PATH": SEARCH_PATH},
    )
    tunnel = ["tunnel_process", "tunnel_edge", "tunnel_public"]
    assert names(everything) == [*always, "repositories", "external_runner", *tunnel, "own_disk"]
