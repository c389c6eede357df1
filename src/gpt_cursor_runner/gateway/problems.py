"""Refusals as `application/problem+json` (RFC 9457): every fault at once, in
words that a model can act on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Response, g

from gpt_cursor_runner.patch.faults import Fault, Refused

PROBLEM_TYPE = "application/problem+json"
MAX_ERRORS = 20
_MAX_DETAIL = 300
# Faults quote the sender's own words; an answer must not fill the context
# window of a model.
_MAX_TEXT = 1000


class Problem(Refused):
    """Ends a request with a status. In JSON `detail` is the message and the next
    step together; `faults` are the faults in the body, if any.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        next_step: str = "",
        *,
        faults: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,  # noqa: ANN401  any JSON value
    ) -> None:
        super().__init__(Fault(code, message, next_step))
        self.status = status
        self.faults, self.members, self.headers = tuple(faults), members, dict(headers or {})

    def response(self) -> Response:
        """The Flask response, under the id of the current request."""
        return Response(
            self.to_json(g.get("request_id", "none")),
            self.status,
            self.headers,
            content_type=PROBLEM_TYPE,
        )

    def to_json(self, request_id: str) -> str:
        """The body as JSON text."""
        detail = f"{self.message} {self.next_step}".rstrip()
        body: dict[str, Any] = {
            "type": f"urn:gcr:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": _shortened(detail, _MAX_DETAIL),
            "instance": f"urn:gcr:request:{request_id}",
            "code": self.code,
            **self.members,
        }
        if self.faults:
            body["errors"] = [_bounded(fault.to_json()) for fault in self.faults[:MAX_ERRORS]]
            body["errors_total"] = len(self.faults)
        # `json.dumps` writes ASCII: a path from git may hold bytes that are not
        # text, and UTF-8 could not encode them.
        return json.dumps(body)


def unprocessable(faults: Sequence[Fault], code: str, **members: Any) -> Problem:  # noqa: ANN401  any JSON value
    """A 422 for a request that was read and cannot be carried out."""
    first = faults[0]
    more = ""
    if len(faults) > 1:
        more = f" ({len(faults) - 1} more in errors)"
    message = f"Nothing changed. {first.where or 'the patch'}: {first.message}{more}."
    return Problem(422, code, message, first.next_step, faults=faults, **members)


def no_such_route() -> Problem:
    return Problem(404, "no_such_route", "There is no route at this path.")


def method_not_allowed(allowed: Sequence[str]) -> Problem:
    names = ", ".join(allowed)
    return Problem(
        405,
        "method",
        "This route does not accept the method.",
        f"Use one of: {names}.",
        headers={"Allow": names},
    )


def _bounded(value: Any) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, str):
        return _shortened(value, _MAX_TEXT)
    if isinstance(value, dict):
        return {name: _bounded(member) for name, member in value.items()}
    if isinstance(value, list | tuple):
        return [_bounded(item) for item in value]
    return value


def _shortened(text: str, length: int) -> str:
    if len(text) <= length:
        return text
    return text[: length - 1] + "…"
