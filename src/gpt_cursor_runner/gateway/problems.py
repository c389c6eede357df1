"""Refusals as `application/problem+json` (RFC 9457), every fault at once, in
words a model can act on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Response, g

from gpt_cursor_runner.patch.outcome import Fault

PROBLEM_TYPE = "application/problem+json"
MAX_ERRORS = 20
_MAX_DETAIL = 300
# A sender's own words come back in errors, and nobody's context window should
# be filled with them.
_MAX_TEXT = 1000


class Problem(Exception):
    """Ends a request with this status; `detail` is one sentence that says what
    to do.
    """

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
        **members: Any,  # noqa: ANN401  whatever JSON holds
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, _clipped(detail, _MAX_DETAIL)
        self.errors, self.members, self.headers = tuple(errors), members, dict(headers or {})

    def response(self) -> Response:
        return Response(
            self.text(g.get("request_id", "none")),
            self.status,
            self.headers,
            content_type=PROBLEM_TYPE,
        )

    def text(self, request_id: str) -> str:
        """The body, as JSON."""
        body: dict[str, Any] = {
            "type": f"urn:gcr:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:gcr:request:{request_id}",
            "code": self.code,
            **self.members,
        }
        if self.errors:
            body["errors"] = [_bounded(fault.to_json()) for fault in self.errors[:MAX_ERRORS]]
            body["errors_total"] = len(self.errors)
        # In ASCII: a path from git may hold bytes that are no text, and an
        # answer must go out all the same.
        return json.dumps(body)


def faulty(faults: Sequence[Fault], code: str, **members: Any) -> Problem:  # noqa: ANN401
    """A 422 for a request that was understood and cannot be carried out."""
    first = faults[0]
    more = f" ({len(faults) - 1} more in errors)" if len(faults) > 1 else ""
    detail = (
        f"Nothing changed. {first.pointer or 'the patch'}: {first.message}{more}. {first.next_step}"
    )
    return Problem(422, code, detail, faults, **members)


def _bounded(value: Any) -> Any:  # noqa: ANN401  whatever JSON holds
    if isinstance(value, str):
        return _clipped(value, _MAX_TEXT)
    if isinstance(value, dict):
        return {name: _bounded(one) for name, one in value.items()}
    return [_bounded(one) for one in value] if isinstance(value, list | tuple) else value


def _clipped(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
