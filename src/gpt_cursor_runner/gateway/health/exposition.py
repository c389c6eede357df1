"""The verdict and the machine's figures in the text format of Prometheus: base
units, and nothing that needs a key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)

from gpt_cursor_runner.gateway.health.machine import system_metrics
from gpt_cursor_runner.health.monitor.judging import ProbeResult, Verdict
from gpt_cursor_runner.health.monitor.model import CheckStatus, Identity, Overall, Snapshot

# The version of the format that `generate_latest` writes.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(snapshot: Snapshot, verdict: Verdict, identity: Identity, now: float) -> bytes:
    """All metrics at `now`. A figure that is not known has no sample."""
    metrics = [
        *_gateway_metrics(verdict, identity),
        *_check_metrics(verdict, now),
        *_machine_metrics(snapshot, verdict, now),
    ]
    return generate_latest(_Collector(metrics))


@dataclass(frozen=True)
class _Collector:
    """A list of metrics as a collector, which the library's writer requires."""

    metrics: list[Metric]

    def collect(self) -> Iterable[Metric]:
        return self.metrics


def _gateway_metrics(verdict: Verdict, identity: Identity) -> Iterator[Metric]:
    build = InfoMetricFamily("gcr_build", "The gateway that answers.")
    build.add_metric([], {"version": identity.version, "instance_id": identity.instance_id})
    yield build
    overall = GaugeMetricFamily(
        "gcr_health_overall", "1 for the overall status of /health.", labels=["state"]
    )
    for word in Overall:
        overall.add_metric([word], word is verdict.overall)
    yield overall
    yield GaugeMetricFamily(
        "gcr_health_ready", "1 while patches can be accepted and stored.", value=verdict.ready
    )


class _CheckFigure(NamedTuple):
    metric: str
    documentation: str
    value: Callable[[ProbeResult, float], float | None]


def _age_seconds(result: ProbeResult, now: float) -> float | None:
    if result.state.finished_at is None:
        return None
    return max(0.0, now - result.state.finished_at)


_CHECK_FIGURES = (
    _CheckFigure(
        "gcr_check_duration_seconds",
        "Duration of the last run.",
        lambda result, _: result.state.duration_seconds,
    ),
    _CheckFigure("gcr_check_age_seconds", "Time since the end of the last run.", _age_seconds),
    _CheckFigure(
        "gcr_check_stuck_seconds",
        "Duration of a run that is past its deadline and has not ended; 0 when there is none.",
        lambda result, _: result.stuck_for_seconds,
    ),
    _CheckFigure(
        "gcr_check_consecutive_failures",
        "Number of failed runs in a row.",
        lambda result, _: result.state.consecutive_failures,
    ),
    _CheckFigure(
        "gcr_check_flapping",
        "1 while the status of the check changes too often.",
        lambda result, _: result.state.flapping,
    ),
)


def _check_metrics(verdict: Verdict, now: float) -> Iterator[Metric]:
    status = GaugeMetricFamily(
        "gcr_check_status", "1 for the state that counts.", labels=["check", "state"]
    )
    for result in verdict.checks:
        for state in CheckStatus:
            status.add_metric([result.state.name, state], result.status is state)
    yield status
    for figure in _CHECK_FIGURES:
        family = GaugeMetricFamily(figure.metric, figure.documentation, labels=["check"])
        for result in verdict.checks:
            value = figure.value(result, now)
            if value is not None:
                family.add_metric([result.state.name], value)
        yield family


def _machine_metrics(snapshot: Snapshot, verdict: Verdict, now: float) -> Iterator[Metric]:
    metrics = system_metrics(snapshot, verdict, now)
    cpu, memory = metrics["cpu"], metrics["memory"]
    disk, network = metrics["disk"], metrics["network"]
    yield _gauge("gcr_system_cpu_count", "Processors of the machine.", cpu["count"])
    yield _gauge(
        "gcr_system_cpu_utilization_ratio",
        "Share of the processors' time that is used.",
        _ratio(cpu["percent"]),
    )
    yield _gauge_by_kind(
        "gcr_system_memory_bytes",
        "The machine's memory.",
        _members(memory, "total", "available", "used"),
    )
    yield _gauge(
        "gcr_system_cgroup_cpu_count",
        "Processors that this container may use; absent without a limit.",
        cpu.get("cgroup_limit"),
    )
    yield _gauge(
        "gcr_system_cgroup_cpu_utilization_ratio",
        "Share of the container's processors that is used.",
        _ratio(cpu.get("cgroup_percent")),
    )
    yield _gauge_by_kind(
        "gcr_system_cgroup_memory_bytes",
        "The container's memory; absent without a limit.",
        {"limit": memory.get("cgroup_limit"), "used": memory.get("cgroup_used")},
    )
    yield _gauge_by_kind(
        "gcr_system_disk_bytes",
        "The disk of the patches' evidence.",
        _members(disk, "total", "used", "free"),
    )
    yield _counter_by_direction(
        "gcr_network_bytes",
        "Bytes over all network interfaces.",
        {"receive": network["bytes_recv"], "transmit": network["bytes_sent"]},
    )
    yield _counter_by_direction(
        "gcr_network_packets",
        "Packets over all network interfaces.",
        {"receive": network["packets_recv"], "transmit": network["packets_sent"]},
    )
    yield _load_average(cpu["load_average"])


def _ratio(percent: float | None) -> float | None:
    if percent is None:
        return None
    return percent / 100


def _members(figures: Mapping[str, float | None], *names: str) -> dict[str, float | None]:
    return {name: figures[name] for name in names}


def _gauge(name: str, documentation: str, value: float | None) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=[])
    # A zero instead would look like a measurement.
    if value is not None:
        family.add_metric([], value)
    return family


def _gauge_by_kind(name: str, documentation: str, values: Mapping[str, float | None]) -> Metric:
    family = GaugeMetricFamily(name, documentation, labels=["kind"])
    _add_samples(family, values)
    return family


def _counter_by_direction(
    name: str, documentation: str, values: Mapping[str, float | None]
) -> Metric:
    family = CounterMetricFamily(name, documentation, labels=["direction"])
    _add_samples(family, values)
    return family


def _add_samples(
    family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float | None]
) -> None:
    for label, value in values.items():
        if value is not None:
            family.add_metric([label], value)


def _load_average(load: Iterable[float] | None) -> Metric:
    family = GaugeMetricFamily(
        "gcr_system_load_average",
        "Processes that run or wait to run, averaged over this many minutes.",
        labels=["minutes"],
    )
    if load is not None:
        for minutes, value in zip(("1", "5", "15"), load, strict=False):
            family.add_metric([minutes], value)
    return family
