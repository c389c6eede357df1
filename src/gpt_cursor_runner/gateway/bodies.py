"""Reading requests: the declared type and length are checked, the body is read
completely or refused, and the patch in it becomes a JSON object.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from flask import Response, g, request
from werkzeug.exceptions import RequestEntityTooLarge

from gpt_cursor_runner.formats.sniffing import sniff
from gpt_cursor_runner.gateway.parts import gateway_parts
from gpt_cursor_runner.gateway.problems import Problem, unprocessable
from gpt_cursor_runner.ledger.keys import Key
from gpt_cursor_runner.ledger.patches import Delivery
from gpt_cursor_runner.patch.faults import PatchRefused
from gpt_cursor_runner.patch.parsing import Unreadable, parse_patch, read_json

_JSON = "application/json"
_RAW_TEXT = ("text/plain", "text/markdown", "text/x-diff", "text/x-patch")
# The members of a patch that come in headers or the query, beside a raw text.
_MEMBERS_BESIDE_TEXT = ("id", "title", "repository", "base", "tolerance", "mode", "expect_plan")


def takes_patch(view: Callable[[], Response]) -> Callable[[], Response]:
    """Decorates a view: a body of the wrong type or length is refused by its
    headers, before the key is looked up.
    """

    @wraps(view)
    def checked() -> Response:
        _check_headers(gateway_parts().config.server.max_body_bytes)
        return view()

    return checked


def read_delivery(key: Key, max_bytes: int, now: float) -> tuple[Delivery, dict[str, Any]]:
    """The current request as a delivery, and the patch in it as a JSON object;
    raise a Problem for a body that is too large, incomplete or unreadable.

    The view must be decorated with `takes_patch`.
    """
    media_type = request.mimetype
    body = read_body(max_bytes)
    delivery = Delivery(g.request_id, now, key.name, media_type, body, key.id or None)
    if media_type == _JSON:
        return delivery, read_object(body)
    return delivery, _read_text(body)


def read_body(max_bytes: int) -> bytes:
    """The complete body; raise a 413 Problem when it is longer than `max_bytes`,
    a 400 one when it was cut off.
    """
    # Werkzeug cuts a chunked body silently at its limit, so its limit is one
    # more than ours.
    request.max_content_length = max_bytes + 1
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise _too_large(max_bytes) from None
    if len(body) > max_bytes:
        raise _too_large(max_bytes)
    if request.content_length is not None and len(body) != request.content_length:
        raise Problem(
            400,
            "cut_off",
            f"The body ended after {len(body)} of {request.content_length} bytes. Nothing changed.",
            "Send it again.",
        )
    return body


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; raise a 400 Problem for anything else."""
    try:
        return read_json(body)
    except Unreadable as unreadable:
        fault = unreadable.fault
        raise Problem(
            400, fault.code, f"Nothing changed: {fault.message}.", fault.next_step, faults=[fault]
        ) from unreadable


def _check_headers(max_bytes: int) -> None:
    """Raise a 411, 413 or 415 Problem for a body that need not be read."""
    media_type = request.mimetype or "none"
    if request.content_length is not None and request.content_length > max_bytes:
        raise _too_large(max_bytes)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(
            415, "encoded_body", "The body is compressed.", "Send it without Content-Encoding."
        )
    if media_type not in (_JSON, *_RAW_TEXT):
        raise Problem(
            415,
            "content_type",
            f"The Content-Type {media_type[:80]} is not supported.",
            f"Send {_JSON}, or a raw patch as text/plain.",
        )
    # The server reports a chunked body that broke off as complete. JSON that
    # was cut does not parse; a diff that was cut may.
    if request.content_length is None and media_type in _RAW_TEXT:
        raise Problem(
            411,
            "length_required",
            "A raw patch without Content-Length may have been cut off on the way.",
            "Send it with Content-Length.",
        )


def _read_text(body: bytes) -> dict[str, Any]:
    """A raw text as the one change of a patch."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Problem(
            400,
            "encoding",
            f"The text is not UTF-8 at byte {error.start}.",
            "Send it in UTF-8.",
        ) from error
    members = _members_beside_text()
    try:
        change = sniff(text, _beside_text("path"))
    except PatchRefused as refused:
        # Report the faults of the other members in the same answer.
        faults = [fault for fault in parse_patch(members).faults if fault.pointer != "/changes"]
        raise unprocessable([*refused.faults, *faults], "malformed") from refused
    return {**members, "changes": [change]}


def _members_beside_text() -> dict[str, Any]:
    members = {}
    for name in _MEMBERS_BESIDE_TEXT:
        value = _beside_text(name)
        if value is not None:
            members[name] = value
    return members


def _beside_text(name: str) -> str | None:
    # The query as well as a header: servers drop header values that are not
    # ASCII, which a title may be.
    header = f"X-Patch-{name.replace('_', '-').title()}"
    return request.headers.get(header) or request.args.get(name)


def _too_large(max_bytes: int) -> Problem:
    return Problem(
        413,
        "body_too_large",
        f"The body is larger than {max_bytes} bytes.",
        "Split the patch into smaller ones.",
    )
