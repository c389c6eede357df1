"""The Flask application: a plain WSGI factory around its parts. It starts no
thread.
"""

from __future__ import annotations

import secrets

import structlog
from flask import Blueprint, Flask, Response, g, jsonify, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from gpt_cursor_runner.gateway.guard import ConcurrencyLimit, Guard, InFlight
from gpt_cursor_runner.gateway.health.routes import HealthApp
from gpt_cursor_runner.gateway.parts import GatewayParts, gateway_parts
from gpt_cursor_runner.gateway.patches import patches
from gpt_cursor_runner.gateway.preview import preview
from gpt_cursor_runner.gateway.problems import Problem, method_not_allowed, no_such_route
from gpt_cursor_runner.gateway.webhook import webhook
from gpt_cursor_runner.health.probes.self_call import PULSE, echoed_nonce

log = structlog.get_logger()

_self_call = Blueprint("self_call", __name__)


def create_app(
    parts: GatewayParts, health: HealthApp, limit: ConcurrencyLimit, in_flight: InFlight
) -> Flask:
    """The gateway's routes and error pages around these parts, behind its
    guards. Health is answered before Flask.
    """
    app = Flask("gpt_cursor_runner.gateway", static_folder=None)
    # Merging would answer `/v1//patches` with a redirect, and a redirected POST
    # loses its body.
    app.url_map.merge_slashes = False
    parts.attach_to(app)
    for blueprint in (_self_call, webhook, preview, patches):
        app.register_blueprint(blueprint)
    app.before_request(_name_request)
    app.after_request(_log_request)
    app.register_error_handler(Problem, Problem.response)
    app.register_error_handler(HTTPException, _answer_http_error)
    app.register_error_handler(SQLAlchemyError, _answer_ledger_error)
    app.register_error_handler(Exception, _answer_unexpected_error)
    inner = health.before(limit.before(app.wsgi_app))
    guard = Guard(inner, parts.config.server.accepted_hosts, in_flight)
    app.wsgi_app = guard  # type: ignore[method-assign]  # Flask's documented way
    return app


@_self_call.get(PULSE)
def pulse() -> Response:
    """Answers the gateway's call to itself. Only Flask, in this process, knows
    the instance id and the nonce together, so the answer proves that Flask
    runs.
    """
    nonce = echoed_nonce(request.args.get("nonce", ""))
    return jsonify({"instance_id": gateway_parts().instance_id, "nonce": nonce})


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


def _answer_http_error(error: HTTPException) -> Response:
    if isinstance(error, NotFound):
        return no_such_route().response()
    if isinstance(error, MethodNotAllowed):
        return method_not_allowed(list(error.valid_methods or [])).response()
    return Problem(error.code or 500, "refused", str(error.description)[:300]).response()


def _answer_ledger_error(error: SQLAlchemyError) -> Response:
    log.warning("ledger_unavailable", reason=str(error)[:300])
    return Problem(
        503,
        "ledger_unavailable",
        "The ledger does not answer now.",
        "Send the request again.",
        headers={"Retry-After": "5"},
    ).response()


def _answer_unexpected_error(error: Exception) -> Response:
    log.exception("request_failed", exc_info=error)
    return Problem(
        500, "internal", "The gateway failed; its log has the reason under the id of this request."
    ).response()
