"""The figures for Prometheus, read back with its own parser."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from gpt_cursor_runner.gateway.health.exposition import exposition
from gpt_cursor_runner.health.monitor.judging import judge
from gpt_cursor_runner.health.monitor.model import (
    CheckStatus,
    Criticality,
    Identity,
    Metrics,
    Snapshot,
)
from tests.health.builders import NOW, check, gateway_checks, snapshot

ME = Identity("instance-1", 5555, "3.1.1")

Samples = dict[tuple[str, ...], float]


def samples(current: Snapshot, now: float = NOW) -> Samples:
    """By name and labels' values."""
    values: Samples = {}
    for family in text_string_to_metric_families(
        exposition(current, judge(current, now), ME, now).decode()
    ):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, *(sample.labels[label] for label in sorted(sample.labels)))
            assert key not in values, key
            values[key] = sample.value
    return values


def having(values: Samples, name: str) -> dict[tuple[str, ...], float]:
    return {key[1:]: value for key, value in values.items() if key[0] == name}


def test_one_of_four_states_is_1():
    runner = check("runner", CheckStatus.FAIL, Criticality.IMPAIRING)
    values = samples(snapshot(*gateway_checks(runner=runner)))
    assert having(values, "gcr_health_overall") == {
        ("healthy",): 0,
        ("degraded",): 1,
        ("unknown",): 0,
        ("error",): 0,
    }
    of_runner = {
        key[1]: value
        for key, value in having(values, "gcr_check_status").items()
        if key[0] == "runner"
    }
    assert of_runner == {"ok": 0, "warn": 0, "fail": 1, "unknown": 0}
    assert values["gcr_health_ready",] == 1
    assert values["gcr_build_info", "instance-1", "3.1.1"] == 1


def test_every_check_has_its_figures_in_seconds():
    stuck = check(
        "queue", running_since=NOW - 9, duration_seconds=0.25, consecutive_failures=3, flapping=True
    )
    values = samples(snapshot(*gateway_checks(queue=stuck)), NOW + 1)
    assert values["gcr_check_stuck_seconds", "queue"] == 9
    assert values["gcr_check_duration_seconds", "queue"] == 0.25
    assert round(values["gcr_check_age_seconds", "queue"], 3) == 1.1
    assert values["gcr_check_consecutive_failures", "queue"] == 3
    assert (values["gcr_check_flapping", "queue"], values["gcr_check_flapping", "web"]) == (1, 0)
    assert values["gcr_check_stuck_seconds", "web"] == 0


def test_the_figures_of_the_machine_are_in_base_units():
    values = samples(snapshot(*gateway_checks()))
    assert values["gcr_system_cpu_utilization_ratio",] == 0.168
    assert having(values, "gcr_system_memory_bytes") == {
        ("total",): 10,
        ("available",): 6,
        ("used",): 4,
    }
    assert having(values, "gcr_system_disk_bytes") == {
        ("total",): 1000,
        ("used",): 100,
        ("free",): 900,
    }
    assert having(values, "gcr_network_bytes_total") == {("receive",): 6792438784, ("transmit",): 1}
    assert having(values, "gcr_system_load_average") == {("1",): 1, ("5",): 1, ("15",): 1}


def test_a_containers_limits_stand_beside_the_machines_figures():
    current = snapshot(*gateway_checks())
    cpu = {**current.metrics.cpu, "cgroup_limit": 1.5, "cgroup_percent": 50.0}
    memory = {**current.metrics.memory, "cgroup_limit": 8, "cgroup_used": 2}
    values = samples(replace(current, metrics=replace(current.metrics, cpu=cpu, memory=memory)))
    assert values["gcr_system_cgroup_cpu_count",] == 1.5
    assert values["gcr_system_cgroup_cpu_utilization_ratio",] == 0.5
    assert having(values, "gcr_system_cgroup_memory_bytes") == {("limit",): 8, ("used",): 2}


def test_an_unknown_figure_has_no_sample():
    current = replace(snapshot(check("web", None)), metrics=Metrics.unread(NOW))
    values = samples(current)
    assert not [
        key for key in values if key[0].startswith(("gcr_system", "gcr_network", "gcr_check_age"))
    ]
    assert values["gcr_check_status", "web", "unknown"] == 1
