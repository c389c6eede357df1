"""`POST /v1/patches:preview`: shows what a patch would change now. Records
nothing, and writes no object or ref.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

import structlog
from flask import Blueprint, Response, jsonify, request

from gpt_cursor_runner.gateway.auth import request_key, requires
from gpt_cursor_runner.gateway.bodies import read_delivery, takes_patch
from gpt_cursor_runner.gateway.parts import gateway_parts
from gpt_cursor_runner.gateway.problems import Problem
from gpt_cursor_runner.landing.git import GitFailed
from gpt_cursor_runner.landing.previewing import Preview
from gpt_cursor_runner.ledger.patches import AdmittedPatch
from gpt_cursor_runner.patch.faults import WorldFailed

log = structlog.get_logger()

SCHEMA = "gcr-preview/1"
MAX_DIFF_CHARS = 1_000_000
# With the lists bounded as well, an answer usually stays below the 100,000
# characters that ChatGPT reads.
_DEFAULT_DIFF_CHARS = 50_000
_MAX_LISTED = 100

preview = Blueprint("preview", __name__)


@preview.post("/v1/patches:preview")
@takes_patch
@requires("submit")
def show_preview() -> Response:
    parts = gateway_parts()
    max_diff_chars = _requested_diff_chars()
    delivery, raw = read_delivery(request_key(), parts.config.server.max_body_bytes, parts.now())
    try:
        admitted, planned = parts.admission.preview(raw, delivery)
    except (WorldFailed, GitFailed, OSError) as error:
        log.warning("could_not_preview", reason=str(error)[:300])
        raise Problem(
            503,
            "repository_unavailable",
            "The repository cannot be used now; `gcr doctor` on its machine reports the reason.",
            "Send the request again later.",
            headers={"Retry-After": "5"},
        ) from error
    return jsonify(_to_json(admitted, planned, max_diff_chars))


def _to_json(admitted: AdmittedPatch, planned: Preview, max_diff_chars: int) -> dict[str, Any]:
    complete_diff = planned.diff.decode(errors="replace")
    diff = _first_lines(complete_diff, max_diff_chars)
    return {
        "schema": SCHEMA,
        "patch_id": admitted.patch.id,
        "repository": admitted.repository,
        "branch": admitted.branch,
        "base": planned.base,
        "tip": planned.tip,
        "plan_digest": planned.plan.digest(),
        "files": [_without_none(asdict(file)) for file in planned.files[:_MAX_LISTED]],
        "files_total": len(planned.files),
        "insertions": sum(file.insertions for file in planned.files),
        "deletions": sum(file.deletions for file in planned.files),
        "hunks": [asdict(hunk) for hunk in planned.plan.hunks[:_MAX_LISTED]],
        "hunks_total": len(planned.plan.hunks),
        "warnings": list(admitted.warnings),
        "diff": diff,
        "diff_truncated": diff != complete_diff,
    }


def _first_lines(text: str, max_chars: int) -> str:
    """As many lines of the text as fit into these characters of JSON."""
    lines = []
    for line in text.splitlines(keepends=True):
        max_chars -= len(json.dumps(line)) - len('""')
        if max_chars < 0:
            break
        lines.append(line)
    return "".join(lines)


def _requested_diff_chars() -> int:
    chars = request.args.get("diff", str(_DEFAULT_DIFF_CHARS))
    if not re.fullmatch("[0-9]{1,7}", chars) or int(chars) > MAX_DIFF_CHARS:
        raise Problem(
            400,
            "bad_diff",
            "diff is not a number of characters.",
            f"Send how many characters of the diff to return, 0 to {MAX_DIFF_CHARS}.",
        )
    return int(chars)


def _without_none(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
