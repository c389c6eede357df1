"""Refusals as `application/problem+json` (RFC 9457), every fault at once, in words a model can act on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from flask import Response, g

from gpt_cursor_runner.patch.outcome import Fault

MAX_ERRORS = 20


class Problem(Exception):
    """Ends a request with this status; `detail` is one sentence that says what to do."""

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
        self.status, self.code, self.detail = status, code, detail
        self.errors, self.members, self.headers = tuple(errors), members, dict(headers or {})

    def response(self) -> Response:
        body: dict[str, Any] = {
            "type": f"urn:gcr:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:gcr:request:{g.get('request_id', 'none')}",
            "code": self.code,
            **self.members,
        }
        if self.errors:
            body["errors"] = [fault.to_json() for fault in self.errors[:MAX_ERRORS]]
            body["errors_total"] = len(self.errors)
        text = json.dumps(body, ensure_ascii=False)
        return Response(text, self.status, self.headers, content_type="application/problem+json")


def faulty(faults: Sequence[Fault], code: str, **members: Any) -> Problem:  # noqa: ANN401
    """A 422 for a request that was understood and cannot be carried out."""
    first = faults[0]
    more = f" ({len(faults) - 1} more in errors)" if len(faults) > 1 else ""
    detail = f"Nothing changed. {first.pointer or 'the patch'}: {first.message}{more}. {first.next_step}"
    return Problem(422, code, detail[:300], faults, **members)
