"""The body of an alert: codes and fixed sentences only, so that no path, host,
pid or error text leaves the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpt_cursor_runner.ledger.alerts import Incident
from gpt_cursor_runner.system.clock import format_rfc3339

SCHEMA = "alert/1"

_DEFAULT_NEXT_STEP = "Run `gcr status` on the machine."
# By `subject.code`, or by code alone where it means the same for every subject.
_NEXT_STEPS = {
    "backlog": "Patches are waiting: see `gcr patches`, and the runner's log.",
    "corrupt": (
        "The ledger is damaged: stop `gcr up`, keep a copy of the state directory, and restore it."
    ),
    "dead_letters": "Patches failed for internal reasons: see `gcr patches --status failed`.",
    "denied": "Give the gateway's user the right to write into the state directory.",
    "runner.down": "Start the runner: `gcr up`, or `gcr runner`.",
    "runner.gone": "The runner died: end the processes it left behind, and run `gcr up`.",
    "runner.blocked": "No patch can land: `gcr status` names the obstacle of each repository.",
    "runner.stalled": "The runner hangs: see its log, and restart it.",
    "runner.not_claiming": "The runner takes no patches: see its log, and restart it.",
    "settings.invalid": "Correct runner.toml: `gcr status` names the key and the fix.",
    "settings.restart_needed": "Restart `gcr up`: a changed key of runner.toml waits for it.",
    "locked": "Find the process that has `ledger.sqlite3` of the state directory open.",
    "thread_dead": "Restart the gateway; its log has the reason.",
    "writer_dead": "Restart the gateway; its log has the reason.",
    "tunnel_process.down": "Start the tunnel: `cloudflared tunnel run`.",
    "not_connected": "See cloudflared's log, and whether the machine reaches the internet.",
    "origin_unreachable": "Compare the tunnel's service address with the gateway's host and port.",
    "missing": "Mount or create the missing path; `gcr doctor` names it.",
    "nearly_full": "Make room on the disk of the state directory.",
    "no_space": "Make room (space or inodes) on the disk of the state directory.",
    "not_bound": "Start the gateway: `gcr up`.",
    "port_foreign": "Another program has the gateway's port: `gcr doctor` names it.",
    "read_only": "Mount the disk of the state directory for writing.",
    "runner.stopped": "The runner's process is stopped: continue it, or end it and run `gcr up`.",
}

_VERBS = {"warn": "has a warning", "fail": "fails", "unknown": "cannot be verified"}


@dataclass(frozen=True)
class AlertContext:
    """The state of an incident's subject when the alert is written. `at` is
    epoch seconds.
    """

    kind: str
    component: str
    severity: str
    status: str
    code: str
    overall: str
    at: float


def alert_body(
    key: str, incident: Incident, context: AlertContext, instance_id: str
) -> Mapping[str, Any]:
    """The body that every sink sends; times are RFC 3339 in UTC."""
    return {
        "schema": SCHEMA,
        "kind": context.kind,
        "key": key,
        "incident_id": incident.id,
        "subject": incident.subject,
        "component": context.component,
        "severity": context.severity,
        "status": context.status,
        "code": context.code,
        "overall_status": context.overall,
        "at": format_rfc3339(context.at),
        "since": format_rfc3339(incident.opened_at),
        "title": _title(incident, context),
        "next_step": _next_step(incident.subject, context),
        "instance_id": instance_id,
    }


def _next_step(subject: str, context: AlertContext) -> str:
    if context.kind == "resolve":
        return "None: the incident is over."
    by_reason = _NEXT_STEPS.get(f"{subject}.{context.code}")
    return by_reason or _NEXT_STEPS.get(context.code, _DEFAULT_NEXT_STEP)


def _title(incident: Incident, context: AlertContext) -> str:
    subject, severity = incident.subject, context.severity
    duration = _duration(context.at - incident.opened_at)
    if context.kind == "resolve":
        ending = "is no longer configured" if context.code == "removed" else "is ok"
        return f"resolved: {subject} {ending}, after {duration}"
    if context.kind == "flapping":
        return f"{severity}: {subject} keeps changing between ok and not ok"
    trouble = f"{subject} {_VERBS.get(context.status, 'is not ok')} ({context.code})"
    if context.kind == "reminder":
        return f"still {severity}: {trouble}, for {duration}"
    return f"{severity}: {trouble}"


def _duration(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
