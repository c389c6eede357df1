"""Answering in plain WSGI, before and beside Flask: what was asked, and what
goes back.
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

# An edge that kept an answer would replay "healthy" for a dead gateway.
_NO_STORE = ("Cache-Control", "no-store")
_LINES = {one.value: f"{one.value} {one.phrase}" for one in HTTPStatus}


class Asked:
    """One request, read where somebody looks."""

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
        """Every name once; said twice, the last word counts."""
        text = self._environ.get("QUERY_STRING")
        return dict(parse_qsl(text, keep_blank_values=True)) if text else {}


class Reply(NamedTuple):
    """What goes back."""

    status: int
    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def send(environ: WSGIEnvironment, start_response: StartResponse, reply: Reply) -> Iterable[bytes]:
    """Give the reply; to HEAD the same without its body."""
    length = ("Content-Length", str(len(reply.body)))
    start_response(
        _LINES[reply.status],
        [("Content-Type", reply.content_type), length, _NO_STORE, *reply.headers],
    )
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [reply.body]


def refusal(problem: Problem) -> Reply:
    """A problem, under a request id of its own that the log knows too."""
    request_id = secrets.token_hex(8)
    _log.info(
        "refused_before_the_application",
        request_id=request_id,
        status=problem.status,
        code=problem.code,
    )
    headers = (("X-Request-Id", request_id), *problem.headers.items())
    return Reply(problem.status, problem.text(request_id).encode(), PROBLEM_TYPE, headers)
