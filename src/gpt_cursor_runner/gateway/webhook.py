"""`POST /webhook`: the way in. Nothing is answered with 202 before the patch is
on the disk.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, g, jsonify
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.gateway.admission import Door
from gpt_cursor_runner.gateway.auth import Authority
from gpt_cursor_runner.gateway.bodies import declared_type, read_patch
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.gateway.waiting import Waiting, wait_seconds
from gpt_cursor_runner.gateway.writer import NotWritten, OutcomeUnknown, Writer
from gpt_cursor_runner.ledger.patches import AdmittedPatch, Delivery, IdTaken, Receipt

_ACCEPT_PATIENCE_SECONDS = 5.0


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
        kind = declared_type(parts.max_body_bytes)
        key = parts.authority.require("submit")
        seconds = wait_seconds()
        body, raw = read_patch(kind, parts.max_body_bytes)
        admitted = parts.door.admit(raw, key.name, parts.clock())
        delivery = Delivery(g.request_id, parts.clock(), key.name, kind, body, key.id or None)
        repository = admitted.repository
        receipt = _accept(
            parts.writer,
            AdmittedPatch(
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


def _accept(writer: Writer, admission: AdmittedPatch) -> Receipt:
    again = {"Retry-After": "5"}
    try:
        receipt = writer.accept(admission, _ACCEPT_PATIENCE_SECONDS)
    except OutcomeUnknown as late:
        detail = (
            "The ledger did not answer in time; whether it has the patch is unknown. Send the same"
            " body again."
        )
        raise Problem(503, "ledger_late", detail, headers=again) from late
    except (SQLAlchemyError, NotWritten) as trouble:
        detail = (
            "The ledger cannot take patches now. Nothing was accepted; send the same body again."
        )
        raise Problem(503, "ledger_unavailable", detail, headers=again) from trouble
    if isinstance(receipt, IdTaken):
        detail = (
            f"The id {admission.patch.id} was used before for another patch. Send this one under a"
            " new id."
        )
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
    body |= {"warnings": list(receipt.warnings)} if receipt.warnings else {}
    body |= {"replayed": True} if receipt.replayed else {}
    ended = parts.waiting.settled(patch_id, seconds)
    answer = jsonify(body | ended.to_json() if ended else body)
    answer.status_code = 200 if ended or receipt.replayed else 202
    answer.headers["Location"] = status_url
    return answer
