"""The answer's body: the user's own keys with their own types, and ours beside
them. Pure.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from gpt_cursor_runner.health.monitor.judging import ProbeResult, Verdict
from gpt_cursor_runner.health.monitor.model import (
    SEVERITY,
    Identity,
    Metrics,
    Overall,
    Reading,
    Snapshot,
    Status,
)
from gpt_cursor_runner.system.clock import format_rfc3339

SCHEMA = "health/1"
USER_PORT = 5555
AS_STATUS = {
    Overall.HEALTHY: "pass",
    Overall.DEGRADED: "warn",
    Overall.UNKNOWN: "fail",
    Overall.ERROR: "fail",
}

_METRICS_STALE_SECONDS = 15.0
# A stranger's answer stays below 4 KiB, the owner's below 64 KiB, however many
# checks there are.
_REASONS_CHARACTERS = 1500
_CHECKS_CHARACTERS = 56_000
_CLIPPED_CHARACTERS = 200
# Checks that are shown as one component each, when there is such a check.
_BESIDE = ("repositories", "alerts")
_TUNNEL = "tunnel_"


def public_body(
    snapshot: Snapshot, verdict: Verdict, identity: Identity, now: float
) -> dict[str, Any]:
    """What a stranger may know: no path, pid, host or error text.
    `overall_status` comes first, `age_ms` last.
    """
    return {
        "overall_status": verdict.overall,
        "status": AS_STATUS[verdict.overall],
        "ready": verdict.ready,
        **_some(verdict.reasons),
        "components": components(verdict, identity.port),
        "system_metrics": system_metrics(snapshot, verdict, now),
        "timestamp": naive_utc(snapshot.observed_wall),
        "version": identity.version,
        "schema": SCHEMA,
        "instance_id": identity.instance_id,
        "observed_at": utc(snapshot.observed_wall),
        "since": utc(snapshot.wall(_since(snapshot, verdict))),
        "max_age_ms": round(
            1000 * max((state.spec.stale_after_seconds for state in snapshot.checks), default=0.0)
        ),
        "age_ms": age_ms(snapshot, verdict, now),
    }


def detailed_body(
    snapshot: Snapshot, verdict: Verdict, identity: Identity, now: float
) -> dict[str, Any]:
    """The same, with every reason and every check as the owner may see it."""
    body = public_body(snapshot, verdict, identity, now)
    body.pop("reasons_omitted", None)
    checks = {one.state.name: check_body(one, snapshot, now) for one in verdict.checks}
    return body | {"reasons": list(verdict.reasons), "checks": bounded(checks)}


def leaving_out(body: Mapping[str, Any], verdict: Verdict, names: list[str]) -> dict[str, Any]:
    """The body with the word of a verdict that passed over some checks; the
    checks are shown all the same.

    Since when such a word would have held nobody knows.
    """
    said = {
        "overall_status": verdict.overall,
        "status": AS_STATUS[verdict.overall],
        "ready": verdict.ready,
    }
    since = body["since"] if body["overall_status"] == verdict.overall else None
    return {**body, **said, "reasons": list(verdict.reasons), "since": since, "excluded": names}


def error_body(identity: Identity, wall: float) -> dict[str, Any]:
    """What is said when the health machinery itself failed: nothing is proven,
    nothing is known of the machine.
    """
    snapshot = Snapshot((), 0.0, wall, Overall.ERROR, wall, Metrics.unread(0.0))
    verdict = Verdict(
        Overall.ERROR, ("health_engine.failed",), (), engine_alive=False, valid_until=0.0
    )
    return public_body(snapshot, verdict, identity, now=0.0)


def components(verdict: Verdict, port: int) -> dict[str, bool | str]:
    """A boolean is true only when proven. Of port 5555 nothing is proven by a
    gateway that sits on another one.
    """
    checks = {one.state.name: one for one in verdict.checks}
    proven = {name: one.proven for name, one in checks.items()}
    port_is_ours = proven.get("port", False)
    beside = {} if port == USER_PORT else {f"port_{port}_bound": port_is_ours}
    return {
        "flask_responsive": proven.get("web", False),
        "fs_writable": proven.get("filesystem", False),
        "ghost_runner": _named_state(checks.get("runner")),
        f"port_{USER_PORT}_bound": port_is_ours and port == USER_PORT,
        **beside,
        "webhook_endpoint": _webhook_endpoint(verdict),
        "queue": checks["queue"].status if "queue" in checks else Status.UNKNOWN,
        **{name: checks[name].status for name in _BESIDE if name in checks},
        **(
            {"external_runner": _named_state(checks["external_runner"])}
            if "external_runner" in checks
            else {}
        ),
        **_tunnel(verdict),
        "health_engine": _health_engine(verdict, checks.get("monitor")),
    }


def system_metrics(snapshot: Snapshot, verdict: Verdict, now: float) -> dict[str, Any]:
    """The user's four groups, and why which figures are null.

    The disk's figures come from the filesystem check: asking a dead disk hangs.
    """
    metrics = snapshot.metrics
    stale = now - metrics.sampled_at > _METRICS_STALE_SECONDS
    groups = {"cpu": metrics.cpu, "memory": metrics.memory, "network": metrics.network}
    shown: dict[str, Any] = {
        name: dict.fromkeys(group) if stale else dict(group) for name, group in groups.items()
    }
    filesystem = next(
        (one for one in verdict.checks if one.state.name == "filesystem" and one.proven), None
    )
    why = dict.fromkeys(groups, "stale") if stale else dict(metrics.unreadable)
    age = round(1000 * (now - metrics.sampled_at))
    return shown | {"disk": _disk(filesystem), "unreadable": why, "sample_age_ms": age}


def age_ms(snapshot: Snapshot, verdict: Verdict, now: float) -> int:
    """How old what this answer says may be."""
    return round(1000 * (now - oldest_at(snapshot, verdict)))


def oldest_at(snapshot: Snapshot, verdict: Verdict) -> float:
    """When the oldest reading that counts in this answer was made; the moment
    of the tick when none counts yet.
    """
    seen = [
        one.state.finished_at
        for one in verdict.checks
        if one.state.finished_at is not None and not one.stale
    ]
    return min([snapshot.ticked_at, *seen])


def bounded(checks: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The checks, those that take more than their share without their data when
    all are too much to send.
    """
    if len(json.dumps(checks)) <= _CHECKS_CHARACTERS:
        return dict(checks)
    share = _CHECKS_CHARACTERS // len(checks)
    return {
        name: one if len(json.dumps(one)) <= share else _short(one) for name, one in checks.items()
    }


def check_body(one: ProbeResult, snapshot: Snapshot, now: float) -> dict[str, Any]:
    """One check for the owner: what counts, and beside it what its last run
    found.
    """
    state, shown = one.state, _shown(one)
    return {
        "status": one.status,
        "raw": state.raw.status if state.raw else None,
        "criticality": state.spec.criticality,
        "code": one.code,
        "message": shown.message,
        "duration_ms": _ms(state.duration_seconds),
        "deadline_ms": _ms(state.spec.deadline_seconds),
        "age_ms": _ms(None if state.finished_at is None else now - state.finished_at),
        "stale": one.stale,
        "stuck_for_seconds": one.stuck_for_seconds,
        "consecutive_failures": state.consecutive_failures,
        "last_ok_at": _moment(snapshot, state.last_ok_at),
        "since": _moment(snapshot, state.since_at),
        "flapping": state.flapping,
        "data": dict(shown.data),
        "remedy": shown.remedy,
    }


def utc(wall: float) -> str:
    """RFC 3339 with its offset."""
    return format_rfc3339(wall, "microseconds")


def naive_utc(wall: float) -> str:
    """The user's own form: UTC, microseconds, no offset."""
    return utc(wall).removesuffix("+00:00")


def _some(reasons: tuple[str, ...]) -> dict[str, Any]:
    """The reasons, the worst first, as many as a stranger's answer has room for."""
    shown, left = [], _REASONS_CHARACTERS
    for reason in reasons:
        left -= len(reason) + 4
        if left < 0:
            break
        shown.append(reason)
    omitted = len(reasons) - len(shown)
    return {"reasons": shown} | ({"reasons_omitted": omitted} if omitted else {})


def _short(check: dict[str, Any]) -> dict[str, Any]:
    clipped = {name: _clipped(check[name]) for name in ("message", "remedy")}
    return {**check, **clipped, "data": {}, "data_omitted": True}


def _clipped(text: str) -> str:
    while len(json.dumps(text)) > _CLIPPED_CHARACTERS:  # as sent: a character may take twelve
        text = text[: len(text) // 2]
    return text


def _named_state(runner: ProbeResult | None) -> str:
    """A runner's state as its probe named it; a late or stale word on it is no
    word.
    """
    reading = runner.state.reading if runner else None
    if not runner or not reading or runner.code not in (reading.code, "flapping"):
        return "unknown"
    if runner.code == "starting":
        return "starting"
    return str(reading.data.get("state", "unknown"))


def _tunnel(verdict: Verdict) -> dict[str, str]:
    """The worst of what is said of the tunnel; nothing where none is watched."""
    seen = [one.status for one in verdict.checks if one.state.name.startswith(_TUNNEL)]
    return {"tunnel": max(seen, key=SEVERITY.__getitem__)} if seen else {}


def _health_engine(verdict: Verdict, monitor: ProbeResult | None) -> Status:
    if not verdict.engine_alive:
        return Status.FAIL
    return monitor.status if monitor else Status.OK


def _webhook_endpoint(verdict: Verdict) -> str:
    """It works when a patch can be taken, recorded and kept, which is what
    every critical check together says.
    """
    if verdict.ready:
        return "operational"
    return (
        "failing"
        if any(one.critical and one.status is Status.FAIL for one in verdict.checks)
        else "unknown"
    )


def _disk(filesystem: ProbeResult | None) -> dict[str, Any]:
    space: Mapping[str, Any] = (
        filesystem.state.reading.data if filesystem and filesystem.state.reading else {}
    )
    used, free = space.get("used_bytes"), space.get("free_bytes")
    percent = (
        None
        if used is None or free is None or used + free == 0
        else round(100 * used / (used + free), 2)
    )
    return {"total": space.get("total_bytes"), "used": used, "free": free, "percent": percent}


def _since(snapshot: Snapshot, verdict: Verdict) -> float:
    # A verdict that changed by age alone changed after the last tick; that tick
    # is the last moment anything is known.
    return snapshot.since_at if verdict.overall is snapshot.overall else snapshot.ticked_at


def _moment(snapshot: Snapshot, at: float | None) -> str | None:
    return None if at is None else utc(snapshot.wall(at))


def _shown(one: ProbeResult) -> Reading:
    return one.state.reading or Reading(Status.UNKNOWN, one.code)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(1000 * seconds, 1)
