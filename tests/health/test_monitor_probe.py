"""The checks that read values in the gateway's memory: the monitor itself, and
the machine's figures.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from gpt_cursor_runner.health.monitor.model import CheckStatus, Metrics
from gpt_cursor_runner.health.monitor.monitor import MonitorStats
from gpt_cursor_runner.health.monitor.sampler import SAMPLE_SECONDS, Sampler
from gpt_cursor_runner.health.probes.monitor import MonitorProbe
from gpt_cursor_runner.health.probes.resources import STALE_SECONDS, ResourcesProbe
from tests.health.builders import NOW, Clock, FixedProbe, monitor_of, until

STATS = MonitorStats(0.01, (), ())


@pytest.mark.parametrize(
    ("stats", "expected"),
    [
        (STATS, (CheckStatus.OK, "alive")),
        (replace(STATS, lag_seconds=2.0), (CheckStatus.OK, "alive")),
        (replace(STATS, lag_seconds=2.1), (CheckStatus.WARN, "lagging")),
        (replace(STATS, stuck=("filesystem",)), (CheckStatus.OK, "alive")),
        (replace(STATS, dead=("tick",), lag_seconds=9), (CheckStatus.FAIL, "thread_dead")),
    ],
)
def test_the_monitor_is_judged_by_its_stats(stats, expected):
    reading = MonitorProbe(lambda: stats, lambda: 0).read()
    assert (reading.status, reading.code) == expected
    assert reading.data["stuck"] == list(stats.stuck)


def test_a_history_that_is_behind_for_two_runs_is_a_warning():
    behind = [3]
    probe = MonitorProbe(lambda: STATS, lambda: behind[0])
    assert probe.read().code == "alive"
    reading = probe.read()
    assert (reading.status, reading.code, reading.data["history_behind"]) == (
        CheckStatus.WARN,
        "history_behind",
        3,
    )
    behind[0] = 0
    assert probe.read().code == "alive"
    behind[0] = 1
    assert probe.read().code == "alive"


def test_the_stats_of_a_real_monitor_are_ok_until_it_stops():
    monitor = monitor_of(FixedProbe())
    probe = MonitorProbe(monitor.stats, lambda: 0)
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


def test_the_containers_limit_counts_beside_the_machines():
    reading = ResourcesProbe(lambda: metrics(40.0, 97.0), Clock()).read()
    assert (reading.status, reading.code) == (CheckStatus.WARN, "cgroup_memory_short")
    assert reading.data["cgroup_memory_percent"] == 97.0


def test_memory_that_cannot_be_read_is_not_ok():
    reading = ResourcesProbe(lambda: metrics(None), Clock()).read()
    assert (reading.status, reading.code) == (CheckStatus.UNKNOWN, "unread")


def test_figures_that_are_no_longer_updated_are_not_ok():
    clock = Clock(NOW + 15)
    probe = ResourcesProbe(lambda: metrics(99.0), clock)
    assert probe.read().code == "memory_short"
    clock.now += 0.1
    reading = probe.read()
    assert (reading.status, reading.code) == (CheckStatus.UNKNOWN, "stale")


def test_the_figures_are_old_after_fifteen_samples():
    assert (SAMPLE_SECONDS, STALE_SECONDS) == (1.0, 15.0)


def test_a_real_samplers_figures_are_fresh():
    sampler = Sampler()
    sampler.sample()
    assert ResourcesProbe(lambda: sampler.latest).read().code != "stale"
