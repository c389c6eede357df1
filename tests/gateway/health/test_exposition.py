"""The figures for Prometheus, read back with its own parser."""

from __future__ import annotations

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from gpt_cursor_runner.gateway.health.exposition import exposition
from gpt_cursor_runner.health.monitor.judging import judge
from gpt_cursor_runner.health.monitor.model import Criticality, Identity, Metrics, Snapshot, Status
from tests.health.builders import NOW, check, gateway_checks, snapshot

ME = Identity("instance-1", 5555, "3.1.1")

Samples = dict[tuple[str, ...], float]


def samples(seen: Snapshot, now: float = NOW) -> Samples:
    """By name and labels' values."""
    found: Samples = {}
    for family in text_string_to_metric_families(
        exposition(seen, judge(seen, now), ME, now).decode()
    ):
        assert family.documentation, family.name
        for one in family.samples:
            key = (one.name, *(one.labels[label] for label in sorted(one.labels)))
            assert key not in found, key
            found[key] = one.value
    return found


def having(found: Samples, name: str) -> dict[tuple[str, ...], float]:
    return {key[1:]: value for key, value in found.items() if key[0] == name}


def test_the_word_is_one_of_four_and_each_state_one_of_four():
    runner = check("runner", Status.FAIL, Criticality.IMPAIRING)
    found = samples(snapshot(*gateway_checks(runner=runner)))
    assert having(found, "gcr_health_overall") == {
        ("healthy",): 0,
        ("degraded",): 1,
        ("unknown",): 0,
        ("error",): 0,
    }
    of_runner = {
        key[1]: value
        for key, value in having(found, "gcr_check_status").items()
        if key[0] == "runner"
    }
    assert of_runner == {"ok": 0, "warn": 0, "fail": 1, "unknown": 0}
    assert found["gcr_health_ready",] == 1
    assert found["gcr_build_info", "instance-1", "3.1.1"] == 1


def test_every_check_has_its_figures_in_seconds():
    stuck = check(
        "queue", running_since=NOW - 9, duration_seconds=0.25, consecutive_failures=3, flapping=True
    )
    found = samples(snapshot(*gateway_checks(queue=stuck)), NOW + 1)
    assert found["gcr_check_stuck_seconds", "queue"] == 9
    assert found["gcr_check_duration_seconds", "queue"] == 0.25
    assert round(found["gcr_check_age_seconds", "queue"], 3) == 1.1
    assert found["gcr_check_consecutive_failures", "queue"] == 3
    assert (found["gcr_check_flapping", "queue"], found["gcr_check_flapping", "web"]) == (1, 0)
    assert found["gcr_check_stuck_seconds", "web"] == 0


def test_the_machine_is_told_in_base_units():
    found = samples(snapshot(*gateway_checks()))
    assert found["gcr_system_cpu_utilization_ratio",] == 0.168
    assert having(found, "gcr_system_memory_bytes") == {
        ("total",): 10,
        ("available",): 6,
        ("used",): 4,
    }
    assert having(found, "gcr_system_disk_bytes") == {
        ("total",): 1000,
        ("used",): 100,
        ("free",): 900,
    }
    assert having(found, "gcr_network_bytes_total") == {("receive",): 6792438784, ("transmit",): 1}
    assert having(found, "gcr_system_load_average") == {("1",): 1, ("5",): 1, ("15",): 1}


def test_a_containers_limits_stand_beside_the_machines_figures():
    seen = snapshot(*gateway_checks())
    cpu = {**seen.metrics.cpu, "cgroup_limit": 1.5, "cgroup_percent": 50.0}
    memory = {**seen.metrics.memory, "cgroup_limit": 8, "cgroup_used": 2}
    found = samples(replace(seen, metrics=replace(seen.metrics, cpu=cpu, memory=memory)))
    assert found["gcr_system_cgroup_cpu_count",] == 1.5
    assert found["gcr_system_cgroup_cpu_utilization_ratio",] == 0.5
    assert having(found, "gcr_system_cgroup_memory_bytes") == {("limit",): 8, ("used",): 2}


def test_what_is_not_known_has_no_sample():
    seen = replace(snapshot(check("web", None)), metrics=Metrics.unread(NOW))
    found = samples(seen)
    assert not [
        key for key in found if key[0].startswith(("gcr_system", "gcr_network", "gcr_check_age"))
    ]
    assert found["gcr_check_status", "web", "unknown"] == 1
