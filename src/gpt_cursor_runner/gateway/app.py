"""The Flask application: a plain WSGI factory over the parts it is handed. It
starts nothing by itself.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from flask import Flask, Response, g, jsonify, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException

from gpt_cursor_runner.gateway.guard import ConcurrencyLimit, Guard, InFlight, Turnstile
from gpt_cursor_runner.gateway.health.routes import HealthApp
from gpt_cursor_runner.gateway.patches import PatchesParts, patches_blueprint
from gpt_cursor_runner.gateway.preview import preview_blueprint
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.gateway.webhook import WebhookParts, webhook_blueprint
from gpt_cursor_runner.health.probes.self_call import PULSE

log = structlog.get_logger()

_NONCE = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True)
class GatewayParts:
    health: HealthApp
    instance_id: str
    permits: ConcurrencyLimit
    inside: InFlight
    webhook: WebhookParts
    patches: PatchesParts
    hosts: Sequence[str]


def create_app(parts: GatewayParts) -> Flask:
    """The gateway's routes, guards and error pages around these parts."""
    app = Flask("gpt_cursor_runner.gateway", static_folder=None)
    # Merging would answer `/v1//patches` with a redirect, and a redirected POST
    # loses its body.
    app.url_map.merge_slashes = False
    app.add_url_rule(PULSE, "pulse", lambda: _pulse(parts.instance_id))
    app.register_blueprint(webhook_blueprint(parts.webhook))
    app.register_blueprint(preview_blueprint(parts.webhook))
    app.register_blueprint(patches_blueprint(parts.patches))
    app.before_request(_name_request)
    app.after_request(_log_request)
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(SQLAlchemyError, _ledger_problem)
    app.register_error_handler(Exception, _internal_problem)
    inner = parts.health.before(Turnstile(app.wsgi_app, parts.permits))
    app.wsgi_app = Guard(inner, parts.hosts, parts.inside)  # type: ignore[method-assign]  # Flask's documented way
    return app


def _pulse(instance_id: str) -> Response:
    """For the gateway's call to itself: only Flask, at this port, in this
    process can say these two together.
    """
    asked = request.args.get("nonce", "")
    return jsonify(
        {"instance_id": instance_id, "nonce": asked if _NONCE.fullmatch(asked) else None}
    )


def _name_request() -> None:
    g.request_id = secrets.token_hex(8)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _log_request(response: Response) -> Response:
    request_id = g.get("request_id")
    if request_id:
        response.headers["X-Request-Id"] = request_id
    if request.path != PULSE:
        log.info(
            "request", method=request.method, path=request.path[:200], status=response.status_code
        )
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
    return Problem(
        500, "internal", "The gateway failed; its log has the reason under this request's id."
    ).response()
