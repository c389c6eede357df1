"""`/v1/patches`: reading patches with their evidence, and deciding on them.

Reading needs the scope `read`; decisions need `approve`. A sender may cancel
its own patches with `submit`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from flask import Blueprint, Response, jsonify, request

from gpt_cursor_runner.engine.runner_lock import lock_is_held, read_beat
from gpt_cursor_runner.gateway.auth import request_key, requires
from gpt_cursor_runner.gateway.bodies import read_body, read_object
from gpt_cursor_runner.gateway.long_poll import requested_wait_seconds
from gpt_cursor_runner.gateway.parts import gateway_parts
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.moves import IllegalMove
from gpt_cursor_runner.ledger.patches import StoredPatch, UnknownPatch
from gpt_cursor_runner.patch.faults import Fault
from gpt_cursor_runner.patch.identity import PatchId
from gpt_cursor_runner.patch.status import FINAL, Status

_DEFAULT_PAGE = 50
_MAX_PAGE = 200
_MAX_BODY_BYTES = 16 * 1024
_MAX_REASON_CHARS = 1000

patches = Blueprint("patches", __name__, url_prefix="/v1/patches")


@patches.get("")
@requires("read")
def list_patches() -> Response:
    limit = max(1, min(_number_argument("limit") or _DEFAULT_PAGE, _MAX_PAGE))
    page = gateway_parts().ledger.queries.page(
        _status_argument(), request.args.get("repository"), limit, _number_argument("cursor")
    )
    cursor = None
    if len(page) == limit:
        cursor = page[-1].seq
    return jsonify({"patches": [stored.to_json() for stored in page], "cursor": cursor})


@patches.get("/<patch_id>")
@requires("read")
def show_patch(patch_id: str) -> Response:
    wait_seconds = requested_wait_seconds()
    stored = _stored(patch_id)
    if wait_seconds > 0:
        settled = gateway_parts().long_poll.wait_until_settled(patch_id, wait_seconds)
        # A patch that has not settled may still have moved during the wait.
        stored = settled or _stored(patch_id)
    body = stored.to_json()
    obstacle = _obstacle(stored)
    if obstacle is not None:
        body["waiting_for"] = {
            "code": obstacle.code,
            "message": obstacle.message,
            "next_step": obstacle.next_step,
        }
    return jsonify(body)


@patches.get("/<patch_id>/diff")
@requires("read")
def show_diff(patch_id: str) -> Response:
    _stored(patch_id)
    diff = _evidence(patch_id).diff()
    if diff is None:
        raise Problem(404, "no_diff", "This patch has no diff: it was not sealed.")
    return _file(diff, "text/x-diff; charset=utf-8")


@patches.get("/<patch_id>/log")
@requires("read")
def show_log(patch_id: str) -> Response:
    _stored(patch_id)
    events = [event.to_json() for event in gateway_parts().ledger.queries.events(patch_id)]
    checks = _evidence(patch_id).check_logs()
    return jsonify({"patch_id": patch_id, "events": events, "checks": checks})


@patches.get("/<patch_id>/report")
@requires("read")
def show_report(patch_id: str) -> Response:
    stored, evidence = _stored(patch_id), _evidence(patch_id)
    if _wants_json():
        report, content_type = evidence.report_json(), "application/json"
    else:
        report, content_type = evidence.report(), "text/markdown; charset=utf-8"
    if report is not None:
        return _file(report, content_type)
    if stored.status in FINAL:
        raise Problem(
            404, "no_report", "The report of this patch is being written.", "Ask again in a second."
        )
    raise Problem(404, "no_report", "This patch has no report: it has not ended.")


@patches.post("/<patch_id>/cancel")
@requires("submit")
def cancel(patch_id: str) -> Response:
    return _decide(patch_id, gateway_parts().ledger.decisions.cancel)


@patches.post("/<patch_id>/retry")
@requires("approve")
def retry(patch_id: str) -> Response:
    return _decide(patch_id, gateway_parts().ledger.decisions.retry)


@patches.post("/<patch_id>/approve")
@requires("approve")
def approve(patch_id: str) -> Response:
    return _decide(patch_id, gateway_parts().ledger.decisions.approve)


@patches.post("/<patch_id>/reject")
@requires("approve")
def reject(patch_id: str) -> Response:
    def reject_with_reason(patch_id: str, actor: str, now: float) -> None:
        gateway_parts().ledger.decisions.reject(patch_id, actor, now, _reason())

    return _decide(patch_id, reject_with_reason)


def _decide(patch_id: str, decide: Callable[[str, str, float], object]) -> Response:
    parts, key = gateway_parts(), request_key()
    stored = _stored(patch_id)
    if not key.allows("approve") and stored.submitted_by != key.name:
        raise Problem(
            403,
            "not_yours",
            "This key did not submit the patch.",
            "Use the key that did, or one with the scope 'approve'.",
        )
    try:
        decide(patch_id, key.name, parts.now())
    except IllegalMove as illegal:
        raise Problem(409, "illegal_move", f"Nothing changed: {illegal}.") from illegal
    return jsonify(parts.ledger.queries.get(patch_id).to_json())


def _stored(patch_id: str) -> StoredPatch:
    try:
        PatchId.parse(patch_id)
        return gateway_parts().ledger.queries.get(patch_id)
    except (UnknownPatch, ValueError):
        raise Problem(404, "no_such_patch", "There is no patch with this id.") from None


def _obstacle(stored: StoredPatch) -> Fault | None:
    """Why the runner cannot claim a queued patch now; None when it can, and
    when no runner is there to find out.
    """
    directory = gateway_parts().config.state.dir
    if stored.status is not Status.QUEUED or not lock_is_held(directory):
        return None
    beat = read_beat(directory)
    if beat is None:
        return None
    return beat.blocked.repositories.get(stored.repository)


def _evidence(patch_id: str) -> Evidence:
    return Evidence(gateway_parts().config.state.patches_dir / patch_id)


def _file(data: bytes, content_type: str) -> Response:
    answer = Response(data, content_type=content_type)
    # A browser must not take a sender's text for a page.
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def _wants_json() -> bool:
    if request.accept_mimetypes.best == "application/json":
        return True
    return request.args.get("format") == "json"


def _reason() -> str:
    """Why a person rejects: `?reason=`, or `{"reason": "…"}` as the body."""
    reason: object = request.args.get("reason")
    if request.is_json:
        body = read_body(_MAX_BODY_BYTES)
        if body:
            reason = read_object(body).get("reason")
    if not isinstance(reason, str):
        return ""
    return reason[:_MAX_REASON_CHARS]


def _number_argument(name: str) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,12}", text):
        raise Problem(400, f"bad_{name}", f"{name} is not a whole number.")
    return int(text)


def _status_argument() -> Status | None:
    text = request.args.get("status")
    if text is None:
        return None
    if text not in set(Status):
        raise Problem(400, "bad_status", f"status is not one of {', '.join(Status)}.")
    return Status(text)
