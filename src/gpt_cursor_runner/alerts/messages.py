"""What an alert says: codes and fixed sentences only, so that no path, host,
pid or error text leaves the machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gpt_cursor_runner.ledger.history import Incident
from gpt_cursor_runner.system.clock import format_rfc3339

SCHEMA = "alert/1"

_LOOK = "Run `gcr status` on the machine."
# By reason (`subject.code`), or by code alone where it means the same of every
# subject.
_NEXT_STEPS = {
    "backlog": "Patches wait: see `gcr patches`, and the runner's log.",
    "corrupt": (
        "The ledger is damaged: stop `gcr up`, keep a copy of the state directory, and restore it."
    ),
    "dead_alerts": "Patches failed for reasons of ours: see `gcr patches --status failed`.",
    "denied": "Give the gateway's user the right to write into the state directory.",
    "runner.down": "Start the runner: `gcr up`, or `gcr runner`.",
    "runner.gone": "The runner died: end what it left behind, and run `gcr up`.",
    "runner.stalled": "The runner hangs: see its log, and restart it.",
    "runner.not_claiming": "The runner takes no patches: see its log, and restart it.",
    "locked": "Find who else has `ledger.sqlite3` of the state directory open.",
    "thread_dead": "Restart the gateway; its log says why.",
    "writer_dead": "Restart the gateway; its log says why.",
    "tunnel_process.down": "Start the tunnel: `cloudflared tunnel run`.",
    "not_connected": "See cloudflared's log, and whether the machine reaches the internet.",
    "origin_unreachable": "Compare the tunnel's service address with the gateway's host and port.",
    "missing": "Mount or create what should be there; `gcr doctor` says what.",
    "nearly_full": "Make room on the disk of the state directory.",
    "no_space": "Make room (space or inodes) on the disk of the state directory.",
    "not_bound": "Start the gateway: `gcr up`.",
    "port_foreign": "Another program has the gateway's port: `gcr doctor` names it.",
    "read_only": "Mount the disk of the state directory for writing.",
    "runner.stopped": "The runner's process is stopped: continue it, or end it and run `gcr up`.",
}

_VERBS = {"warn": "has a warning", "fail": "fails", "unknown": "cannot be vouched for"}


@dataclass(frozen=True)
class Occasion:
    """What there is to tell about an incident: how its subject stands at the
    moment of telling.
    """

    kind: str
    component: str
    severity: str
    status: str
    code: str
    overall: str
    at: float


def body(key: str, incident: Incident, occasion: Occasion, instance_id: str) -> Mapping[str, Any]:
    """The alert as every sink sends it; times are RFC 3339 in UTC."""
    ended = occasion.kind == "resolve"
    return {
        "schema": SCHEMA,
        "kind": occasion.kind,
        "key": key,
        "incident_id": incident.id,
        "subject": incident.subject,
        "component": occasion.component,
        "severity": occasion.severity,
        "status": occasion.status,
        "code": occasion.code,
        "overall_status": occasion.overall,
        "at": format_rfc3339(occasion.at),
        "since": format_rfc3339(incident.opened_at),
        "title": _title(incident, occasion),
        "next_step": (
            "Nothing: it is over." if ended else _next_step(incident.subject, occasion.code)
        ),
        "instance_id": instance_id,
    }


def _next_step(subject: str, code: str) -> str:
    return _NEXT_STEPS.get(f"{subject}.{code}") or _NEXT_STEPS.get(code) or _LOOK


def _title(incident: Incident, occasion: Occasion) -> str:
    subject, lasted = incident.subject, _span(occasion.at - incident.opened_at)
    trouble = f"{subject} {_VERBS.get(occasion.status, 'is not well')} ({occasion.code})"
    return {
        "trigger": f"{occasion.severity}: {trouble}",
        "reminder": f"still {occasion.severity}: {trouble}, for {lasted}",
        "flapping": f"{occasion.severity}: {subject} keeps changing between well and ill",
        "resolve": (
            f"resolved: {subject}"
            f" {'is no longer watched' if occasion.code == 'removed' else 'is well'}, after"
            f" {lasted}"
        ),
    }[occasion.kind]


def _span(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
