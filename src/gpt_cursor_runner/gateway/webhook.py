"""`POST /webhook`: the way in. Nothing is answered with 202 before the patch is on the disk."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass, field
from typing import Any

from flask import Blueprint, Response, g, jsonify, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.exceptions import RequestEntityTooLarge

from gpt_cursor_runner.gateway.admission import Door, read_body
from gpt_cursor_runner.gateway.auth import Authority
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.gateway.writer import Writer
from gpt_cursor_runner.ledger.intake import Admission, Delivery, IdTaken, Receipt
from gpt_cursor_runner.ledger.reading import Reading
from gpt_cursor_runner.patch.status import FINAL, Status

MAX_WAIT_SECONDS = 25.0
_ACCEPT_PATIENCE_SECONDS = 5.0
_GLANCE_SECONDS = 0.1
_MAX_WAITERS = 16
_TEXTUAL = ("text/plain", "text/markdown", "text/x-diff", "text/x-patch")


@dataclass(frozen=True)
class Waiting:
    """Follows a patch to its end. Few may wait at once: each holds a server thread, and health needs some too."""

    reading: Reading
    places: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(_MAX_WAITERS))

    def settled(self, patch_id: str, seconds: float) -> bool:
        """Whether the patch ended, or was held, within that time; at once False when too many wait already."""
        if seconds <= 0 or not self.places.acquire(blocking=False):
            return False
        try:
            give_up_at = time.monotonic() + seconds
            while time.monotonic() < give_up_at:
                if self.reading.get(patch_id).status in FINAL | {Status.HELD}:
                    return True
                time.sleep(_GLANCE_SECONDS)
            return False
        finally:
            self.places.release()


@dataclass(frozen=True)
class WebhookParts:
    authority: Authority
    door: Door
    writer: Writer
    waiting: Waiting
    max_body_bytes: int
    clock: Callable[[], float]
    health_word: Callable[[], str]


def webhook_blueprint(parts: WebhookParts) -> Blueprint:
    """`POST /webhook` and its other name, `POST /v1/patches`."""
    webhook = Blueprint("webhook", __name__)

    @webhook.post("/webhook")
    @webhook.post("/v1/patches")
    def submit() -> Response:
        kind = _content_type(parts.max_body_bytes)
        key = parts.authority.require("submit")
        seconds = wait_seconds()
        body = _bounded_body(parts.max_body_bytes)
        raw = read_body(body) if kind == "application/json" else _from_text(body)
        admitted = parts.door.admit(raw)
        delivery = Delivery(g.request_id, parts.clock(), key.name, kind, body, key.id or None)
        repository = admitted.repository
        receipt = _accept(
            parts.writer,
            Admission(
                admitted.patch,
                repository.name,
                repository.branch,
                delivery,
                admitted.warnings,
                {"health": parts.health_word()},
            ),
        )
        return _answer(parts, admitted.patch.id, receipt, seconds)

    return webhook


def wait_seconds() -> float:
    """How long the sender would wait: `?wait=` or `Prefer: wait=`, 25 s at most; raise a 400 Problem for nonsense."""
    preferred = re.search(r"(?:^|[,;\s])wait=(\d+)", request.headers.get("Prefer", ""))
    asked = request.args.get("wait", preferred[1] if preferred else "0")
    if not re.fullmatch(r"\d{1,4}(\.\d{1,3})?", asked):
        raise Problem(400, "bad_wait", "wait is a number of seconds, 25 at most.")
    return min(float(asked), MAX_WAIT_SECONDS)


def _content_type(limit: int) -> str:
    kind = request.mimetype or "none"
    if request.content_length is not None and request.content_length > limit:
        raise _too_large(limit)
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Problem(415, "encoded_body", "Send the body without compression.")
    if kind != "application/json" and kind not in _TEXTUAL:
        detail = f"Send application/json, or a diff as text/plain; this was {kind[:80]}."
        raise Problem(415, "content_type", detail)
    return kind


def _bounded_body(limit: int) -> bytes:
    # Werkzeug cuts a chunked body at its limit without a word, so the limit is one more than what we take.
    request.max_content_length = limit + 1
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge:
        raise _too_large(limit) from None
    if len(body) > limit:
        raise _too_large(limit)
    return body


def _too_large(limit: int) -> Problem:
    return Problem(413, "body_too_large", f"The body is larger than {limit} bytes. Split the patch into smaller ones.")


def _from_text(body: bytes) -> dict[str, Any]:
    """A raw diff as the one change of a patch; id and title come with the request."""
    try:
        text = body.decode()
    except UnicodeDecodeError as bad:
        raise Problem(400, "encoding", f"The text is not UTF-8 at byte {bad.start}.") from bad
    raw: dict[str, Any] = {"changes": [{"type": "unified_diff", "text": text}]}
    for name in ("id", "title", "repository", "base", "tolerance", "mode"):
        said = request.headers.get(f"X-Patch-{name.title()}") or request.args.get(name)
        if said is not None:
            raw[name] = said
    return raw


def _accept(writer: Writer, admission: Admission) -> Receipt:
    again = {"Retry-After": "5"}
    try:
        receipt = writer.accept(admission, _ACCEPT_PATIENCE_SECONDS)
    except (TimeoutError, FutureTimeout) as late:
        detail = "The ledger did not answer in time; whether it has the patch is unknown. Send the same body again."
        raise Problem(503, "ledger_late", detail, headers=again) from late
    except (SQLAlchemyError, queue.Full) as trouble:
        detail = "The ledger cannot take patches now. Nothing was accepted; send the same body again."
        raise Problem(503, "ledger_unavailable", detail, headers=again) from trouble
    if isinstance(receipt, IdTaken):
        detail = f"The id {admission.patch.id} was used before for another patch. Send this one under a new id."
        raise Problem(409, "id_taken", detail)
    return receipt


def _answer(parts: WebhookParts, patch_id: str, receipt: Receipt, seconds: float) -> Response:
    status_url = f"/v1/patches/{patch_id}"
    body: dict[str, Any] = {
        "patch_id": patch_id,
        "status": receipt.status,
        "digest": receipt.digest,
        "status_url": status_url,
    }
    if receipt.warnings:
        body["warnings"] = list(receipt.warnings)
    if parts.waiting.settled(patch_id, seconds):
        return jsonify(body | parts.waiting.reading.get(patch_id).to_json())
    answer = jsonify(body | {"replayed": True} if receipt.replayed else body)
    answer.status_code = 200 if receipt.replayed else 202
    answer.headers["Location"] = status_url
    return answer
