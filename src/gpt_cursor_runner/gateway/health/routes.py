"""The health routes as one plain WSGI application, the same on the main port
and on the ops listener.

A request reads one immutable snapshot: no I/O, no lock, no check, and there is
always an answer. Only the history reads the ledger, and only `?fresh` waits for
checks; both need a key and are open to few at once.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from gpt_cursor_runner.gateway.auth import authorize
from gpt_cursor_runner.gateway.health import view
from gpt_cursor_runner.gateway.health.exposition import CONTENT_TYPE, exposition
from gpt_cursor_runner.gateway.health.history import HealthHistoryApi
from gpt_cursor_runner.gateway.health.ietf import ietf_body
from gpt_cursor_runner.gateway.health.rendered import Rendered, fallback, http_status, public_texts
from gpt_cursor_runner.gateway.key_cache import KeyCache
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.gateway.wsgi import WsgiRequest, WsgiResponse, problem_response, send
from gpt_cursor_runner.health.monitor.judging import Verdict, judge
from gpt_cursor_runner.health.monitor.model import Identity, Overall, Snapshot
from gpt_cursor_runner.system.clock import boottime

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_log = structlog.get_logger(__name__)

# Longer than any busy machine explains: a supervisor may restart the gateway.
_DEAD_ENGINE_SECONDS = 30.0
_RETRY_LATER = ("Retry-After", "5")
_IETF = "application/health+json"
_NONCE = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ONE_CHECK = "/health/checks/"
# Who waits for fresh readings holds a thread: with the permits and the waiters
# there must be some left.
MAX_FRESH = 4


class Watching(Protocol):
    """The part of the monitor that a request may touch."""

    def snapshot(self) -> Snapshot: ...
    def freshen(self) -> None: ...


class HealthApp:
    """`/health`, its checks and its history, the gates of supervisors and
    balancers, and `/metrics`.
    """

    def __init__(
        self,
        monitor: Watching,
        identity: Identity,
        keys: KeyCache,
        history: HealthHistoryApi,
        now: Callable[[], float] = boottime,
    ) -> None:
        self._monitor, self._identity, self._keys, self._history, self._now = (
            monitor,
            identity,
            keys,
            history,
            now,
        )
        self._public, self._fallback = public_texts(identity), fallback(identity)
        self._ietf = Rendered(
            lambda seen, verdict, at: json.dumps(ietf_body(seen, verdict, identity, at)).encode()
        )
        self._metrics = Rendered(lambda seen, verdict, at: exposition(seen, verdict, identity, at))
        self._fresh_places = threading.Semaphore(MAX_FRESH)
        self._routes: dict[str, Callable[[WsgiRequest], WsgiResponse]] = {
            "/health": self._health,
            "/livez": self._live,
            "/readyz": self._ready,
            "/startupz": self._started,
            "/health/history": self._past,
            "/metrics": self._exposition,
        }

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return send(environ, start_response, self._answer(environ))

    def before(self, application: WSGIApplication) -> WSGIApplication:
        """The application with this door in front of it."""

        def front(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            inside = application if self._route(environ.get("PATH_INFO", "")) is None else self
            return inside(environ, start_response)

        return front

    def _route(self, path: str) -> Callable[[WsgiRequest], WsgiResponse] | None:
        return self._routes.get(path) or (self._check if path.startswith(_ONE_CHECK) else None)

    def _answer(self, environ: WSGIEnvironment) -> WsgiResponse:
        request = WsgiRequest(environ)
        try:
            route = self._route(request.path)
            if route is None:
                raise Problem(404, "no_such_route", "There is nothing under this path.")
            if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
                raise Problem(
                    405, "method", "Use GET or HEAD here.", headers={"Allow": "GET, HEAD"}
                )
            return route(request)
        except Problem as problem:
            return problem_response(problem)
        except BaseException:  # noqa: BLE001  the door's edge: there is an answer, whatever a rendering did
            _log.exception("health_answer_failed", path=request.path[:200])
            return self._failed(request)

    def _failed(self, request: WsgiRequest) -> WsgiResponse:
        if request.path == "/health":
            return WsgiResponse(
                http_status(Overall.ERROR, _soft(request)), self._fallback(time.time())
            )
        detail = "The health machinery failed; the gateway's log has the reason."
        return problem_response(
            Problem(503, "health_engine_failed", detail, headers=dict([_RETRY_LATER]))
        )

    def _health(self, request: WsgiRequest) -> WsgiResponse:
        may_read = self._keys.may_read(request.authorization)
        if may_read and request.query.get("fresh") == "1":
            self._freshen()
        if may_read and _IETF not in request.accept:
            return self._details(request)
        snapshot, now = self._monitor.snapshot(), self._now()
        if _IETF in request.accept:
            verdict, body = self._ietf.of(snapshot, now)
            return WsgiResponse(http_status(verdict.overall, _soft(request)), body, _IETF)
        verdict, text = self._public.of(snapshot, now)
        return WsgiResponse(http_status(verdict.overall, _soft(request)), text.at(now))

    def _details(self, request: WsgiRequest) -> WsgiResponse:
        """Every check; `?exclude` leaves some out of the word, which then says
        so.
        """
        snapshot, now = self._monitor.snapshot(), self._now()
        verdict = judge(snapshot, now)
        body = view.detailed_body(snapshot, verdict, self._identity, now)
        excluded = _excluded(request, snapshot)
        if excluded:
            verdict = judge(snapshot, now, excluded)
            body = view.leaving_out(body, verdict, excluded)
        return _json(body, http_status(verdict.overall, _soft(request)))

    def _freshen(self) -> None:
        """Let the checks run now; with too many waiting already, what is known
        has to do.
        """
        if self._fresh_places.acquire(blocking=False):
            try:
                self._monitor.freshen()
            finally:
                self._fresh_places.release()

    def _live(self, request: WsgiRequest) -> WsgiResponse:
        snapshot, now = self._monitor.snapshot(), self._now()
        alive, nonce = (
            now - snapshot.ticked_at <= _DEAD_ENGINE_SECONDS,
            request.query.get("nonce", ""),
        )
        said = {
            "status": "pass" if alive else "fail",
            "instance_id": self._identity.instance_id,
            "nonce": nonce if _NONCE.fullmatch(nonce) else None,
        }
        return _json(said | self._verbose(request, snapshot, now), 200 if alive else 503)

    def _ready(self, request: WsgiRequest) -> WsgiResponse:
        return self._gate(request, "ready", lambda verdict: verdict.ready)

    def _started(self, request: WsgiRequest) -> WsgiResponse:
        return self._gate(request, "started", lambda verdict: verdict.started)

    def _gate(
        self, request: WsgiRequest, name: str, opens: Callable[[Verdict], bool]
    ) -> WsgiResponse:
        snapshot, now = self._monitor.snapshot(), self._now()
        verdict = judge(snapshot, now)
        said = {
            name: opens(verdict),
            "reasons": list(verdict.reasons),
            **self._verbose(request, snapshot, now),
        }
        if said[name]:
            return _json(said)
        return _json(said, 503)._replace(headers=(_RETRY_LATER,))

    def _verbose(self, request: WsgiRequest, snapshot: Snapshot, now: float) -> dict[str, Any]:
        """Every check in two words, for who may read them and asks for them."""
        if "verbose" not in request.query or not self._keys.may_read(request.authorization):
            return {}
        checks = judge(snapshot, now).checks
        return {
            "checks": {one.state.name: {"status": one.status, "code": one.code} for one in checks}
        }

    def _check(self, request: WsgiRequest) -> WsgiResponse:
        self._require_read(request)
        snapshot, now = self._monitor.snapshot(), self._now()
        checks = {one.state.name: one for one in judge(snapshot, now).checks}
        name = request.path.removeprefix(_ONE_CHECK)
        if name not in checks:
            raise Problem(
                404, "no_such_check", f"The checks are {', '.join(checks)}.", checks=list(checks)
            )
        well = checks[name].proven or _soft(request)
        return _json(
            {"name": name, **view.check_body(checks[name], snapshot, now)}, 200 if well else 503
        )

    def _past(self, request: WsgiRequest) -> WsgiResponse:
        self._require_read(request)
        return WsgiResponse(200, self._history.body(request.query))

    def _exposition(self, _asked: WsgiRequest) -> WsgiResponse:
        return WsgiResponse(
            200, self._metrics.of(self._monitor.snapshot(), self._now())[1], CONTENT_TYPE
        )

    def _require_read(self, request: WsgiRequest) -> None:
        authorize(self._keys.cached(request.authorization), "read")


def _json(body: dict[str, Any], status: int = 200) -> WsgiResponse:
    return WsgiResponse(status, json.dumps(body).encode())


def _soft(request: WsgiRequest) -> bool:
    return request.query.get("http") == "200"


def _excluded(request: WsgiRequest, snapshot: Snapshot) -> list[str]:
    """The checks named by `?exclude=a,b`; a name of none is passed over."""
    named: Collection[str] = request.query.get("exclude", "").split(",")
    return [state.name for state in snapshot.checks if state.name in named]
