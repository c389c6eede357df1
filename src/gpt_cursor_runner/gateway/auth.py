"""Authorization: `Authorization: Bearer gcr_<id>_<secret>`, and the scope that a
route requires.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from flask import Response, g, request

from gpt_cursor_runner.gateway.parts import gateway_parts
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.ledger.keys import Key

_Arguments = ParamSpec("_Arguments")
_View = Callable[_Arguments, Response]


def requires(scope: str) -> Callable[[_View[_Arguments]], _View[_Arguments]]:
    """Decorates a view: its requests need a key with this scope."""

    def decorate(view: _View[_Arguments]) -> _View[_Arguments]:
        @wraps(view)
        def authorized(*args: _Arguments.args, **kwargs: _Arguments.kwargs) -> Response:
            header = request.headers.get("Authorization", "")
            g.key = authorize(gateway_parts().keys.find(header), scope)
            return view(*args, **kwargs)

        return authorized

    return decorate


def request_key() -> Key:
    """The key of the current request, in a view that requires a scope."""
    key: Key = g.key
    return key


def authorize(key: Key | None, scope: str) -> Key:
    """The key, when it has the scope; raise a 401 or 403 Problem otherwise."""
    if key is None:
        raise Problem(
            401,
            "no_key",
            "The request has no valid key.",
            "Send 'Authorization: Bearer gcr_…'; `gcr key create NAME` creates one.",
            headers={"WWW-Authenticate": 'Bearer realm="gcr"'},
        )
    if not key.allows(scope):
        raise Problem(
            403,
            "scope_missing",
            f"This key does not have the scope '{scope}'.",
            f"Use a key with '{scope}'; `gcr key create NAME --scope {scope}` creates one.",
        )
    return key
