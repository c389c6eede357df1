"""The verdict and the machine's figures in Prometheus' text format: base units,
and no more than a stranger may see.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from gpt_cursor_runner.gateway.health.view import system_metrics
from gpt_cursor_runner.health.monitor.judging import ProbeResult, Verdict
from gpt_cursor_runner.health.monitor.model import Identity, Overall, Snapshot, Status

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(snapshot: Snapshot, verdict: Verdict, identity: Identity, now: float) -> bytes:
    """Every metric as of `now`; a figure that is not known has no sample."""
    return generate_latest(
        _Collected(
            [
                *_verdict(verdict, identity),
                *_checks(verdict, now),
                *_machine(snapshot, verdict, now),
            ]
        )
    )


@dataclass(frozen=True)
class _Collected:
    """What was collected, in the one form in which the library's writer takes
    it.
    """

    metrics: list[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def _verdict(verdict: Verdict, identity: Identity) -> Iterator[Metric]:
    build = InfoMetricFamily("gcr_build", "The gateway that answers.")
    build.add_metric([], {"version": identity.version, "instance_id": identity.instance_id})
    yield build
    overall = GaugeMetricFamily(
        "gcr_health_overall", "1 for the word that /health says.", labels=["state"]
    )
    for word in Overall:
        overall.add_metric([word], word is verdict.overall)
    yield overall
    yield GaugeMetricFamily(
        "gcr_health_ready", "1 while patches can be accepted and stored.", value=verdict.ready
    )


def _checks(verdict: Verdict, now: float) -> Iterator[Metric]:
    status = GaugeMetricFamily(
        "gcr_check_status", "1 for the state that counts.", labels=["check", "state"]
    )
    for one in verdict.checks:
        for state in Status:
            status.add_metric([one.state.name, state], one.status is state)
    yield status
    for name, what in _OF_A_CHECK.items():
        family = GaugeMetricFamily(name, what, labels=["check"])
        for one in verdict.checks:
            value = _figures(one, now)[name]
            if value is not None:
                family.add_metric([one.state.name], value)
        yield family


_OF_A_CHECK = {
    "gcr_check_duration_seconds": "How long the last run took.",
    "gcr_check_age_seconds": "How long ago the last run ended.",
    "gcr_check_stuck_seconds": (
        "How long a run that is past its deadline has been under way; 0 when none is."
    ),
    "gcr_check_consecutive_failures": "How many runs in a row found trouble.",
    "gcr_check_flapping": "1 while the check changes its mind too often.",
}


def _figures(one: ProbeResult, now: float) -> dict[str, float | None]:
    ended_at = one.state.finished_at
    values = (
        one.state.duration_seconds,
        None if ended_at is None else max(0.0, now - ended_at),
        one.stuck_for_seconds,
        one.state.consecutive_failures,
        one.state.flapping,
    )
    return dict(zip(_OF_A_CHECK, values, strict=True))


@dataclass(frozen=True)
class _Figure:
    """Where a figure of the machine stands in the answer, and what it is called
    here.
    """

    metric: str
    group: str
    key: str
    label: str = ""
    per_unit: float = 1.0


_GAUGES = {
    "gcr_system_cpu_count": ("Processors of the machine.", ""),
    "gcr_system_cpu_utilization_ratio": ("Share of the processors' time that is used.", ""),
    "gcr_system_memory_bytes": ("The machine's memory.", "kind"),
    "gcr_system_cgroup_cpu_count": (
        "Processors that this container may use; absent without a limit.",
        "",
    ),
    "gcr_system_cgroup_cpu_utilization_ratio": (
        "Share of the container's processors that is used.",
        "",
    ),
    "gcr_system_cgroup_memory_bytes": ("The container's memory; absent without a limit.", "kind"),
    "gcr_system_disk_bytes": ("The disk that the patches' evidence is on.", "kind"),
}
_COUNTERS = {
    "gcr_network_bytes": ("Bytes over all network interfaces.", "direction"),
    "gcr_network_packets": ("Packets over all network interfaces.", "direction"),
}
_FIGURES = (
    _Figure("gcr_system_cpu_count", "cpu", "count"),
    _Figure("gcr_system_cpu_utilization_ratio", "cpu", "percent", per_unit=100.0),
    *(
        _Figure("gcr_system_memory_bytes", "memory", kind, kind)
        for kind in ("total", "available", "used")
    ),
    _Figure("gcr_system_cgroup_cpu_count", "cpu", "cgroup_limit"),
    _Figure("gcr_system_cgroup_cpu_utilization_ratio", "cpu", "cgroup_percent", per_unit=100.0),
    *(
        _Figure("gcr_system_cgroup_memory_bytes", "memory", f"cgroup_{kind}", kind)
        for kind in ("limit", "used")
    ),
    *(_Figure("gcr_system_disk_bytes", "disk", kind, kind) for kind in ("total", "used", "free")),
    _Figure("gcr_network_bytes", "network", "bytes_recv", "receive"),
    _Figure("gcr_network_bytes", "network", "bytes_sent", "transmit"),
    _Figure("gcr_network_packets", "network", "packets_recv", "receive"),
    _Figure("gcr_network_packets", "network", "packets_sent", "transmit"),
)


def _machine(snapshot: Snapshot, verdict: Verdict, now: float) -> Iterator[Metric]:
    shown = system_metrics(snapshot, verdict, now)
    for name, (what, label) in _GAUGES.items():
        yield _filled(GaugeMetricFamily(name, what, labels=[label] if label else []), name, shown)
    for name, (what, label) in _COUNTERS.items():
        yield _filled(CounterMetricFamily(name, what, labels=[label]), name, shown)
    load = GaugeMetricFamily(
        "gcr_system_load_average",
        "Processes that run or wait to, over so many minutes.",
        labels=["minutes"],
    )
    for minutes, value in zip(("1", "5", "15"), shown["cpu"]["load_average"] or (), strict=False):
        load.add_metric([minutes], value)
    yield load


def _filled(
    family: GaugeMetricFamily | CounterMetricFamily, name: str, shown: Mapping[str, Any]
) -> GaugeMetricFamily | CounterMetricFamily:
    for one in _FIGURES:
        value = shown[one.group].get(one.key)
        if one.metric == name and value is not None:
            family.add_metric([one.label] if one.label else [], value / one.per_unit)
    return family
