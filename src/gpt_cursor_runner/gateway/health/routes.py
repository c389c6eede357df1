"""The health routes as one plain WSGI application, the same in front of Flask
on the main port and alone on the ops listener.

A request without a key reads one immutable snapshot: it does no I/O, takes no
lock, runs no check, and always gets an answer. That is why these routes are not
Flask views: `/health`, `/livez`, `/readyz` and `/startupz` must answer when
Flask cannot, and `/health/checks/<name>` and `/metrics` share their path.

`/health/history` reads the ledger, and `?fresh` waits for checks. Both need a
key and a place among a few concurrent requests. The history is here and not in
Flask because the ops listener serves it as well.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from gpt_cursor_runner.gateway.auth import authorize
from gpt_cursor_runner.gateway.health import view
from gpt_cursor_runner.gateway.health.exposition import CONTENT_TYPE, exposition
from gpt_cursor_runner.gateway.health.history import HealthHistoryApi
from gpt_cursor_runner.gateway.health.ietf import ietf_body
from gpt_cursor_runner.gateway.health.rendered import (
    RenderCache,
    error_bodies,
    http_status,
    public_bodies,
)
from gpt_cursor_runner.gateway.key_cache import KeyCache
from gpt_cursor_runner.gateway.problems import Problem, method_not_allowed, no_such_route
from gpt_cursor_runner.gateway.wsgi import WsgiRequest, WsgiResponse, problem_response, send
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import Identity, Overall, Snapshot
from gpt_cursor_runner.health.probes.self_call import echoed_nonce
from gpt_cursor_runner.system.clock import boottime

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = structlog.get_logger(__name__)

# Longer than a busy machine can explain: a supervisor may restart the gateway.
_DEAD_MONITOR_SECONDS = 30.0
_RETRY_AFTER = ("Retry-After", "5")
_IETF = "application/health+json"
_CHECK_PREFIX = "/health/checks/"
# A request that waits for fresh readings holds a thread of the server. With the
# concurrency limit of the webhook and its waiting requests, some threads must
# be left over.
MAX_FRESH = 4

_Handler = Callable[[WsgiRequest], WsgiResponse]


class SnapshotSource(Protocol):
    """The part of the monitor that requests use."""

    def snapshot(self) -> Snapshot: ...
    def refresh(self) -> None: ...


class HealthApp:
    """`/health`, its checks and its history, the probes for supervisors and
    load balancers, and `/metrics`.
    """

    def __init__(
        self,
        monitor: SnapshotSource,
        identity: Identity,
        keys: KeyCache,
        history: HealthHistoryApi,
        now: Callable[[], float] = boottime,
    ) -> None:
        self._monitor = monitor
        self._identity = identity
        self._keys = keys
        self._history = history
        self._now = now
        self._public_bodies = public_bodies(identity)
        self._error_body = error_bodies(identity)
        self._ietf_bodies = RenderCache(self._render_ietf)
        self._expositions = RenderCache(self._render_exposition)
        self._fresh_requests = threading.Semaphore(MAX_FRESH)
        self._routes: dict[str, _Handler] = {
            "/health": self._health,
            "/livez": self._live,
            "/readyz": self._ready,
            "/startupz": self._started,
            "/health/history": self._show_history,
            "/metrics": self._show_metrics,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return send(environ, start_response, self._respond(environ))

    def before(self, application: WSGIApplication) -> WSGIApplication:
        """An application that answers the health routes here, and passes all
        other requests to `application`.
        """

        def front(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            if self._handler(environ.get("PATH_INFO", "")) is None:
                return application(environ, start_response)
            return self(environ, start_response)

        return front

    def _handler(self, path: str) -> _Handler | None:
        handler = self._routes.get(path)
        if handler is None and path.startswith(_CHECK_PREFIX):
            return self._show_check
        return handler

    def _respond(self, environ: WSGIEnvironment) -> WsgiResponse:
        request = WsgiRequest(environ)
        try:
            handler = self._handler(request.path)
            if handler is None:
                raise no_such_route()
            if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
                raise method_not_allowed(["GET", "HEAD"])
            return handler(request)
        except Problem as problem:
            return problem_response(problem)
        except BaseException:  # noqa: BLE001  the edge of health: there is an answer, whatever a handler raised
            _log.exception("health_answer_failed", path=request.path[:200])
            return self._failed(request)

    def _failed(self, request: WsgiRequest) -> WsgiResponse:
        # The clients of `/health` parse its body whatever happens.
        if request.path == "/health":
            status = http_status(Overall.ERROR, _always_200(request))
            return WsgiResponse(status, self._error_body(time.time()))
        problem = Problem(
            503,
            "health_engine_failed",
            "The health check itself failed.",
            "See the gateway's log for the reason.",
            headers=dict([_RETRY_AFTER]),
        )
        return problem_response(problem)

    def _health(self, request: WsgiRequest) -> WsgiResponse:
        may_read = self._keys.may_read(request.authorization)
        wants_ietf = _IETF in request.accept
        # Before the snapshot is read, so that it has the fresh results.
        if may_read and request.query.get("fresh") == "1":
            self._refresh()
        snapshot, now = self._monitor.snapshot(), self._now()
        if wants_ietf:
            verdict, body = self._ietf_bodies.get(snapshot, now)
            return WsgiResponse(_status(verdict, request), body, _IETF)
        if may_read:
            return self._show_details(request, snapshot, now)
        verdict, public_body = self._public_bodies.get(snapshot, now)
        return WsgiResponse(_status(verdict, request), public_body.with_age(now))

    def _show_details(self, request: WsgiRequest, snapshot: Snapshot, now: float) -> WsgiResponse:
        verdict = judge(snapshot, now)
        body = view.detailed_body(snapshot, verdict, self._identity, now)
        excluded = _excluded(request, snapshot)
        if excluded:
            verdict = judge(snapshot, now, excluded)
            body = view.with_exclusions(body, verdict, excluded)
        return _json_response(body, _status(verdict, request))

    def _refresh(self) -> None:
        """Run the checks now. If too many requests wait for that already, this
        one gets the latest readings.
        """
        if self._fresh_requests.acquire(blocking=False):
            try:
                self._monitor.refresh()
            finally:
                self._fresh_requests.release()

    def _live(self, request: WsgiRequest) -> WsgiResponse:
        snapshot, now = self._monitor.snapshot(), self._now()
        # The tick alone, not a verdict: a supervisor would restart the gateway
        # for the failure of a disk, which no restart repairs.
        alive = now - snapshot.ticked_at <= _DEAD_MONITOR_SECONDS
        body: dict[str, Any] = {
            "status": "pass" if alive else "fail",
            "instance_id": self._identity.instance_id,
            "nonce": echoed_nonce(request.query.get("nonce", "")),
        }
        if self._wants_checks(request):
            body["checks"] = _check_codes(judge(snapshot, now))
        return _json_response(body, 200 if alive else 503)

    def _ready(self, request: WsgiRequest) -> WsgiResponse:
        verdict = judge(self._monitor.snapshot(), self._now())
        return self._gate(request, verdict, "ready", verdict.ready)

    def _started(self, request: WsgiRequest) -> WsgiResponse:
        verdict = judge(self._monitor.snapshot(), self._now())
        return self._gate(request, verdict, "started", verdict.started)

    def _gate(
        self, request: WsgiRequest, verdict: Verdict, name: str, is_open: bool
    ) -> WsgiResponse:
        body: dict[str, Any] = {name: is_open, "reasons": list(verdict.reasons)}
        if self._wants_checks(request):
            body["checks"] = _check_codes(verdict)
        if is_open:
            return _json_response(body)
        return _json_response(body, 503)._replace(headers=(_RETRY_AFTER,))

    def _wants_checks(self, request: WsgiRequest) -> bool:
        return "verbose" in request.query and self._keys.may_read(request.authorization)

    def _show_check(self, request: WsgiRequest) -> WsgiResponse:
        self._require_read(request)
        snapshot, now = self._monitor.snapshot(), self._now()
        results = {result.state.name: result for result in judge(snapshot, now).checks}
        name = request.path.removeprefix(_CHECK_PREFIX)
        if name not in results:
            message, next_step = "There is no such check.", f"The checks are {', '.join(results)}."
            raise Problem(404, "no_such_check", message, next_step, checks=list(results))
        result = results[name]
        body = {"name": name, **view.check_body(result, snapshot, now)}
        works = result.proven or _always_200(request)
        return _json_response(body, 200 if works else 503)

    def _show_history(self, request: WsgiRequest) -> WsgiResponse:
        self._require_read(request)
        return WsgiResponse(200, self._history.body(request.query))

    def _show_metrics(self, _request: WsgiRequest) -> WsgiResponse:
        _, text = self._expositions.get(self._monitor.snapshot(), self._now())
        return WsgiResponse(200, text, CONTENT_TYPE)

    def _require_read(self, request: WsgiRequest) -> None:
        authorize(self._keys.cached(request.authorization), "read")

    def _render_ietf(self, snapshot: Snapshot, verdict: Verdict, now: float) -> bytes:
        return json.dumps(ietf_body(snapshot, verdict, self._identity, now)).encode()

    def _render_exposition(self, snapshot: Snapshot, verdict: Verdict, now: float) -> bytes:
        return exposition(snapshot, verdict, self._identity, now)


def _json_response(body: dict[str, Any], status: int = 200) -> WsgiResponse:
    return WsgiResponse(status, json.dumps(body).encode())


def _check_codes(verdict: Verdict) -> dict[str, dict[str, str]]:
    return {
        result.state.name: {"status": result.status, "code": result.code}
        for result in verdict.checks
    }


def _status(verdict: Verdict, request: WsgiRequest) -> int:
    return http_status(verdict.overall, _always_200(request))


def _always_200(request: WsgiRequest) -> bool:
    # For clients that back off from a 503 and do not read its body.
    return request.query.get("http") == "200"


def _excluded(request: WsgiRequest, snapshot: Snapshot) -> list[str]:
    """The checks in `?exclude=a,b`; unknown names are ignored."""
    names = request.query.get("exclude", "").split(",")
    return [state.name for state in snapshot.checks if state.name in names]
