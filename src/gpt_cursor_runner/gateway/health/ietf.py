"""The body of `application/health+json`, after draft-inadarei-api-health-check-06.
Pure.

It contains codes and figures only, because it needs no key.
"""

from __future__ import annotations

from typing import Any

from gpt_cursor_runner.gateway.health.machine import system_metrics
from gpt_cursor_runner.gateway.health.view import SHORT_STATUS, utc
from gpt_cursor_runner.health.monitor.judging import ProbeResult, Verdict
from gpt_cursor_runner.health.monitor.model import CheckStatus, Identity, Snapshot

_STATUSES = {
    CheckStatus.OK: "pass",
    CheckStatus.WARN: "warn",
    CheckStatus.FAIL: "fail",
    CheckStatus.UNKNOWN: "fail",
}
_DATASTORES = ("queue",)
_UTILIZATION = ("cpu", "memory", "disk")


def ietf_body(
    snapshot: Snapshot, verdict: Verdict, identity: Identity, now: float
) -> dict[str, Any]:
    """The body at `now`. The draft has three statuses, so that `notes` has our
    word of four.
    """
    status = SHORT_STATUS[verdict.overall]
    ready = "true" if verdict.ready else "false"
    body: dict[str, Any] = {
        "status": status,
        # Sections 3.2 and 3.3 of the draft: `version` is the public one, of which
        # clients compare the major number; `releaseId` is complete.
        "version": identity.version.split(".")[0],
        "releaseId": identity.version,
        "serviceId": identity.instance_id,
        "description": "health of a patch's whole path, from the gateway to the runner",
        "notes": [f"overall_status: {verdict.overall}", f"ready: {ready}"],
    }
    # Section 3.5 of the draft: no `output` when the status is pass.
    if status != "pass":
        body["output"] = ", ".join(verdict.reasons)
    checks: dict[str, Any] = {}
    for result in verdict.checks:
        checks[f"{result.state.spec.component}:status"] = [_check(result, snapshot)]
    body["checks"] = checks | _utilization(snapshot, verdict, now)
    return body


def _check(result: ProbeResult, snapshot: Snapshot) -> dict[str, Any]:
    name, finished_at = result.state.name, result.state.finished_at
    check = {
        "componentId": name,
        "componentType": "datastore" if name in _DATASTORES else "component",
        "observedValue": result.code,
        "status": _STATUSES[result.status],
    }
    if finished_at is not None:
        check["time"] = utc(snapshot.wall(finished_at))
    if result.status is not CheckStatus.OK:
        check["output"] = result.code
    return check


def _utilization(snapshot: Snapshot, verdict: Verdict, now: float) -> dict[str, Any]:
    """The machine's percentages, except those that are not known. Their status
    is always pass: limits are the business of checks.
    """
    metrics = system_metrics(snapshot, verdict, now)
    time = utc(snapshot.wall(snapshot.metrics.sampled_at))
    shown: dict[str, Any] = {}
    for name in _UTILIZATION:
        percent = metrics[name]["percent"]
        if percent is None:
            continue
        figure = {
            "componentType": "system",
            "observedValue": percent,
            "observedUnit": "percent",
            "status": "pass",
            "time": time,
        }
        shown[f"{name}:utilization"] = [figure]
    return shown
