"""The bodies of `/health`: the keys that the user specified, with their types,
and our own beside them. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gpt_cursor_runner.gateway.health.components import components
from gpt_cursor_runner.gateway.health.machine import system_metrics
from gpt_cursor_runner.health.monitor.judging import ProbeResult, Verdict
from gpt_cursor_runner.health.monitor.model import (
    CheckStatus,
    Identity,
    Metrics,
    Overall,
    Reading,
    Snapshot,
)
from gpt_cursor_runner.system.clock import format_rfc3339

SCHEMA = "health/1"
SHORT_STATUS = {
    Overall.HEALTHY: "pass",
    Overall.DEGRADED: "warn",
    Overall.UNKNOWN: "fail",
    Overall.ERROR: "fail",
}

# These bounds keep the body without a key below 4 KiB, and the body with a key
# below 64 KiB, for any number of checks.
_REASONS_CHARACTERS = 1500
_CHECKS_CHARACTERS = 56_000
_TEXT_CHARACTERS = 200


def public_body(
    snapshot: Snapshot, verdict: Verdict, identity: Identity, now: float
) -> dict[str, Any]:
    """The body for requests without a key. It has no path, pid, host or error
    text. `overall_status` is the first key, `age_ms` the last.
    """
    body: dict[str, Any] = {
        "overall_status": verdict.overall,
        "status": SHORT_STATUS[verdict.overall],
        "ready": verdict.ready,
    }
    reasons = _first_reasons(verdict.reasons)
    body["reasons"] = reasons
    if len(reasons) < len(verdict.reasons):
        body["reasons_omitted"] = len(verdict.reasons) - len(reasons)
    stale_after = [state.spec.stale_after_seconds for state in snapshot.checks]
    body |= {
        "components": components(verdict, identity.port),
        "system_metrics": system_metrics(snapshot, verdict, now),
        "timestamp": naive_utc(snapshot.observed_wall),
        "version": identity.version,
        "schema": SCHEMA,
        "instance_id": identity.instance_id,
        "observed_at": utc(snapshot.observed_wall),
        "since": utc(snapshot.wall(_since(snapshot, verdict))),
        "max_age_ms": round(1000 * max(stale_after, default=0.0)),
        "age_ms": age_ms(oldest_at(snapshot, verdict), now),
    }
    return body


def detailed_body(
    snapshot: Snapshot, verdict: Verdict, identity: Identity, now: float
) -> dict[str, Any]:
    """The body for requests with a key: the public one, with all reasons and
    all checks.
    """
    body = public_body(snapshot, verdict, identity, now)
    # This body has room for all of them.
    body.pop("reasons_omitted", None)
    body["reasons"] = list(verdict.reasons)
    body["checks"] = _bounded(
        {result.state.name: check_body(result, snapshot, now) for result in verdict.checks}
    )
    return body


def with_exclusions(body: Mapping[str, Any], verdict: Verdict, names: list[str]) -> dict[str, Any]:
    """The body with the result of a verdict without the checks `names`. The
    checks themselves stay in the body.
    """
    since = body["since"]
    if body["overall_status"] != verdict.overall:
        # The monitor tracks the full verdict only.
        since = None
    return {
        **body,
        "overall_status": verdict.overall,
        "status": SHORT_STATUS[verdict.overall],
        "ready": verdict.ready,
        "reasons": list(verdict.reasons),
        "since": since,
        "excluded": names,
    }


def error_body(identity: Identity, wall: float) -> dict[str, Any]:
    """The body when the health check itself failed: nothing is proven, and no
    figure of the machine is read.
    """
    snapshot = Snapshot((), 0.0, wall, Overall.ERROR, wall, Metrics.unread(0.0))
    verdict = Verdict(
        Overall.ERROR, ("health_engine.failed",), (), engine_alive=False, valid_until=0.0
    )
    return public_body(snapshot, verdict, identity, now=0.0)


def check_body(result: ProbeResult, snapshot: Snapshot, now: float) -> dict[str, Any]:
    """One check, for requests with a key: the status that counts, and beside it
    that of the last run.
    """
    state = result.state
    reading = state.reading or Reading(CheckStatus.UNKNOWN, result.code)
    raw = None
    if state.raw is not None:
        raw = state.raw.status
    age_seconds = None
    if state.finished_at is not None:
        age_seconds = now - state.finished_at
    return {
        "status": result.status,
        "raw": raw,
        "criticality": state.spec.criticality,
        "code": result.code,
        "message": reading.message,
        "duration_ms": _milliseconds(state.duration_seconds),
        "deadline_ms": _milliseconds(state.spec.deadline_seconds),
        "age_ms": _milliseconds(age_seconds),
        "stale": result.stale,
        "stuck_for_seconds": result.stuck_for_seconds,
        "consecutive_failures": state.consecutive_failures,
        "last_ok_at": _moment(snapshot, state.last_ok_at),
        "since": _moment(snapshot, state.since_at),
        "flapping": state.flapping,
        "data": dict(reading.data),
        "remedy": reading.remedy,
    }


def oldest_at(snapshot: Snapshot, verdict: Verdict) -> float:
    """When the oldest reading that counts was finished; the moment of the tick
    when none counts yet.
    """
    oldest = snapshot.ticked_at
    for result in verdict.checks:
        finished_at = result.state.finished_at
        if finished_at is not None and not result.stale:
            oldest = min(oldest, finished_at)
    return oldest


def age_ms(oldest_at: float, now: float) -> int:
    return round(1000 * (now - oldest_at))


def utc(wall: float) -> str:
    """RFC 3339 with microseconds and the offset."""
    return format_rfc3339(wall, "microseconds")


def naive_utc(wall: float) -> str:
    """The form of the user's own timestamps: UTC, microseconds, no offset."""
    return utc(wall).removesuffix("+00:00")


def _first_reasons(reasons: tuple[str, ...]) -> list[str]:
    """As many reasons as the public body has room for; the worst come first."""
    shown: list[str] = []
    room = _REASONS_CHARACTERS
    for reason in reasons:
        room -= len(reason) + len('"", ')
        if room < 0:
            break
        shown.append(reason)
    return shown


def _bounded(checks: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The checks. If together they are too large, those above their share are
    shortened.
    """
    if len(json.dumps(checks)) <= _CHECKS_CHARACTERS:
        return checks
    share = _CHECKS_CHARACTERS // len(checks)
    bounded: dict[str, dict[str, Any]] = {}
    for name, check in checks.items():
        bounded[name] = check
        if len(json.dumps(check)) > share:
            bounded[name] = _shortened(check)
    return bounded


def _shortened(check: dict[str, Any]) -> dict[str, Any]:
    return {
        **check,
        "message": _clipped(check["message"]),
        "remedy": _clipped(check["remedy"]),
        "data": {},
        "data_omitted": True,
    }


def _clipped(text: str) -> str:
    # Measured as JSON, in which a character takes up to twelve characters.
    while len(json.dumps(text)) > _TEXT_CHARACTERS:
        text = text[: len(text) // 2]
    return text


def _since(snapshot: Snapshot, verdict: Verdict) -> float:
    if verdict.overall is snapshot.overall:
        return snapshot.since_at
    # Time alone changed the verdict, at some moment after the last tick.
    return snapshot.ticked_at


def _moment(snapshot: Snapshot, at: float | None) -> str | None:
    if at is None:
        return None
    return utc(snapshot.wall(at))


def _milliseconds(seconds: float | None) -> float | None:
    if seconds is None:
        return None
    return round(1000 * seconds, 1)
