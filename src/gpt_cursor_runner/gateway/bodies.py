"""What a request brings: its declared type and length, its body read whole or
refused, its patch as a plain object.
"""

from __future__ import annotations

from typing import Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

from gpt_cursor_runner.formats.sniffing import sniff
from gpt_cursor_runner.gateway.problems import Problem, faulty
from gpt_cursor_runner.patch.outcome import PatchRefused
from gpt_cursor_runner.patch.parsing import Unreadable, parse_patch, read_json

_TEXTUAL = ("text/plain", "text/markdown", "text/x-diff", "text/x-patch")
_BESIDE_TEXT = ("id", "title", "repository", "base", "tolerance", "mode", "expect_plan")


def declared_type(limit: int) -> str:
    """The media type of this request; raise a 411, 413 or 415 Problem for what
    need not even be read.
    """
    kind = request.mimetype or "none"
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise Problem(415, "encoded_body", "Send the body without compression.")
    if kind != "application/json" and kind not in _TEXTUAL:
        detail = f"Send application/json, or a raw patch as text/plain; this was {kind[:80]}."
        raise Problem(415, "content_type", detail)
    if kind in _TEXTUAL and request.content_length is None:
        # The server passes a chunked body that broke off as one that ended. Cut
        # JSON does not parse; a cut diff may.
        raise Problem(
            411,
            "length_required",
            "Send a raw patch with Content-Length, so that a cut one can be told.",
        )
    return kind


def whole_body(limit: int) -> bytes:
    """The body to its last byte; raise a 413 Problem when it is longer than
    `limit`, a 400 one when it was cut off.
    """
    # Werkzeug cuts a chunked body at its limit without a word, so the limit is
    # one more than what we take.
    request.max_content_length = limit + 1
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise _too_large(limit) from None
    if len(body) > limit:
        raise _too_large(limit)
    if request.content_length is not None and len(body) != request.content_length:
        detail = (
            f"The body broke off after {len(body)} of {request.content_length} bytes. Nothing"
            " changed; send it again."
        )
        raise Problem(400, "cut_off", detail)
    return body


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; raise a 400 Problem when it holds anything
    else.
    """
    try:
        return read_json(body)
    except Unreadable as unreadable:
        detail = f"Nothing changed: {unreadable.fault.message}."
        raise Problem(400, unreadable.fault.code, detail, [unreadable.fault]) from unreadable


def read_patch(kind: str, limit: int) -> tuple[bytes, dict[str, Any]]:
    """The body as it came, and the patch in it as a JSON object, whichever of
    the declared types it has.
    """
    body = whole_body(limit)
    return body, read_object(body) if kind == "application/json" else read_text(body)


def read_text(body: bytes) -> dict[str, Any]:
    """A raw text as the one change of a patch; id, title and the like come in
    headers or the query.

    A server passes no header on that is not ASCII, so such a title goes into
    the query.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as bad:
        raise Problem(400, "encoding", f"The text is not UTF-8 at byte {bad.start}.") from bad
    said = {name: one for name in _BESIDE_TEXT if (one := _beside(name)) is not None}
    try:
        return said | {"changes": [sniff(text, _beside("path"))]}
    except PatchRefused as refused:
        others = [fault for fault in parse_patch(said).faults if fault.pointer != "/changes"]
        raise faulty([*refused.faults, *others], "malformed") from refused


def _beside(name: str) -> str | None:
    header = f"X-Patch-{name.replace('_', '-').title()}"
    return request.headers.get(header) or request.args.get(name)


def _too_large(limit: int) -> Problem:
    return Problem(
        413,
        "body_too_large",
        f"The body is larger than {limit} bytes. Split the patch into smaller ones.",
    )
