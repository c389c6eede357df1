"""Flips, incidents and alerts with a default for everything."""

from __future__ import annotations

from typing import Any

from gpt_cursor_runner.ledger.alerts import Alert, Flip, HistoryBatch, Incident

NOW = 1_800_000_000.0  # the beginning of an hour
DAY = 86_400


def make_flip(
    subject: str = "runner", status: str = "fail", at: float = NOW, **others: Any
) -> Flip:
    return Flip(subject, status, others.pop("code", status), None, None, at, "instance", **others)


def make_incident(
    id: str = "i1",  # noqa: A002
    subject: str = "runner",
    at: float = NOW,
    **others: Any,
) -> Incident:
    return Incident(id, subject, others.pop("severity", "critical"), "down", at, at, **others)


def make_alert(key: str, subject: str = "runner", **others: Any) -> Alert:
    defaults = {"sink": "ops", "incident_id": "i1", "kind": "trigger", "body": {"key": key}}
    return Alert(
        key=key, subject=subject, **({"created_at": NOW, "not_before": NOW} | defaults | others)
    )


def trouble(
    id: str = "i1",  # noqa: A002
    subject: str = "runner",
    sinks: tuple[str, ...] = ("ops",),
    at: float = NOW,
) -> HistoryBatch:
    """A batch that opens an incident and alerts every sink."""
    alerts = tuple(
        make_alert(f"{id}-{sink}", subject, sink=sink, incident_id=id, created_at=at)
        for sink in sinks
    )
    return HistoryBatch(
        flips=(make_flip(subject, at=at, incident_id=id),),
        opened=(make_incident(id, subject, at),),
        alerts=alerts,
    )
