"""The health routes. A request reads one immutable snapshot: no I/O, no lock, no check, and it never fails."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from typing import Any

import structlog
from flask import Blueprint, Response, request

from gpt_cursor_runner.health import view
from gpt_cursor_runner.health.clock import boottime
from gpt_cursor_runner.health.judging import Verdict, judge
from gpt_cursor_runner.health.model import Identity, Overall, Snapshot
from gpt_cursor_runner.health.monitor import Monitor

_log = structlog.get_logger(__name__)

# Longer than any busy machine explains: a supervisor may restart the gateway.
_DEAD_ENGINE_SECONDS = 30.0
_RETRY_AFTER_SECONDS = 5
_IETF = "application/health+json"
_NONCE = re.compile(r"[A-Za-z0-9_-]{1,64}")


def health_blueprint(
    monitor: Monitor,
    identity: Identity,
    may_read_details: Callable[[], bool],
    monotonic: Callable[[], float] = boottime,
) -> Blueprint:
    """`/health`, `/livez`, `/readyz`, `/startupz`. `may_read_details` says whether this request carries a read key."""
    health = Blueprint("health", __name__)
    answers, fallback = _PublicAnswers(identity), _fallback(identity)

    def judged() -> tuple[Snapshot, Verdict, float]:
        snapshot, now = monitor.snapshot(), monotonic()
        return snapshot, judge(snapshot, now), now

    @health.get("/health")
    def show() -> Response:
        try:
            return _health_response()
        except Exception:  # noqa: BLE001  the route's edge: there is always a JSON answer
            _log.exception("health_answer_failed")
            return _respond(fallback(time.time()), _http_status(Overall.ERROR))

    def _health_response() -> Response:
        if _IETF in request.headers.get("Accept", ""):
            snapshot, verdict, _ = judged()
            body = json.dumps(view.ietf_body(snapshot, verdict, identity))
            return _respond(body, _http_status(verdict.overall), _IETF)
        if _allowed(may_read_details):
            snapshot, verdict, now = judged()
            body = json.dumps(view.detailed_body(snapshot, verdict, identity, now))
            return _respond(body, _http_status(verdict.overall))
        body, overall = answers.render(monitor.snapshot(), monotonic())
        return _respond(body, _http_status(overall))

    @health.get("/livez")
    def live() -> Response:
        alive = monotonic() - monitor.snapshot().ticked_at <= _DEAD_ENGINE_SECONDS
        asked = request.args.get("nonce", "")
        said = {
            "status": "pass" if alive else "fail",
            "instance_id": identity.instance_id,
            "nonce": asked if _NONCE.fullmatch(asked) else None,
        }
        return _respond(json.dumps(said), 200 if alive else 503)

    @health.get("/readyz")
    def ready() -> Response:
        _, verdict, _ = judged()
        return _gate("ready", verdict.ready, verdict)

    @health.get("/startupz")
    def started() -> Response:
        _, verdict, _ = judged()
        return _gate("started", verdict.started, verdict)

    return health


class _PublicAnswers:
    """The strangers' body, rendered once per snapshot: until its verdict can change only its age does.

    Threads may race to render the same snapshot; they render the same text, so the last one to store it may win.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._rendered: tuple[Snapshot, Verdict, str] | None = None

    def render(self, snapshot: Snapshot, now: float) -> tuple[str, Overall]:
        """The body as text, and the word it says."""
        rendered = self._rendered
        if rendered is None or rendered[0] is not snapshot or now > rendered[1].valid_until:
            rendered = self._rendered = self._render(snapshot, now)
        _, verdict, text = rendered
        return f'{text}, "age_ms": {view.age_ms(snapshot, verdict, now)}}}', verdict.overall

    def _render(self, snapshot: Snapshot, now: float) -> tuple[Snapshot, Verdict, str]:
        verdict = judge(snapshot, now)
        body = view.public_body(snapshot, verdict, self._identity, now)
        del body["age_ms"]
        return snapshot, verdict, json.dumps(body).removesuffix("}")


def _fallback(identity: Identity) -> Callable[[float], str]:
    """The `error` body, built before anything can go wrong; only its moments are put in when it is needed."""
    body = view.error_body(identity, wall=0.0)
    for moment in ("timestamp", "observed_at", "since"):
        del body[moment]
    text = json.dumps(body).removesuffix("}")

    def at(wall: float) -> str:
        utc = view.utc(wall)
        return f'{text}, "timestamp": "{view.naive_utc(wall)}", "observed_at": "{utc}", "since": "{utc}"}}'

    return at


def _allowed(may_read_details: Callable[[], bool]) -> bool:
    try:
        return may_read_details()
    except Exception:  # noqa: BLE001  a key store in trouble must not hide the public answer, which says so
        _log.exception("health_key_check_failed")
        return False


def _http_status(overall: Overall) -> int:
    if overall in (Overall.HEALTHY, Overall.DEGRADED) or b"http=200" in request.query_string.split(b"&"):
        return 200
    return 503


def _gate(name: str, is_open: bool, verdict: Verdict) -> Response:
    said: dict[str, Any] = {name: is_open, "reasons": list(verdict.reasons)}
    response = _respond(json.dumps(said), 200 if is_open else 503)
    if not is_open:
        response.headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
    return response


def _respond(body: str, status: int, content_type: str = "application/json") -> Response:
    # An edge that kept an answer would replay "healthy" for a dead gateway.
    return Response(body, status, {"Cache-Control": "no-store"}, content_type=content_type)
