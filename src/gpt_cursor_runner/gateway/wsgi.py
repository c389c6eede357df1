"""Requests and responses in plain WSGI, for the routes that are answered in
front of Flask.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qsl

import structlog

from gpt_cursor_runner.gateway.problems import PROBLEM_TYPE, Problem

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_log = structlog.get_logger(__name__)

# A cache at the edge would replay "healthy" for a gateway that has died.
_NO_STORE = ("Cache-Control", "no-store")
_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


class WsgiRequest:
    """A view of a WSGI environment; the query is parsed at its first use only."""

    def __init__(self, environ: WSGIEnvironment) -> None:
        self._environ = environ

    @property
    def path(self) -> str:
        return str(self._environ.get("PATH_INFO", ""))

    @property
    def accept(self) -> str:
        return str(self._environ.get("HTTP_ACCEPT", ""))

    @property
    def authorization(self) -> str:
        return str(self._environ.get("HTTP_AUTHORIZATION", ""))

    @cached_property
    def query(self) -> Mapping[str, str]:
        """The last value of every parameter."""
        text = self._environ.get("QUERY_STRING")
        if not text:
            return {}
        return dict(parse_qsl(text, keep_blank_values=True))


class WsgiResponse(NamedTuple):
    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def send(
    environ: WSGIEnvironment, start_response: StartResponse, response: WsgiResponse
) -> Iterable[bytes]:
    """Start the response and return its body; HEAD gets the same headers and
    no body.
    """
    headers = [
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        _NO_STORE,
        *response.headers,
    ]
    start_response(_STATUS_LINES[response.status], headers)
    if environ["REQUEST_METHOD"] == "HEAD":
        return []
    return [response.body]


def problem_response(problem: Problem) -> WsgiResponse:
    """The problem as JSON, with a new request id that is logged as well."""
    request_id = secrets.token_hex(8)
    _log.info(
        "refused_before_the_application",
        request_id=request_id,
        status=problem.status,
        code=problem.code,
    )
    headers = (("X-Request-Id", request_id), *problem.headers.items())
    return WsgiResponse(problem.status, problem.to_json(request_id).encode(), PROBLEM_TYPE, headers)
