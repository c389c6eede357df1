"""`/v1/patches`: what became of a patch, and what a person may decide of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from flask import Blueprint, Response, jsonify, request

from gpt_cursor_runner.gateway.auth import Authority
from gpt_cursor_runner.gateway.bodies import read_object, whole_body
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.gateway.waiting import Waiting, wait_seconds
from gpt_cursor_runner.ledger.evidence import Evidence
from gpt_cursor_runner.ledger.moves import Decisions, IllegalMove
from gpt_cursor_runner.ledger.patches import StoredPatch, UnknownPatch
from gpt_cursor_runner.ledger.queries import Queries
from gpt_cursor_runner.patch.identity import PatchId
from gpt_cursor_runner.patch.status import FINAL, Status

_PAGE = 50
_MAX_PAGE = 200
_MAX_REASON_BYTES = 16 * 1024


@dataclass(frozen=True)
class PatchesParts:
    authority: Authority
    queries: Queries
    decisions: Decisions
    waiting: Waiting
    patches_dir: Path
    clock: Callable[[], float]


def patches_blueprint(parts: PatchesParts) -> Blueprint:
    """Reading needs the scope `read`; deciding needs `approve`, or `submit` for
    taking one's own word back.
    """
    patches = Blueprint("patches", __name__, url_prefix="/v1/patches")
    add = patches.add_url_rule
    add("", view_func=_page(parts))
    add("/<patch_id>", view_func=_show(parts))
    add("/<patch_id>/diff", view_func=_diff(parts))
    add("/<patch_id>/log", view_func=_log(parts))
    add("/<patch_id>/report", view_func=_report(parts))
    for name, decide in _decisions(parts).items():
        add(f"/<patch_id>/{name}", endpoint=name, view_func=decide, methods=["POST"])
    return patches


def _page(parts: PatchesParts) -> Callable[[], Response]:
    def page() -> Response:
        parts.authority.require("read")
        limit = max(1, min(_number("limit") or _PAGE, _MAX_PAGE))
        found = parts.queries.page(
            _status(), request.args.get("repository"), limit, _number("cursor")
        )
        cursor = found[-1].seq if len(found) == limit else None
        return jsonify({"patches": [one.to_json() for one in found], "cursor": cursor})

    return page


def _show(parts: PatchesParts) -> Callable[[str], Response]:
    def show(patch_id: str) -> Response:
        parts.authority.require("read")
        seconds = wait_seconds()
        stored = _known(parts, patch_id)
        ended = parts.waiting.settled(patch_id, seconds)
        # Without an end it may still have moved on while we waited.
        return jsonify((ended or (_known(parts, patch_id) if seconds else stored)).to_json())

    return show


def _diff(parts: PatchesParts) -> Callable[[str], Response]:
    def diff(patch_id: str) -> Response:
        parts.authority.require("read")
        _known(parts, patch_id)
        return _file(
            _evidence(parts, patch_id).diff(),
            "text/x-diff; charset=utf-8",
            "diff",
            "it was not sealed",
        )

    return diff


def _log(parts: PatchesParts) -> Callable[[str], Response]:
    def log(patch_id: str) -> Response:
        parts.authority.require("read")
        _known(parts, patch_id)
        events = [event.to_json() for event in parts.queries.events(patch_id)]
        checks = _evidence(parts, patch_id).check_logs()
        return jsonify({"patch_id": patch_id, "events": events, "checks": checks})

    return log


def _report(parts: PatchesParts) -> Callable[[str], Response]:
    def report(patch_id: str) -> Response:
        parts.authority.require("read")
        ended = _known(parts, patch_id).status in FINAL
        why = "it has ended a moment ago; ask again in a second" if ended else "it has not ended"
        evidence = _evidence(parts, patch_id)
        if (
            request.accept_mimetypes.best == "application/json"
            or request.args.get("format") == "json"
        ):
            return _file(evidence.report_json(), "application/json", "report", why)
        return _file(evidence.report(), "text/markdown; charset=utf-8", "report", why)

    return report


def _decisions(parts: PatchesParts) -> dict[str, Callable[[str], Response]]:
    decide = parts.decisions

    def acting(scope: str, act: Callable[[str, str, float], object]) -> Callable[[str], Response]:
        def view(patch_id: str) -> Response:
            key = parts.authority.require(scope)
            stored = _known(parts, patch_id)
            if not key.allows("approve") and stored.submitted_by != key.name:
                raise Problem(
                    403,
                    "not_yours",
                    "This key may only take back what it sent; others need 'approve'.",
                )
            try:
                act(patch_id, key.name, parts.clock())
            except IllegalMove as illegal:
                raise Problem(409, "illegal_move", f"Nothing changed: {illegal}.") from illegal
            return jsonify(parts.queries.get(patch_id).to_json())

        return view

    return {
        "cancel": acting("submit", decide.cancel),
        "retry": acting("approve", decide.retry),
        "approve": acting("approve", decide.approve),
        "reject": acting(
            "approve", lambda patch, actor, now: decide.reject(patch, actor, now, _reason())
        ),
    }


def _known(parts: PatchesParts, patch_id: str) -> StoredPatch:
    try:
        PatchId.parse(patch_id)
        return parts.queries.get(patch_id)
    except (UnknownPatch, ValueError):
        raise Problem(404, "no_such_patch", "There is no patch of that id here.") from None


def _evidence(parts: PatchesParts, patch_id: str) -> Evidence:
    return Evidence(parts.patches_dir / patch_id)


def _file(data: bytes | None, kind: str, what: str, why: str) -> Response:
    if data is None:
        raise Problem(404, f"no_{what}", f"There is no {what} of this patch, since {why}.")
    answer = Response(data, content_type=kind)
    answer.headers["X-Content-Type-Options"] = "nosniff"
    return answer


def _reason() -> str:
    """Why a person rejects: `?reason=`, or `{"reason": "…"}` as the body."""
    body = whole_body(_MAX_REASON_BYTES) if request.is_json else b""
    reason = read_object(body).get("reason") if body else request.args.get("reason")
    return reason[:1000] if isinstance(reason, str) else ""


def _number(name: str) -> int | None:
    said = request.args.get(name)
    if said is None:
        return None
    if not re.fullmatch("[0-9]{1,12}", said):
        raise Problem(400, f"bad_{name}", f"{name} is a whole number.")
    return int(said)


def _status() -> Status | None:
    said = request.args.get("status")
    if said is None:
        return None
    if said not in set(Status):
        raise Problem(400, "bad_status", f"status is one of {', '.join(Status)}.")
    return Status(said)
