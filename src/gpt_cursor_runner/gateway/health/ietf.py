"""The answer in the shape of draft-inadarei-api-health-check-06
(`application/health+json`). Pure.

Codes and figures only, so it is fit for strangers.
"""

from __future__ import annotations

from typing import Any

from gpt_cursor_runner.gateway.health.view import AS_STATUS, system_metrics, utc
from gpt_cursor_runner.health.monitor.judging import ProbeResult, Verdict
from gpt_cursor_runner.health.monitor.model import Identity, Snapshot, Status

_AS_STATUS = {Status.OK: "pass", Status.WARN: "warn", Status.FAIL: "fail", Status.UNKNOWN: "fail"}
_DATASTORES = ("queue",)
_UTILIZED = ("cpu", "memory", "disk")


def ietf_body(
    snapshot: Snapshot, verdict: Verdict, identity: Identity, now: float
) -> dict[str, Any]:
    """`output` only where something is wrong, as the draft wants it; `notes`
    has the word of four.
    """
    status = AS_STATUS[verdict.overall]
    return {
        "status": status,
        "version": identity.version.split(".")[0],
        "releaseId": identity.version,
        "serviceId": identity.instance_id,
        "description": "health of a patch's whole path, from the gateway to the runner",
        "notes": [f"overall_status: {verdict.overall}", f"ready: {str(verdict.ready).lower()}"],
        **({} if status == "pass" else {"output": ", ".join(verdict.reasons)}),
        "checks": {
            **{
                f"{one.state.spec.component}:status": [_check(one, snapshot)]
                for one in verdict.checks
            },
            **_utilization(snapshot, verdict, now),
        },
    }


def _check(one: ProbeResult, snapshot: Snapshot) -> dict[str, Any]:
    """One check; before its first run it has no time."""
    name, ended_at = one.state.name, one.state.finished_at
    return {
        "componentId": name,
        "componentType": "datastore" if name in _DATASTORES else "component",
        "observedValue": one.code,
        "status": _AS_STATUS[one.status],
        **({} if ended_at is None else {"time": utc(snapshot.wall(ended_at))}),
        **({} if one.status is Status.OK else {"output": one.code}),
    }


def _utilization(snapshot: Snapshot, verdict: Verdict, now: float) -> dict[str, Any]:
    """The machine's percentages that are known. They are figures; whether one
    is too high, a check says.
    """
    figures = system_metrics(snapshot, verdict, now)
    time = utc(snapshot.wall(snapshot.metrics.sampled_at))
    return {
        f"{name}:utilization": [
            {
                "componentType": "system",
                "observedValue": figures[name]["percent"],
                "observedUnit": "percent",
                "status": "pass",
                "time": time,
            }
        ]
        for name in _UTILIZED
        if figures[name]["percent"] is not None
    }
