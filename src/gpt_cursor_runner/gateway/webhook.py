"""`POST /webhook`: receives a patch. A 202 is sent only after the patch is on
the disk.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify
from sqlalchemy.exc import SQLAlchemyError

from gpt_cursor_runner.gateway.auth import request_key, requires
from gpt_cursor_runner.gateway.bodies import read_delivery, takes_patch
from gpt_cursor_runner.gateway.long_poll import requested_wait_seconds
from gpt_cursor_runner.gateway.parts import gateway_parts
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.gateway.writer import NotRecorded, OutcomeUnknown, Writer
from gpt_cursor_runner.ledger.patches import AdmittedPatch, IdTaken, Receipt

_RECORD_TIMEOUT_SECONDS = 5.0
_RETRY_LATER = {"Retry-After": "5"}

webhook = Blueprint("webhook", __name__)


@webhook.post("/webhook")
@webhook.post("/v1/patches")
@takes_patch
@requires("submit")
def submit() -> Response:
    parts = gateway_parts()
    wait_seconds = requested_wait_seconds()
    delivery, raw = read_delivery(request_key(), parts.config.server.max_body_bytes, parts.now())
    admitted = parts.admission.admit(raw, delivery, parts.health_word())
    receipt = _record(parts.writer, admitted)
    return _answer(admitted.patch.id, receipt, wait_seconds)


def _record(writer: Writer, admitted: AdmittedPatch) -> Receipt:
    try:
        receipt = writer.record(admitted, _RECORD_TIMEOUT_SECONDS)
    except OutcomeUnknown as error:
        raise Problem(
            503,
            "ledger_late",
            "The ledger did not answer in time; whether it has the patch is unknown.",
            "Send the same body again.",
            headers=_RETRY_LATER,
        ) from error
    except (SQLAlchemyError, NotRecorded) as error:
        raise Problem(
            503,
            "ledger_unavailable",
            "The ledger cannot record patches now. Nothing was accepted.",
            "Send the same body again.",
            headers=_RETRY_LATER,
        ) from error
    if isinstance(receipt, IdTaken):
        raise Problem(
            409,
            "id_taken",
            f"The id {admitted.patch.id} was used before for another patch.",
            "Send this one under a new id.",
        )
    return receipt


def _answer(patch_id: str, receipt: Receipt, wait_seconds: float) -> Response:
    status_url = f"/v1/patches/{patch_id}"
    body: dict[str, Any] = {
        "patch_id": patch_id,
        "status": receipt.status,
        "digest": receipt.digest,
        "status_url": status_url,
    }
    if receipt.warnings:
        body["warnings"] = list(receipt.warnings)
    if receipt.replayed:
        body["replayed"] = True
    settled = gateway_parts().long_poll.wait_until_settled(patch_id, wait_seconds)
    if settled is not None:
        body |= settled.to_json()
    answer = jsonify(body)
    # A patch that was queued just now, and whose outcome is not known yet.
    if settled is None and not receipt.replayed:
        answer.status_code = 202
    answer.headers["Location"] = status_url
    return answer
