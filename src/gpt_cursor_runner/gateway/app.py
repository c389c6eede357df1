"""The Flask application: a plain WSGI factory over the parts it is handed. It starts nothing by itself."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from flask import Flask, Response, g, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from gpt_cursor_runner.gateway.guard import Guard, Permits
from gpt_cursor_runner.gateway.health import health_blueprint
from gpt_cursor_runner.gateway.patches import PatchesParts, patches_blueprint
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.gateway.webhook import WebhookParts, webhook_blueprint
from gpt_cursor_runner.health.model import Identity
from gpt_cursor_runner.health.monitor import Monitor

log = structlog.get_logger()

_QUIET = ("/health", "/livez", "/readyz", "/startupz")


@dataclass(frozen=True)
class GatewayParts:
    monitor: Monitor
    identity: Identity
    permits: Permits
    webhook: WebhookParts
    patches: PatchesParts
    hosts: Sequence[str]


def create_app(parts: GatewayParts) -> Flask:
    """The gateway's routes, guards and error pages around these parts."""
    app = Flask("gpt_cursor_runner.gateway", static_folder=None)
    # Merging would answer `/v1//patches` with a redirect, and a redirected POST loses its body.
    app.url_map.merge_slashes = False
    app.register_blueprint(health_blueprint(parts.monitor, parts.identity, parts.webhook.authority.may_read))
    app.register_blueprint(webhook_blueprint(parts.webhook))
    app.register_blueprint(patches_blueprint(parts.patches))
    app.before_request(_name_request)
    app.before_request(_host_guard(parts.hosts))
    app.after_request(_log_request)
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(SQLAlchemyError, _ledger_problem)
    app.register_error_handler(Exception, _internal_problem)
    app.wsgi_app = Guard(app.wsgi_app, parts.permits)  # type: ignore[method-assign]  # Flask's documented way
    return app


def _name_request() -> None:
    g.request_id = secrets.token_hex(8)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _host_guard(hosts: Sequence[str]) -> Callable[[], None]:
    """Refuses a request under any other name: it was led here by a page that rebound its own name to our address.

    Flask's TRUSTED_HOSTS cannot say this for IPv6 addresses, and takes capitals for another name.
    """
    known = {_bare(host) for host in hosts}

    def refuse_foreign_host() -> None:
        if _bare(request.environ.get("HTTP_HOST", "")) not in known:
            raise Problem(
                400, "foreign_host", "This gateway is not known under that Host; use the address it was given."
            )

    return refuse_foreign_host


def _bare(host: str) -> str:
    """A host without its port and brackets, in small letters; empty for what is none."""
    match = re.fullmatch(r"(?:\[([0-9a-f:.]+)\]|([a-z0-9.-]+))(?::[0-9]{1,5})?", host.lower())
    return (match[1] or match[2]) if match else host.lower()


def _log_request(response: Response) -> Response:
    request_id = g.get("request_id")
    if request_id:
        response.headers["X-Request-Id"] = request_id
    if request.path not in _QUIET:
        log.info("request", method=request.method, path=request.path[:200], status=response.status_code)
    return response


def _http_problem(error: Any) -> Response:  # noqa: ANN401  werkzeug's HTTPException, already narrowed by Flask
    status = error.code or 500
    if status == 404:
        problem = Problem(404, "no_such_route", "There is nothing under this path.")
    elif status == 405:
        allowed = ", ".join(error.valid_methods or [])
        problem = Problem(405, "method", f"Use {allowed} here.", headers={"Allow": allowed})
    else:
        problem = Problem(status, "refused", str(error.description)[:300])
    return problem.response()


def _ledger_problem(trouble: Exception) -> Response:
    log.warning("ledger_unavailable", reason=str(trouble)[:300])
    detail = "The ledger cannot answer now. Try again."
    return Problem(503, "ledger_unavailable", detail, headers={"Retry-After": "5"}).response()


def _internal_problem(trouble: Exception) -> Response:
    log.exception("request_failed", exc_info=trouble)
    return Problem(500, "internal", "The gateway failed; its log has the reason under this request's id.").response()
